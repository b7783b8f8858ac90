// SPDX-License-Identifier: Apache-2.0

package admin

import (
	"context"
	"net/http"
	"strconv"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/bus"
	"github.com/autobus-io/autobus/internal/edge"
)

func (e *Edge) mountDeadLetters(mux *http.ServeMux) {
	mux.HandleFunc("GET /v1/subscriptions/{name}/dead-letters", e.listDeadLetters)
	mux.HandleFunc("GET /v1/subscriptions/{name}/dead-letters/groups", answer(e.groupDeadLetters))
	mux.HandleFunc("GET /v1/subscriptions/{name}/dead-letters/{number}", e.getDeadLetter)
}

func (e *Edge) listDeadLetters(w http.ResponseWriter, r *http.Request) {
	q, bad := letterQuery(r)
	if bad != nil {
		edge.WriteProblem(w, r, bad)
		return
	}
	list, err := e.cfg.Bus.DeadLetters(r.Context(), r.PathValue("name"), q)
	if err != nil {
		edge.WriteProblem(w, r, err)
		return
	}
	writeJSON(w, r, http.StatusOK, list)
}

func (e *Edge) groupDeadLetters(ctx context.Context, name string) (any, error) {
	return e.cfg.Bus.DeadLetterGroups(ctx, name)
}

func (e *Edge) getDeadLetter(w http.ResponseWriter, r *http.Request) {
	number, bad := whole("number", r.PathValue("number"), 0, maxNumber)
	if bad != nil {
		edge.WriteProblem(w, r, bad)
		return
	}
	l, err := e.cfg.Bus.DeadLetter(r.Context(), r.PathValue("name"), number)
	if err != nil {
		edge.WriteProblem(w, r, err)
		return
	}
	writeJSON(w, r, http.StatusOK, l)
}

const maxNumber = 1<<63 - 1

// letterQuery reads which dead letters are asked for.
func letterQuery(r *http.Request) (l bus.LetterQuery, err *autobus.Error) {
	q, err := edge.Query(r, "from", "limit", "fingerprint", "filter", "events")
	if err != nil {
		return l, err
	}
	one := func(name string) string {
		v, bad := edge.Single(q, name)
		if err == nil {
			err = bad
		}
		return v
	}
	from, limit, events := one("from"), one("limit"), one("events")
	l.Fingerprint, l.Filter = one("fingerprint"), one("filter")
	if err != nil {
		return l, err
	}
	if from != "" {
		if l.From, err = whole("from", from, 0, maxNumber); err != nil {
			return l, err
		}
	}
	if limit != "" {
		n, err := whole("limit", limit, 1, bus.LettersMost)
		if err != nil {
			return l, err
		}
		l.Limit = int(n)
	}
	switch events {
	case "", "false":
	case "true":
		l.Events = true
	default:
		return l, autobus.NewError(autobus.ReasonRequestInvalid, "events is %q", edge.Clip(events)).
			WithHint("Use events=true to get the events with their letters.")
	}
	return l, nil
}

func whole(name, value string, least, most int64) (int64, *autobus.Error) {
	n, err := strconv.ParseInt(value, 10, 64)
	if err != nil || n < least || n > most {
		return 0, autobus.NewError(autobus.ReasonRequestInvalid, "%s is %q", name, edge.Clip(value)).
			WithHint("Use a whole number from %d to %d.", least, most)
	}
	return n, nil
}

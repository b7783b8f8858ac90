// SPDX-License-Identifier: Apache-2.0

package admin

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/bus"
	"github.com/autobus-io/autobus/internal/edge"
)

// maxJobBytes is what a request for a job may have: a thousand ids and a filter.
const maxJobBytes = 512 << 10

func (e *Edge) mountJobs(mux *http.ServeMux) {
	mux.HandleFunc("POST /v1/subscriptions/{name}/dead-letters/redrive", e.askJob(e.cfg.Bus.Redrive))
	mux.HandleFunc("POST /v1/subscriptions/{name}/dead-letters/drop", e.askJob(e.cfg.Bus.Drop))
	mux.HandleFunc("PATCH /v1/subscriptions/{name}/dead-letters/{number}", e.editDeadLetter)
	mux.HandleFunc("GET /v1/jobs", e.listJobs)
	mux.HandleFunc("GET /v1/jobs/{name}", answer(e.getJob))
	mux.HandleFunc("POST /v1/jobs/{name}/cancel", e.cancelJob)
}

// askJob answers with the plan of a dry run, else with the job. One that goes on after the answer is 202.
func (e *Edge) askJob(ask func(context.Context, string, bus.JobRequest, bus.Audit) (bus.LetterPlan, *bus.Job,
	error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var req bus.JobRequest
		if bad := readRequest(w, r, maxJobBytes, &req); bad != nil {
			edge.WriteProblem(w, r, bad)
			return
		}
		plan, j, err := ask(r.Context(), r.PathValue("name"), req, audit(r))
		switch {
		case err != nil:
			edge.WriteProblem(w, r, err)
		case j == nil:
			writeJSON(w, r, http.StatusOK, plan)
		case j.State == bus.JobRunning:
			w.Header().Set("Location", "/v1/jobs/"+j.ID)
			writeJSON(w, r, http.StatusAccepted, j)
		default:
			writeJSON(w, r, http.StatusOK, j)
		}
	}
}

func (e *Edge) editDeadLetter(w http.ResponseWriter, r *http.Request) {
	number, bad := whole("number", r.PathValue("number"), 0, maxNumber)
	var edit bus.LetterEdit
	if bad == nil {
		bad = readRequest(w, r, autobus.MaxEventBytes+maxPolicyBytes, &edit)
	}
	if bad != nil {
		edge.WriteProblem(w, r, bad)
		return
	}
	l, err := e.cfg.Bus.EditLetter(r.Context(), r.PathValue("name"), number, edit, audit(r))
	if err != nil {
		edge.WriteProblem(w, r, err)
		return
	}
	writeJSON(w, r, http.StatusOK, l)
}

func (e *Edge) listJobs(w http.ResponseWriter, r *http.Request) {
	q, bad := edge.Query(r, "subscription")
	if bad != nil {
		edge.WriteProblem(w, r, bad)
		return
	}
	subscription, bad := edge.Single(q, "subscription")
	if bad != nil {
		edge.WriteProblem(w, r, bad)
		return
	}
	list, err := e.cfg.Bus.Jobs(r.Context(), subscription)
	if err != nil {
		edge.WriteProblem(w, r, err)
		return
	}
	writeJSON(w, r, http.StatusOK, map[string]any{"jobs": list})
}

func (e *Edge) getJob(ctx context.Context, id string) (any, error) { return e.cfg.Bus.Job(ctx, id) }

func (e *Edge) cancelJob(w http.ResponseWriter, r *http.Request) {
	j, err := e.cfg.Bus.CancelJob(r.Context(), r.PathValue("name"), audit(r))
	if err != nil {
		edge.WriteProblem(w, r, err)
		return
	}
	writeJSON(w, r, http.StatusOK, j)
}

// readRequest reads a body that says what is wanted. None is refused: that all is meant has to be said, as {}.
func readRequest(w http.ResponseWriter, r *http.Request, most int64, to any) *autobus.Error {
	body, bad := edge.ReadBody(w, r, most, autobus.ReasonBatchTooLarge)
	if bad != nil {
		return bad
	}
	err := autobus.StrictJSON(body, to)
	if known, ok := errors.AsType[*autobus.Error](err); ok {
		known.Reason = autobus.ReasonRequestInvalid
		return known
	}
	if err == nil {
		var object map[string]json.RawMessage
		if err = json.Unmarshal(body, &object); err == nil && object == nil {
			err = errors.New("it is null")
		}
	}
	if err != nil {
		// What embeds a field has a name of Go's, which says nothing to a client.
		fault := strings.TrimPrefix(edge.JSONFault(err), "LetterChoice.")
		return autobus.NewError(autobus.ReasonRequestInvalid, "the request cannot be read: %s", fault).
			WithHint("Send a JSON object; {} chooses all.")
	}
	return nil
}

// SPDX-License-Identifier: Apache-2.0

package rpc

import (
	"bytes"
	"context"
	"encoding/json"
	"mime"
	"net/http"
	"strconv"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/edge"
)

// serve answers one body: a call, or a batch of them. What concerns HTTP (no token, a body that is too large, unknown
// parameters) is answered by HTTP; everything else is 200 and JSON-RPC's to say.
func (e *Edge) serve(w http.ResponseWriter, r *http.Request) {
	timeout, bad := options(r)
	if bad == nil {
		bad = edge.Occupy(r.Context())
	}
	var body []byte
	if bad == nil {
		if body, bad = edge.ReadBody(w, r, maxBody, autobus.ReasonBatchTooLarge); bad != nil &&
			bad.Reason == autobus.ReasonBatchTooLarge {
			bad = bad.WithHint("Send at most %d calls and %d bytes at once.", maxCalls, maxBody)
		}
	}
	if bad != nil {
		edge.WriteProblem(w, r, bad)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), timeout)
	defer cancel()
	calls, batch, fault := split(body)
	if fault != nil {
		write(w, append(respond(nil, nil, nil, fault), '\n'))
		return
	}
	answers := make([][]byte, len(calls))
	var all sync.WaitGroup
	for i, raw := range calls {
		all.Go(func() { answers[i] = e.answer(ctx, r, raw) })
	}
	all.Wait()
	var out []byte
	for _, a := range answers {
		switch {
		case a == nil: // of a notification
		case len(out) == 0:
			out = append(out, a...)
		default:
			out = append(append(out, ','), a...)
		}
	}
	switch {
	case len(out) == 0:
		w.WriteHeader(http.StatusNoContent)
		return
	case batch:
		out = append(append([]byte{'['}, out...), ']')
	}
	write(w, append(out, '\n'))
}

func write(w http.ResponseWriter, body []byte) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	_, _ = w.Write(body) //nolint:gosec // JSON, sent as such; a client that left does not read it
}

func options(r *http.Request) (time.Duration, *autobus.Error) {
	if given := r.Header.Get("Content-Type"); given != "" {
		media, _, err := mime.ParseMediaType(given)
		if err != nil || !autobus.IsJSON(media) {
			return 0, autobus.NewError(autobus.ReasonMediaType, "the content type %q is not one of this path's",
				edge.Clip(given)).WithHint("Send application/json.")
		}
	}
	q, err := edge.Query(r, "timeout")
	if err != nil {
		return 0, err
	}
	s, err := edge.Single(q, "timeout")
	if err != nil || !q.Has("timeout") {
		return defaultTimeout, err
	}
	d, bad := time.ParseDuration(s)
	if bad != nil || d <= 0 || d > maxTimeout {
		return 0, autobus.NewError(autobus.ReasonRequestInvalid, "timeout %q is not a duration above 0 and up to %s",
			edge.Clip(s), maxTimeout).WithHint("Send it as 5s or 500ms.")
	}
	return d, nil
}

// split takes a batch apart.
func split(body []byte) (calls []json.RawMessage, batch bool, fault *fault) {
	body = bytes.TrimSpace(body)
	if !json.Valid(body) || !utf8.Valid(body) {
		return nil, false, unreadable(body)
	}
	if body[0] != '[' {
		return []json.RawMessage{body}, false, nil
	}
	switch err := json.Unmarshal(body, &calls); {
	case err != nil:
		return nil, false, unreadable(body)
	case len(calls) == 0:
		return nil, false, invalid("the batch is empty")
	case len(calls) > maxCalls:
		return nil, false, invalid("a batch has at most " + strconv.Itoa(maxCalls) + " calls")
	}
	return calls, true, nil
}

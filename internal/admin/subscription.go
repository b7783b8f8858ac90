// SPDX-License-Identifier: Apache-2.0

package admin

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/bus"
	"github.com/autobus-io/autobus/internal/edge"
)

// maxPolicyBytes is far above any honest policy.
const maxPolicyBytes = 256 << 10

// policyBody is what PUT takes: a policy, and what the protocol names besides and this build does not do.
type policyBody struct {
	autobus.Policy
	SLA json.RawMessage `json:"sla"`
}

func (e *Edge) mountSubscriptions(mux *http.ServeMux) {
	mux.HandleFunc("GET /v1/subscriptions", answer(e.listSubscriptions))
	mux.HandleFunc("GET /v1/subscriptions/{name}", answer(e.getSubscription))
	mux.HandleFunc("GET /v1/subscriptions/{name}/lag", answer(e.getLag))
	mux.HandleFunc("GET /v1/subscriptions/{name}/why", answer(e.getWhy))
	mux.HandleFunc("PUT /v1/subscriptions/{name}", e.putSubscription)
	mux.HandleFunc("DELETE /v1/subscriptions/{name}", e.deleteSubscription)
}

func answer(f func(context.Context, string) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		v, err := f(r.Context(), r.PathValue("name"))
		if err != nil {
			edge.WriteProblem(w, r, err)
			return
		}
		writeJSON(w, r, http.StatusOK, v)
	}
}

func (e *Edge) listSubscriptions(ctx context.Context, _ string) (any, error) {
	list, err := e.cfg.Bus.Subscriptions(ctx)
	return map[string]any{"subscriptions": list}, err
}

func (e *Edge) getSubscription(ctx context.Context, name string) (any, error) {
	return e.cfg.Bus.Describe(ctx, name)
}

func (e *Edge) getLag(ctx context.Context, name string) (any, error) { return e.cfg.Bus.Lag(ctx, name) }

func (e *Edge) getWhy(ctx context.Context, name string) (any, error) { return e.cfg.Bus.Why(ctx, name) }

func (e *Edge) putSubscription(w http.ResponseWriter, r *http.Request) {
	body, bad := edge.ReadBody(w, r, maxPolicyBytes, autobus.ReasonBatchTooLarge)
	if bad != nil {
		edge.WriteProblem(w, r, bad)
		return
	}
	p, err := readPolicy(body)
	if err != nil {
		edge.WriteProblem(w, r, err)
		return
	}
	name := r.PathValue("name")
	created, err := e.cfg.Bus.PutSubscription(r.Context(), name, p, audit(r))
	if err != nil {
		edge.WriteProblem(w, r, err)
		return
	}
	info, err := e.cfg.Bus.Describe(r.Context(), name)
	if err != nil {
		edge.WriteProblem(w, r, err)
		return
	}
	status := http.StatusOK
	if created {
		status = http.StatusCreated
	}
	writeJSON(w, r, status, info)
}

func readPolicy(body []byte) (autobus.Policy, error) {
	var b policyBody
	if err := autobus.StrictJSON(body, &b); err != nil {
		if known, ok := errors.AsType[*autobus.Error](err); ok {
			known.Reason = autobus.ReasonSubscriptionInvalid
			return b.Policy, known
		}
		return b.Policy, autobus.NewError(autobus.ReasonSubscriptionInvalid, "the policy cannot be read: %s",
			edge.JSONFault(err))
	}
	if s := string(b.SLA); s != "" && s != "null" && s != "false" {
		return b.Policy, autobus.NewError(autobus.ReasonUnimplemented, "sla is not offered yet").
			WithHint("Leave it away.")
	}
	return b.Policy, nil
}

func (e *Edge) deleteSubscription(w http.ResponseWriter, r *http.Request) {
	if err := e.cfg.Bus.DeleteSubscription(r.Context(), r.PathValue("name"), audit(r)); err != nil {
		edge.WriteProblem(w, r, err)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// audit is who asks for a change, for the control log.
func audit(r *http.Request) bus.Audit {
	p, _ := autobus.PrincipalOf(r.Context())
	return bus.Audit{Actor: p.Name, Reason: r.URL.Query().Get("reason")}
}

func writeJSON(w http.ResponseWriter, r *http.Request, status int, v any) {
	body, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		edge.WriteProblem(w, r, err)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(append(body, '\n')) // a client that went away needs no answer
}

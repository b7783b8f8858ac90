// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"cmp"
	"context"
	"encoding/json"
	"net/http"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/edge"
	"github.com/autobus-io/autobus/spec"
)

// pushBody is a push as a client asks for it.
type pushBody struct {
	Files  map[string]string `json:"files"` // path within the repository -> content
	DryRun bool              `json:"dry_run"`
	Force  bool              `json:"force"` // also what breaks somebody, as a step back to older specs may
	Reason string            `json:"reason"`
}

// pushAnswer says what a push would do, and what it did.
type pushAnswer struct {
	Plan   Preview `json:"plan"`
	Report *Report `json:"report,omitempty"` // nil = dry run
}

// push takes the files of a whole repository: what they do not declare has no spec afterwards.
func (e httpEdge) push(w http.ResponseWriter, req *http.Request) {
	answer, err := e.pushed(w, req)
	if err != nil {
		edge.WriteProblem(w, req, err)
		return
	}
	writeJSON(w, req, answer)
}

func (e httpEdge) pushed(w http.ResponseWriter, req *http.Request) (*pushAnswer, error) {
	p, ok := autobus.PrincipalOf(req.Context())
	switch {
	case !ok:
		return nil, autobus.NewError(autobus.ReasonUnauthenticated, "nobody is known to push")
	case !p.MayAll(autobus.VerbManage, "*"):
		return nil, autobus.NewError(autobus.ReasonForbidden, "%s has no grant to manage all types", p.Name)
	}
	raw, bad := edge.ReadBody(w, req, autobus.MaxBatchBytes, autobus.ReasonBatchTooLarge)
	if bad != nil {
		return nil, bad
	}
	var body pushBody
	if err := autobus.StrictJSON(raw, &body); err != nil {
		return nil, autobus.NewError(autobus.ReasonRequestInvalid, "the push cannot be read: %s", edge.JSONFault(err))
	}
	files := make(spec.Files, len(body.Files))
	for name, content := range body.Files {
		files[name] = []byte(content)
	}
	ctx, cancel := context.WithTimeout(req.Context(), pushTimeout)
	defer cancel()
	plan, err := e.r.Preview(ctx, files)
	if err != nil || body.DryRun {
		return &pushAnswer{Plan: plan}, err
	}
	if n := len(plan.Breaks); n > 0 && !body.Force {
		return nil, autobus.NewError(autobus.ReasonSpecIncompatible, "%d changes break somebody, the first: %s", n,
			plan.Breaks[0].Message)
	}
	report, err := e.r.Push(ctx, files, p.Name, cmp.Or(body.Reason, "pushed over the API"))
	return &pushAnswer{Plan: plan, Report: &report}, err
}

// specs are the files in force.
func (e httpEdge) specs(*http.Request, autobus.Principal) (any, error) {
	out := struct {
		Hash  string            `json:"hash"`
		Files map[string]string `json:"files"`
	}{e.r.Hash(), map[string]string{}}
	for name, content := range e.r.Files() {
		out.Files[name] = string(content)
	}
	return out, nil
}

// drift is where the cluster is not as the specs in force say.
func (e httpEdge) drift(req *http.Request, _ autobus.Principal) (any, error) {
	ctx, cancel := context.WithTimeout(req.Context(), pushTimeout)
	defer cancel()
	return e.r.Compare(ctx)
}

func writeJSON(w http.ResponseWriter, req *http.Request, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		edge.WriteProblem(w, req, err)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	if _, ok := v.(json.RawMessage); ok {
		w.Header().Set("Content-Type", "application/schema+json")
	}
	_, _ = w.Write(append(body, '\n')) // a client that went away needs no answer
}

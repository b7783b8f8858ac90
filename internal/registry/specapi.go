// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"cmp"
	"context"
	"encoding/json"
	"io/fs"
	"net/http"
	"path"
	"strings"
	"time"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/control"
	"github.com/autobus-io/autobus/internal/edge"
	"github.com/autobus-io/autobus/spec"
)

// pushBody is a push as a client asks for it.
type pushBody struct {
	Files  map[string]string `json:"files"` // path within the repository -> content
	DryRun bool              `json:"dry_run"`
	Force  bool              `json:"force"` // also what breaks somebody, as a step back to older specs may
	Base   *string           `json:"base"`  // hash of the bundle that must be in force, of the plan that was looked at
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
	files, err := body.repository()
	if err != nil {
		return nil, err
	}
	files = e.r.complete(files)
	ctx, cancel := context.WithTimeout(req.Context(), pushTimeout)
	defer cancel()
	plan, err := e.r.Preview(ctx, files)
	if err == nil && body.Base != nil && plan.Base != *body.Base && plan.Base != plan.Hash {
		err = moved(plan.Base)
	}
	if err != nil || body.DryRun {
		return &pushAnswer{Plan: plan}, err
	}
	if n := len(plan.Breaks); n > 0 && !body.Force {
		return nil, autobus.NewError(autobus.ReasonSpecIncompatible, "%d changes break somebody, the first: %s", n,
			plan.Breaks[0].Message)
	}
	report, err := e.r.PushAfter(ctx, plan.Base, files, p.Name, cmp.Or(body.Reason, "pushed over the API"))
	if err == nil {
		// As at a start: a subscription that begins at the end must not miss what is published once this is answered.
		if failed := e.r.Subscribe(ctx, e.put); failed != nil {
			report.Pending = failed.Error() // Follow tries again
		}
	}
	return &pushAnswer{Plan: plan, Report: &report}, err
}

// repository is the files of a push. One without any would take all types away, which is asked for in words: {}.
func (b pushBody) repository() (spec.Files, error) {
	if b.Files == nil {
		return nil, autobus.NewError(autobus.ReasonRequestInvalid, "the push has no files").
			WithHint("Send the files of the whole repository; what they do not declare has no spec afterwards.")
	}
	files := make(spec.Files, len(b.Files))
	for name, content := range b.Files {
		ext := path.Ext(name)
		if !fs.ValidPath(name) || strings.ContainsAny(name, "\\\x00") || ext != ".yaml" && ext != ".yml" {
			return nil, autobus.NewError(autobus.ReasonRequestInvalid, "%q is no path of a YAML file in a repository", name).
				WithHint("Name files from the top of the repository, such as events/orders/order.placed.v1.yaml.")
		}
		files[name] = []byte(content)
	}
	return files, nil
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

// bundleItem is one bundle that was in force.
type bundleItem struct {
	Hash   string            `json:"hash"`
	At     time.Time         `json:"at"`
	Actor  string            `json:"actor"`
	Reason string            `json:"reason,omitempty"`
	Files  map[string]string `json:"files"` // path -> hash of the content
}

// maxBundles bounds a history; what was in force before is too long ago for anybody to look through.
const maxBundles = 200

// past is what was in force, the oldest first and what is now last, without what this build cannot read.
func (e httpEdge) past(req *http.Request, _ autobus.Principal) (any, error) {
	ctx, cancel := context.WithTimeout(req.Context(), pushTimeout)
	defer cancel()
	if err := e.r.cfg.Control.Barrier(ctx); err != nil {
		return nil, err
	}
	records, err := e.r.cfg.Control.History(ctx, control.KindManifest, control.ManifestName, control.None)
	if err != nil {
		return nil, err
	}
	out := struct {
		Bundles  []bundleItem      `json:"bundles"`
		Contents map[string]string `json:"contents"` // by hash
	}{[]bundleItem{}, map[string]string{}}
	for _, rec := range records[max(0, len(records)-maxBundles):] {
		m, err := control.Decode[control.Manifest](rec)
		if err != nil || rec.Removed() {
			continue
		}
		item := bundleItem{bundleHash(m), rec.Time, rec.Actor, rec.Reason, map[string]string{}}
		for _, f := range m.Files {
			item.Files[f.Path] = f.Hash
			raw, _ := e.r.cfg.Control.Get(control.KindSpec, f.Hash)
			s, err := control.Decode[control.SpecFile](raw)
			if err != nil {
				item.Files = nil
				break
			}
			out.Contents[f.Hash] = s.Content
		}
		if item.Files != nil {
			out.Bundles = append(out.Bundles, item)
		}
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

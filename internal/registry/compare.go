// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"context"
	"slices"

	"github.com/autobus-io/autobus/spec"
)

// Comparison is how the cluster differs from the specs in force: what pushing them again would change, and what it
// could not.
type Comparison struct {
	Missing []string      `json:"missing,omitempty"` // topics that are not there
	Differ  []Alteration  `json:"differ,omitempty"`  // settings that a push would set anew
	Routes  []string      `json:"routes,omitempty"`  // types whose route is not what their spec asks for
	Drift   []Drift       `json:"drift,omitempty"`   // what a push leaves as it is
	Faults  spec.Problems `json:"faults,omitempty"`  // specs in force that could not come into force now
	Unread  spec.Problems `json:"unread,omitempty"`  // why the newest specs are not in force
}

// Compare holds the specs in force against routes and topics. It changes nothing.
func (r *Registry) Compare(ctx context.Context) (Comparison, error) {
	f := r.force.Load()
	out := Comparison{Unread: f.unread}
	w, err := r.look(ctx, &bundle{snapshot: f.snapshot, hash: f.hash})
	if err != nil {
		return out, err
	}
	p := &plan{}
	for _, t := range f.snapshot.Types() {
		fault, ok := w.planType(t, p)
		if ok {
			continue
		}
		if fault.File == "" {
			fault.File, fault.Line = t.File, t.Line
		}
		out.Faults = append(out.Faults, fault)
	}
	for _, n := range p.create {
		out.Missing = append(out.Missing, n.Name)
	}
	for _, n := range p.routes {
		out.Routes = append(out.Routes, n.Type)
	}
	out.Differ, out.Drift = p.alter, p.drift
	slices.Sort(out.Missing)
	return out, nil
}

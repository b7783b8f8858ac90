// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"bytes"
	"context"
	"maps"
	"reflect"
	"slices"
	"time"

	"github.com/autobus-io/autobus/spec"
)

// Preview is what a push would do, and whom it would break, of those who read by any version that ever was in force or
// find data of one. Lists are never nil.
type Preview struct {
	Hash    string   `json:"hash"`    // of the bundle
	Base    string   `json:"base"`    // hash of the bundle in force, which this is judged against; "" = none
	Types   int      `json:"types"`   // that it declares
	Changed bool     `json:"changed"` // anything would be
	Added   []string `json:"added"`   // types that have no spec yet
	Removed []string `json:"removed"` // types that would have none any more
	Updated []Update `json:"updated"` // types whose spec would be another
	Files   []string `json:"files"`   // others that come, go or change: services, what types refer to

	Subscriptions []SubscriptionChange `json:"subscriptions"` // that the services' files declare

	Create []NewTopic         `json:"create"`
	Alter  []Alteration       `json:"alter"`
	Drift  []Drift            `json:"drift"`  // what the push would leave as it is
	Breaks []spec.LintFinding `json:"breaks"` // what S21 and S24 hold against it, but for waived findings, and who reads
}

// Update is a type that a push would give another spec; of the same version, it says it otherwise.
type Update struct {
	Type string `json:"type"`
	From string `json:"from"` // version in force
	To   string `json:"to"`
}

// SubscriptionChange is a subscription that a push would make or give another policy, or that would be declared no
// more: that one stays, with its place, until somebody deletes it.
type SubscriptionChange struct {
	Name   string `json:"name"`
	File   string `json:"file"`
	Change string `json:"change"` // added, changed or undeclared
}

// NewTopic is a topic that a push would make.
type NewTopic struct {
	Topic      string            `json:"topic"`
	Partitions int32             `json:"partitions"`
	Replicas   int               `json:"replicas"`
	Settings   map[string]string `json:"settings"`
}

// Preview says what Push would do with the files, and changes nothing. The errors are Push's.
func (r *Registry) Preview(ctx context.Context, files spec.Files) (Preview, error) {
	b, err := readBundle(files)
	if err != nil {
		return Preview{}, invalid(err)
	}
	if err := r.checkFilters(b.snapshot); err != nil {
		return Preview{}, invalid(err)
	}
	w, err := r.look(ctx, b)
	if err != nil {
		return Preview{}, err
	}
	p, err := makePlan(w, b)
	if err != nil {
		return Preview{}, invalid(err)
	}
	history, until, err := r.history(ctx)
	if err != nil {
		return Preview{}, err
	}
	now := spec.Empty()
	if len(history) > 0 {
		now = history[len(history)-1]
	}
	out := Preview{Hash: b.hash, Base: w.hash, Types: b.snapshot.Len(),
		Changed: p.swap || len(p.create)+len(p.alter)+len(p.routes)+len(p.specs) > 0,
		Added:   missing(b.snapshot, now), Removed: missing(now, b.snapshot),
		Updated: updated(now, b.snapshot, r.Files(), files), Files: otherFiles(now, b.snapshot, r.Files(), files),
		Subscriptions: declared(now, b.snapshot),
		Create:        []NewTopic{}, Alter: append([]Alteration{}, p.alter...), Drift: append([]Drift{}, p.drift...),
		Breaks: breaks(files, history, func(t *spec.Type) bool {
			at, replaced := until[t]
			return replaced && emptied(w.topics[w.topicOf(t.Name)], at, time.Now())
		})}
	out.Breaks = append(out.Breaks, r.livingReaders(now, b.snapshot)...)
	for _, n := range p.create {
		out.Create = append(out.Create, NewTopic{n.Name, n.Partitions, n.Replicas, n.Configs})
	}
	return out, nil
}

// missing lists the types of a that b does not have.
func missing(a, b *spec.Snapshot) []string {
	out := []string{}
	for _, t := range a.Types() {
		if _, ok := b.Type(t.Name); !ok {
			out = append(out, t.Name)
		}
	}
	return out
}

// updated lists the types that both have and that are not the same in both: by their file, or by what that refers to.
func updated(a, b *spec.Snapshot, before, after spec.Files) []Update {
	out := []Update{}
	for _, next := range b.Types() {
		t, ok := a.Type(next.Name)
		if ok && (t.File != next.File || !bytes.Equal(before[t.File], after[next.File]) || !spec.SameData(t, next)) {
			out = append(out, Update{t.Name, t.Version, next.Version})
		}
	}
	return out
}

// declared lists the subscriptions of which two snapshots say something else.
func declared(before, after *spec.Snapshot) []SubscriptionChange {
	out := []SubscriptionChange{}
	was := map[string]*spec.Subscription{}
	for _, s := range before.Subscriptions() {
		was[s.Name] = s
	}
	for _, s := range after.Subscriptions() {
		old, known := was[s.Name]
		delete(was, s.Name)
		switch {
		case !known:
			out = append(out, SubscriptionChange{s.Name, s.File, "added"})
		case !reflect.DeepEqual(old.Policy, s.Policy):
			out = append(out, SubscriptionChange{s.Name, s.File, "changed"})
		}
	}
	for _, name := range slices.Sorted(maps.Keys(was)) {
		out = append(out, SubscriptionChange{name, was[name].File, "undeclared"})
	}
	return out
}

// otherFiles lists what differs and is not the file of a type.
func otherFiles(a, b *spec.Snapshot, before, after spec.Files) []string {
	differ := map[string]bool{}
	for _, pair := range [][2]spec.Files{{before, after}, {after, before}} {
		for path, content := range pair[0] {
			other, ok := pair[1][path]
			differ[path] = differ[path] || !ok || !bytes.Equal(content, other)
		}
	}
	for _, s := range []*spec.Snapshot{a, b} {
		for _, t := range s.Types() {
			delete(differ, t.File)
		}
	}
	maps.DeleteFunc(differ, func(_ string, differs bool) bool { return !differs })
	return append([]string{}, slices.Sorted(maps.Keys(differ))...)
}

// breaks is what the rules of compatibility hold against files that follow all that was in force.
func breaks(files spec.Files, history []*spec.Snapshot, gone func(*spec.Type) bool) []spec.LintFinding {
	out := []spec.LintFinding{}
	if len(history) == 0 {
		return out
	}
	for _, f := range spec.Lint(files, spec.LintOptions{History: history, Gone: gone}) {
		if slices.Contains([]string{"S21", "S24"}, f.Rule) && f.Severity == spec.SeverityError && f.Waived == "" {
			out = append(out, f)
		}
	}
	return out
}

// follows refuses files of a folder that break who works by what is in force: an instance that starts again with the
// specs of yesterday must not undo a push. It gives the hash of the bundle that it judged by; nil in dev, where nobody
// is to be protected.
func (r *Registry) follows(ctx context.Context, files spec.Files) (base *string, err error) {
	if r.cfg.Dev {
		return nil, nil
	}
	if err := r.cfg.Control.Barrier(ctx); err != nil {
		return nil, err
	}
	_, hash, _ := r.manifest()
	var out spec.Problems
	for _, f := range breaks(files, []*spec.Snapshot{r.Snapshot()}, nil) {
		f.Hint = "Bring the folder up to date, or take the change back; autobus spec push DIR --force brings it into force " +
			"nevertheless."
		out = append(out, f.Problem)
	}
	if len(out) > 0 {
		return nil, invalid(out)
	}
	return &hash, nil
}

// topicOf is the topic of a type.
func (w *world) topicOf(name string) string {
	if r := w.routes[name]; r.exists {
		return r.Topic
	}
	return name
}

// Files are those of the bundle in force.
func (r *Registry) Files() spec.Files { return r.force.Load().files }

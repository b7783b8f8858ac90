// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"context"
	"errors"
	"fmt"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/control"
	"github.com/autobus-io/autobus/spec"
)

// attempts bounds how often a push begins again after another instance changed something first.
const attempts = 8

// errAgain says that the world is not the one the plan was made for.
var errAgain = errors.New("somebody else changed something first")

// Push brings files into force and returns when this instance uses them. ReasonSpecInvalid: they have faults (its
// cause is spec.Problems) and what was in force still is; unless it is the brokers who refuse a setting, nothing was
// touched. Any other error may leave new topics, routes and spec records behind, which change nothing for those who
// publish; pushing again goes on from there.
func (r *Registry) Push(ctx context.Context, files spec.Files, actor, reason string) (Report, error) {
	return r.push(ctx, files, nil, change{actor, reason})
}

// PushAfter is Push while the bundle of a hash is in force, which the files were judged against. ReasonControlConflict:
// others came first, and nothing was written that anybody sees.
func (r *Registry) PushAfter(ctx context.Context, base string, files spec.Files, actor, reason string) (Report, error) {
	return r.push(ctx, files, &base, change{actor, reason})
}

func (r *Registry) push(ctx context.Context, files spec.Files, base *string, c change) (Report, error) {
	b, err := readBundle(files)
	if err != nil {
		return Report{}, invalid(err)
	}
	if err := r.checkFilters(b.snapshot); err != nil {
		return Report{}, invalid(err)
	}
	if err := r.enter(ctx); err != nil {
		return Report{}, err
	}
	defer r.leave()
	report := Report{Hash: b.hash, Types: b.snapshot.Len()}
	for range attempts {
		w, err := r.look(ctx, b)
		if err != nil {
			return report, err
		}
		if base != nil && w.hash != *base && w.hash != b.hash {
			return report, moved(w.hash)
		}
		p, err := makePlan(w, b)
		if err != nil {
			return report, invalid(err)
		}
		report.Drift = p.drift
		err = r.carryOut(ctx, w, b, p, &report, c)
		if err == nil {
			return report, r.settled(b, report)
		}
		if !errors.Is(err, errAgain) && !errors.Is(err, &autobus.Error{Reason: autobus.ReasonControlConflict}) {
			return report, invalid(err)
		}
	}
	return report, autobus.NewError(autobus.ReasonControlConflict,
		"the specs were changed by others %d times while this push went on", attempts)
}

// moved says that a push was judged against specs that are in force no more.
func moved(hash string) error {
	return autobus.NewError(autobus.ReasonControlConflict,
		"other specs came into force since this push was judged: those of %.12s", hash).
		WithHint("Look at what is in force (autobus spec diff DIR --against server) and push again.")
}

// change is who and why, for the audit.
type change struct{ actor, reason string }

// settled checks that the swap was taken here: a newer build may have written routes that this one cannot.
func (r *Registry) settled(b *bundle, report Report) error {
	f := r.force.Load()
	if f.hash != b.hash && len(f.unread) > 0 {
		return invalid(f.unread)
	}
	for _, d := range report.Drift {
		r.cfg.Logger.Warn("topic is not as its spec says", "topic", d.Topic, "what", d.What, "want", d.Want, "got", d.Got)
	}
	if report.Changed {
		r.cfg.Logger.Info("specs in force", "types", report.Types, "hash", report.Hash)
	}
	return nil
}

// look collects what the plan depends on.
func (r *Registry) look(ctx context.Context, b *bundle) (*world, error) {
	if err := r.cfg.Control.Barrier(ctx); err != nil {
		return nil, err
	}
	w := &world{
		cluster: r.cfg.ClusterName, embedded: r.cfg.Embedded, dev: r.cfg.Dev, routes: map[string]route{},
		specs: map[string]int64{},
	}
	var names []string
	for _, t := range b.snapshot.Types() {
		have := r.route(t.Name)
		w.routes[t.Name] = have
		if have.exists {
			names = append(names, have.Topic)
		} else {
			names = append(names, t.Name)
		}
	}
	for hash := range b.specs {
		if rec, ok := r.cfg.Control.Get(control.KindSpec, hash); !ok {
			w.specs[hash] = rec.Offset
		}
	}
	w.prev, w.hash, w.newer = r.manifest()
	return w, r.lookAtCluster(ctx, w, names)
}

// manifest is the place of the manifest in the control log and the hash of the bundle that it lists, or why this build
// cannot read it. One that is damaged lists nothing and is to be replaced.
func (r *Registry) manifest() (prev int64, hash string, newer error) {
	rec, ok := r.cfg.Control.Get(control.KindManifest, control.ManifestName)
	if !ok {
		return rec.Offset, "", nil
	}
	m, err := control.Decode[control.Manifest](rec)
	switch {
	case err == nil:
		hash = bundleHash(m)
	case errors.Is(err, &autobus.Error{Reason: autobus.ReasonTypeUnreadable}):
		newer = err
	}
	return rec.Offset, hash, newer
}

func (r *Registry) lookAtCluster(ctx context.Context, w *world, names []string) error {
	if len(names) == 0 {
		return nil // no names would mean all topics
	}
	var err error
	if w.topics, err = r.cfg.Log.Topics(ctx, names...); err != nil {
		return err
	}
	for _, t := range w.topics {
		if t.Err != nil {
			return t.Err // planning without knowing it would take it for weak or absent
		}
	}
	cluster, err := r.cfg.Log.Describe(ctx)
	w.brokers = len(cluster.Brokers)
	return err
}

// route reads a type's route record.
func (r *Registry) route(name string) route {
	rec, ok := r.cfg.Control.Get(control.KindRoute, name)
	have := route{prev: rec.Offset, exists: ok}
	if ok {
		have.Route, have.err = control.Decode[control.Route](rec)
	}
	return have
}

// carryOut does what the plan says. The manifest comes last: until then nobody sees anything of it.
func (r *Registry) carryOut(ctx context.Context, w *world, b *bundle, p *plan, report *Report, c change) error {
	if err := r.provision(ctx, b, p, report); err != nil {
		return err
	}
	for _, hash := range p.specs {
		if err := r.write(ctx, control.KindSpec, hash, w.specs[hash], b.specs[hash], c); err != nil {
			return err
		}
		report.Specs++
	}
	for _, n := range p.routes {
		if err := r.write(ctx, control.KindRoute, n.Type, n.prev, n.Route, c); err != nil {
			return err
		}
		report.Routes = append(report.Routes, n.Type)
	}
	if err := r.keep(ctx, b.snapshot, c); err != nil {
		return err
	}
	if !p.swap {
		return nil
	}
	if err := r.write(ctx, control.KindManifest, control.ManifestName, w.prev, b.manifest, c); err != nil {
		return err
	}
	report.Changed = true
	return nil
}

func (r *Registry) provision(ctx context.Context, b *bundle, p *plan, report *Report) error {
	raced := false
	for _, n := range p.create {
		created, err := r.cfg.Log.CreateTopic(ctx, n)
		if err != nil {
			return b.refused(n.Name, err)
		}
		if created {
			report.Created = append(report.Created, n.Name)
		}
		raced = raced || !created
	}
	if raced {
		return errAgain // another one's topic may look otherwise than the plan thinks
	}
	byTopic := map[string]map[string]string{}
	for _, a := range p.alter {
		if byTopic[a.Topic] == nil {
			byTopic[a.Topic] = map[string]string{}
		}
		byTopic[a.Topic][a.Key] = a.After
	}
	for topic, configs := range byTopic {
		if err := r.cfg.Log.AlterTopic(ctx, topic, configs); err != nil {
			return b.refused(topic, err)
		}
	}
	report.Altered = append(report.Altered, p.alter...)
	return nil
}

func (r *Registry) write(ctx context.Context, kind, name string, prev int64, value any, c change) error {
	rec, err := control.NewRecord(kind, name, prev, value)
	if err != nil {
		return err
	}
	rec.Actor, rec.Reason = c.actor, c.reason
	_, err = r.cfg.Control.Change(ctx, rec)
	return err
}

// invalid makes faults of a bundle an error of the bus; the first one stands in its text.
func invalid(err error) error {
	var p spec.Problems
	if !errors.As(err, &p) || len(p) == 0 {
		return err
	}
	detail := p[:1].Error()
	if len(p) > 1 {
		detail += fmt.Sprintf(" (and %d more)", len(p)-1)
	}
	return autobus.NewError(autobus.ReasonSpecInvalid, "%s", detail).WithCause(err)
}

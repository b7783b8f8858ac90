// SPDX-License-Identifier: Apache-2.0

package bus

import (
	"cmp"
	"context"
	"slices"
	"sync"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/control"
)

// jobs follows the records of jobs, see control.Job.
type jobs struct {
	bus *Bus

	mu     sync.Mutex
	byID   map[string]*job
	broken map[string]error // by id: a newer build wrote it, and what it did to letters cannot be said
}

// job is one in force.
type job struct {
	control.Job
	id     string
	record int64         // offset of its record
	choice func() choice // compiled on first use: at the start there may be many, and few are needed
}

func newJobs(b *Bus) *jobs {
	js := &jobs{bus: b, byID: map[string]*job{}, broken: map[string]error{}}
	b.cfg.Control.Watch(control.KindJob, js.apply)
	return js
}

// apply takes over a record of a job.
func (js *jobs) apply(rec control.Record) {
	js.mu.Lock()
	defer js.mu.Unlock()
	delete(js.broken, rec.Name)
	delete(js.byID, rec.Name)
	if rec.Removed() {
		return
	}
	value, err := control.Decode[control.Job](rec)
	if err != nil {
		js.broken[rec.Name] = err
		return
	}
	j := &job{Job: value, id: rec.Name, record: rec.Offset}
	j.choice = sync.OnceValue(func() choice {
		c, err := choiceOf(&value)
		if err != nil { // it was compiled when it was made; then it chooses nothing any more
			js.bus.cfg.Logger.Error("the filter of a job cannot be read", "job", j.id, "error", err)
			c.end = 0
		}
		return c
	})
	js.byID[rec.Name] = j
	js.bus.groups.signalRedriving(value.Subscription)
}

// of gives the jobs of a subscription, the oldest first.
func (js *jobs) of(subscription string) ([]*job, error) {
	js.mu.Lock()
	defer js.mu.Unlock()
	for _, err := range js.broken {
		return nil, err
	}
	var out []*job
	for _, j := range js.byID {
		if j.Subscription == subscription {
			out = append(out, j)
		}
	}
	slices.SortFunc(out, func(a, b *job) int {
		return cmp.Or(a.Created.Compare(b.Created), cmp.Compare(a.record, b.record))
	})
	return out, nil
}

func (js *jobs) get(id string) (*job, bool) {
	js.mu.Lock()
	defer js.mu.Unlock()
	j, ok := js.byID[id]
	return j, ok
}

func (js *jobs) all() []*job {
	js.mu.Lock()
	defer js.mu.Unlock()
	out := make([]*job, 0, len(js.byID))
	for _, j := range js.byID {
		out = append(out, j)
	}
	return out
}

// chooses reports whether the job is for a letter. A redrive leaves those alone whose event cannot be had from it, or
// has no place that the subscription read when the job was made.
func (j *job) chooses(l *DeadLetter) bool {
	if j.Action == control.JobRedrive {
		if _, ok := j.Sources[l.Topic][l.Partition]; !ok || l.place != wholePlace || l.Omitted != "" {
			return false
		}
	}
	c := j.choice()
	return c.takes(l)
}

// signalRedriving wakes the group of a subscription, if it is here.
func (gs *groups) signalRedriving(subscription string) {
	gs.mu.Lock()
	defer gs.mu.Unlock()
	if g := gs.byName[subscription]; g != nil {
		signal(g.redriving)
	}
}

// mayRedrive refuses who may not decide about dead letters.
func mayRedrive(ctx context.Context, name string) (autobus.Principal, error) {
	who, known := autobus.PrincipalOf(ctx)
	switch {
	case !known:
		return who, autobus.NewError(autobus.ReasonUnauthenticated, "nobody is known to ask")
	case !who.May(autobus.VerbRedrive, name):
		return who, autobus.NewError(autobus.ReasonForbidden, "%s may not redrive or drop the dead letters of %q", who.Name,
			clipName(name)).WithHint("It takes the grant redrive:%s.", clipName(name))
	}
	return who, nil
}

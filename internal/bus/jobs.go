// SPDX-License-Identifier: Apache-2.0

package bus

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/control"
	"github.com/autobus-io/autobus/internal/kafka"
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

// What became of a dead letter, beside nothing.
const (
	fateRedriven = "redriven"
	fateDropped  = "dropped"
	fateEdited   = "edited" // another letter has its place
	fateNever    = "never"  // it was written for an edit that did not come about
)

// fates tells what became of the dead letters of a subscription. Nothing is noted of a single one: it follows from the
// jobs that choose it and from how far they are, so that it costs nothing to keep and cannot be forgotten.
type fates struct {
	topicID string // of the dead letters
	kept    time.Duration
	jobs    []*fated
	edited  map[int64]int64 // number of a letter -> of the one that counts now
}

// fated is a job and how far it is.
type fated struct {
	*job
	next     map[kafka.TP]int64 // by source
	left     map[int64]struct{} // numbers of letters that stay
	progress []control.JobProgress
}

// fates reads what is known of them here. fresh = what others did up to now is known too.
func (b *Bus) fates(ctx context.Context, name string, fresh bool) (*fates, error) {
	if fresh {
		if err := b.cfg.Control.Barrier(ctx); err != nil {
			return nil, err
		}
		if err := b.cfg.State.Barrier(ctx); err != nil {
			return nil, err
		}
	}
	out := &fates{edited: map[int64]int64{}}
	all, err := b.jobs.of(name)
	if err != nil {
		return nil, err
	}
	topics, err := b.cfg.Log.Topics(ctx, deadLetters(name))
	if err != nil {
		return nil, err
	}
	t, exists := topics[deadLetters(name)]
	if !exists || t.Err != nil {
		return out, t.Err
	}
	out.topicID = hexID(t.ID)
	if ms := number64(t.Configs["retention.ms"]); ms > 0 {
		out.kept = time.Duration(ms) * time.Millisecond
	}
	progress, err := b.cfg.State.JobProgress()
	if err != nil {
		return nil, err
	}
	for _, j := range all {
		if j.TopicID == out.topicID {
			out.add(newFated(j, progress[j.id]))
		}
	}
	return out, nil
}

func newFated(j *job, progress []control.JobProgress) *fated {
	f := &fated{job: j, next: map[kafka.TP]int64{}, left: map[int64]struct{}{}, progress: progress}
	for _, p := range progress {
		tp := kafka.TP{Topic: p.Topic, Partition: p.Partition}
		f.next[tp] = max(f.next[tp], p.Next)
		for _, n := range p.Left {
			f.left[n] = struct{}{}
		}
	}
	return f
}

func (f *fates) add(j *fated) {
	f.jobs = append(f.jobs, j)
	if j.Action == control.JobEdit && len(j.Numbers) == 1 {
		f.edited[j.Numbers[0]] = j.Letter
	}
}

// of tells of one letter; empty = it is still there.
func (f *fates) of(l *DeadLetter) string {
	if l.Edited != nil && f.edited[*l.Edited] != l.Number {
		return fateNever
	}
	if _, gone := f.edited[l.Number]; gone {
		return fateEdited
	}
	for _, j := range f.jobs {
		switch {
		case j.Action == control.JobDrop && j.chooses(l):
			return fateDropped
		case j.Action == control.JobRedrive && l.Number < j.next[l.source()] && j.chooses(l):
			if _, left := j.left[l.Number]; !left {
				return fateRedriven
			}
		}
	}
	return ""
}

// over reports whether nothing is to be done for the job any more.
func (f *fated) over() bool {
	if f.Action != control.JobRedrive || f.Canceled {
		return true
	}
	for topic, partitions := range f.Sources {
		for partition := range partitions {
			if f.next[kafka.TP{Topic: topic, Partition: partition}] < f.End {
				return false
			}
		}
	}
	return true
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

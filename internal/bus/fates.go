// SPDX-License-Identifier: Apache-2.0

package bus

import (
	"context"
	"time"

	"github.com/autobus-io/autobus/internal/control"
	"github.com/autobus-io/autobus/internal/kafka"
)

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
	if kept, ok := t.Millis("retention.ms"); ok && kept > 0 {
		out.kept = kept
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

// SPDX-License-Identifier: Apache-2.0

package bus

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/control"
)

// States of a job.
const (
	JobRunning  = "running"
	JobDone     = "done"
	JobCanceled = "canceled" // by somebody, or because the subscription was deleted
)

// Job is something that somebody wants done with dead letters, and how far it is. Public: the API answers with it.
type Job struct {
	ID           string `json:"id"`
	Action       string `json:"action"` // redrive, drop or edit
	Subscription string `json:"subscription"`
	State        string `json:"state"`
	LetterChoice
	Rate float64 `json:"rate,omitempty"`

	Count     int64   `json:"count"`              // letters that it chose
	Redriven  int64   `json:"redriven"`           // that were written for the subscription once more
	Repeated  int64   `json:"repeated,omitempty"` // that were not, because their event was on its way already
	Remaining int64   `json:"remaining"`
	Left      []int64 `json:"left,omitempty"` // numbers of those that could not be redriven; they stay dead letters
	Gone      int64   `json:"gone,omitempty"` // that others redrove or dropped before, or retention took
	Letter    *int64  `json:"letter,omitempty"`

	Actor   string    `json:"actor,omitempty"`
	Reason  string    `json:"reason,omitempty"`
	Created time.Time `json:"created"`
	Updated time.Time `json:"updated,omitzero"` // when it last went on
}

// view makes the public form of a job.
func (b *Bus) view(f *fated) Job {
	out := Job{ID: f.id, Action: f.Action, Subscription: f.Subscription, State: JobRunning, Rate: f.Rate, Count: f.Count,
		LetterChoice: LetterChoice{Numbers: f.Numbers, IDs: f.IDs, Fingerprint: f.Fingerprint, Filter: f.Filter,
			Before: f.End},
		Actor: f.Actor, Reason: f.Reason, Created: f.Created}
	for _, p := range f.progress {
		out.Redriven += p.Redriven
		out.Repeated += p.Repeated
		out.Left = append(out.Left, p.Left...)
		if p.Time.After(out.Updated) {
			out.Updated = p.Time
		}
	}
	slices.Sort(out.Left)
	out.Left = slices.Compact(out.Left)
	if f.Action == control.JobEdit {
		out.Letter = &f.Letter
	}
	rest := max(0, f.Count-out.Redriven-out.Repeated-int64(len(out.Left)))
	switch {
	case f.Action != control.JobRedrive:
		out.State = JobDone
	case f.Canceled:
		out.State, out.Gone = JobCanceled, 0
	case f.over():
		out.State, out.Gone = JobDone, rest
	case !b.lives(f.job):
		out.State = JobCanceled
	default:
		out.Remaining = rest
	}
	return out
}

// lives reports whether the subscription of a job is still the one for which it was made.
func (b *Bus) lives(j *job) bool {
	rec, ok := b.cfg.Control.Get(control.KindSubscription, j.Subscription)
	if !ok {
		return false
	}
	v, err := control.Decode[control.Subscription](rec)
	return err != nil || v.Created.Equal(j.Made)
}

// Jobs lists those of the subscriptions whose dead letters the principal may look at or redrive, the youngest first.
func (b *Bus) Jobs(ctx context.Context, subscription string) ([]Job, error) {
	who, known := autobus.PrincipalOf(ctx)
	if !known {
		return nil, autobus.NewError(autobus.ReasonUnauthenticated, "nobody is known to ask")
	}
	progress, err := b.readJobs(ctx)
	if err != nil {
		return nil, err
	}
	out := []Job{}
	for _, j := range b.jobs.all() {
		if (subscription == "" || j.Subscription == subscription) && mayFollow(who, j) {
			out = append(out, b.view(newFated(j, progress[j.id])))
		}
	}
	slices.SortFunc(out, func(a, b Job) int { return cmp.Or(b.Created.Compare(a.Created), strings.Compare(a.ID, b.ID)) })
	return out, nil
}

// Job tells of one. ReasonJobUnknown.
func (b *Bus) Job(ctx context.Context, id string) (Job, error) {
	f, err := b.findJob(ctx, id)
	if err != nil {
		return Job{}, err
	}
	return b.view(f), nil
}

// CancelJob ends a redrive where it is: what was redriven stays so, the rest stay dead letters. One that is over stays
// as it is. It takes the grant redrive.
func (b *Bus) CancelJob(ctx context.Context, id string, a Audit) (Job, error) {
	for range changeAttempts {
		f, err := b.findJob(ctx, id)
		if err != nil {
			return Job{}, err
		}
		if _, err := mayRedrive(ctx, f.Subscription); err != nil {
			return Job{}, err
		}
		if f.over() {
			return b.view(f), nil
		}
		value := f.Job
		value.Canceled = true
		rec, err := control.NewRecord(control.KindJob, id, f.record, value)
		if err != nil {
			return Job{}, err
		}
		rec.Actor, rec.Reason = a.Actor, cmp.Or(a.Reason, "cancel job")
		if _, err = b.cfg.Control.Change(ctx, rec); err == nil {
			return b.Job(ctx, id)
		}
		if !errors.Is(err, &autobus.Error{Reason: autobus.ReasonControlConflict}) {
			return Job{}, err
		}
	}
	return Job{}, autobus.NewError(autobus.ReasonControlConflict, "the job %s is being changed by others", clipName(id))
}

func (b *Bus) findJob(ctx context.Context, id string) (*fated, error) {
	who, known := autobus.PrincipalOf(ctx)
	if !known {
		return nil, autobus.NewError(autobus.ReasonUnauthenticated, "nobody is known to ask")
	}
	progress, err := b.readJobs(ctx)
	if err != nil {
		return nil, err
	}
	j, ok := b.jobs.get(id)
	if !ok || !mayFollow(who, j) { // whether there is one is nobody's business who may not see it
		return nil, autobus.NewError(autobus.ReasonJobUnknown, "there is no job %q", clipName(id))
	}
	return newFated(j, progress[id]), nil
}

// readJobs reads on to what others wrote up to now.
func (b *Bus) readJobs(ctx context.Context) (map[string][]control.JobProgress, error) {
	if err := b.cfg.Control.Barrier(ctx); err != nil {
		return nil, err
	}
	if err := b.cfg.State.Barrier(ctx); err != nil {
		return nil, err
	}
	return b.cfg.State.JobProgress()
}

func mayFollow(who autobus.Principal, j *job) bool {
	return who.May(autobus.VerbRedrive, j.Subscription) || who.May(autobus.VerbPeek, j.Subscription)
}

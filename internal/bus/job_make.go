// SPDX-License-Identifier: Apache-2.0

package bus

import (
	"cmp"
	"context"
	"math"
	"time"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/control"
)

const (
	maxJobs = 1000 // of one subscription whose letters are still there: each is asked of each letter
	maxRate = 1e6
)

// JobRequest asks for something to be done with dead letters.
type JobRequest struct {
	LetterChoice
	Rate   float64 `json:"rate,omitempty"` // most letters a second of a redrive; 0 = as fast as it goes
	DryRun bool    `json:"dry_run,omitempty"`
	Reason string  `json:"reason,omitempty"`
}

// LetterPlan is what a job would do, or is about to.
type LetterPlan struct {
	Subscription string         `json:"subscription"`
	Action       string         `json:"action"`
	Count        int64          `json:"count"`
	End          int64          `json:"end"`               // it is of the letters before this number
	Groups       []LetterGroup  `json:"groups"`            // of those, by reason and type, the most frequent first
	Sources      []LetterSource `json:"sources,omitempty"` // where their events come from
	Left         []LetterLeft   `json:"left,omitempty"`    // what is chosen and cannot be redriven
	Rate         float64        `json:"rate,omitempty"`
}

// LetterSource is a partition from which events of dead letters come.
type LetterSource struct {
	Type      string `json:"type"`
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	Count     int64  `json:"count"`
}

// LetterLeft is dead letters that a redrive leaves alone.
type LetterLeft struct {
	Why     string `json:"why"`
	Count   int64  `json:"count"`
	Example int64  `json:"example"` // number of the youngest
}

// Redrive has dead letters delivered once more, to the subscription that gave them up and to no other, each one exactly
// once however often the job is interrupted. It takes the grant redrive. A dry run answers with the plan alone.
//
// ReasonSubscriptionUnknown, ReasonFilterInvalid, ReasonRequestInvalid; ReasonDeadLetterUnknown: what is named is not
// there, or nothing is chosen; ReasonCapacity: there are too many jobs.
func (b *Bus) Redrive(ctx context.Context, name string, r JobRequest, a Audit) (LetterPlan, *Job, error) {
	return b.makeJob(ctx, control.JobRedrive, name, r, a)
}

// Drop takes dead letters out of sight for good, where nobody wants them any more. See Redrive. The records stay in
// their topic as long as its retention says.
func (b *Bus) Drop(ctx context.Context, name string, r JobRequest, a Audit) (LetterPlan, *Job, error) {
	return b.makeJob(ctx, control.JobDrop, name, r, a)
}

func (b *Bus) makeJob(ctx context.Context, action, name string, r JobRequest, a Audit) (plan LetterPlan, j *Job,
	err error) {
	who, err := mayRedrive(ctx, name)
	if err != nil {
		return plan, nil, err
	}
	if action == control.JobRedrive && name == Schedules {
		return plan, nil, autobus.NewError(autobus.ReasonRequestInvalid,
			"dead letters of scheduled events have no subscription to which they could be redriven").
			WithHint("Publish them again: autobus dlq export %[1]s | autobus publish --ndjson; then autobus dlq drop %[1]s.",
				Schedules)
	}
	if err := r.check(); err != nil {
		return plan, nil, err
	}
	if !(r.Rate >= 0 && r.Rate <= maxRate) || math.IsNaN(r.Rate) {
		return plan, nil, autobus.NewError(autobus.ReasonRequestInvalid, "rate is %v", r.Rate).
			WithHint("Give letters a second, up to %.0f; leave it away for as fast as it goes.", maxRate)
	}
	c, bad := newChoice(r.LetterChoice, math.MaxInt64)
	if bad != nil {
		return plan, nil, bad
	}
	value := control.Job{Action: action, Subscription: name, Numbers: r.Numbers, IDs: r.IDs, Fingerprint: r.Fingerprint,
		Filter: r.Filter, Rate: r.Rate, Actor: a.Actor, Reason: cmp.Or(r.Reason, a.Reason), Created: time.Now().UTC()}
	p := planner{bus: b, job: &value, choice: &c, asked: &r.LetterChoice}
	if action == control.JobRedrive {
		if err := p.findSources(ctx, who); err != nil {
			return plan, nil, err
		}
	}
	f, err := b.fates(ctx, name, true)
	if err != nil {
		return plan, nil, err
	}
	have, err := b.letterBounds(ctx, name)
	if err != nil {
		return plan, nil, err
	}
	if err := p.scan(ctx, f, have); err != nil || r.DryRun {
		return p.plan, nil, err
	}
	if p.plan.Count == 0 {
		none := autobus.NewError(autobus.ReasonDeadLetterUnknown, "%s has no such dead letters", name)
		if len(p.plan.Left) > 0 {
			none = autobus.NewError(autobus.ReasonDeadLetterUnknown, "none of the chosen dead letters of %s can be redriven: %s",
				name, p.plan.Left[0].Why)
		}
		return p.plan, nil, none
	}
	value.TopicID = f.topicID
	if err := b.pruneJobs(ctx, name, f.topicID, have.First); err != nil {
		return p.plan, nil, err
	}
	j, err = b.writeJob(ctx, value)
	return p.plan, j, err
}

// writeJob puts a job into force.
func (b *Bus) writeJob(ctx context.Context, value control.Job) (*Job, error) {
	id := autobus.NewID(value.Created)
	rec, err := control.NewRecord(control.KindJob, id, control.None, value)
	if err != nil {
		return nil, err
	}
	rec.Actor, rec.Reason = value.Actor, cmp.Or(value.Reason, value.Action+" dead letters")
	if _, err := b.cfg.Control.Change(ctx, rec); err != nil {
		return nil, err
	}
	made, ok := b.jobs.get(id)
	if !ok {
		return nil, autobus.NewError(autobus.ReasonOutcomeUnknown, "the job %s was written and is not there", id)
	}
	view := b.view(newFated(made, nil))
	return &view, nil
}

// pruneJobs removes jobs whose letters retention has taken: they say nothing any more.
func (b *Bus) pruneJobs(ctx context.Context, name, topicID string, first int64) error {
	all, err := b.jobs.of(name)
	if err != nil {
		return err
	}
	kept := 0
	for _, j := range all {
		last := j.End - 1
		if j.Action == control.JobEdit {
			last = j.Letter // which counts as long as the edit is known
		}
		if j.TopicID == topicID && last >= first {
			kept++
			continue
		}
		if _, err := b.cfg.Control.Change(ctx, control.Record{Version: control.Version, Kind: control.KindJob, Name: j.id,
			Prev: j.record, Actor: "autobus", Reason: "retention took its dead letters"}); err != nil {
			continue // the next one tries again
		}
		if err := b.cfg.State.RemoveJobProgress(ctx, j.id); err != nil {
			b.cfg.Logger.Info("progress of an old job stays stored", "job", j.id, "error", err)
		}
	}
	if kept >= maxJobs {
		return autobus.NewError(autobus.ReasonTooManyJobs, "%s has %d jobs whose dead letters are still kept", name, kept)
	}
	return nil
}

// SPDX-License-Identifier: Apache-2.0

package bus

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/delay"
	"github.com/autobus-io/autobus/internal/kafka"
)

// release publishes scheduled events whose time has come, in the name of those who scheduled them, whose grants and
// quotas were asked then. What was cancelled is dropped. What cannot be published, now or ever, is a dead letter.
func (b *Bus) release(ctx context.Context, due []delay.Entry) []error {
	errs := make([]error, len(due))
	// A cancellation that was answered in time stands before the log's end now.
	if err := b.cfg.State.Barrier(ctx); err != nil {
		for i := range errs {
			errs[i] = fmt.Errorf("whether it was cancelled is not known: %w", err)
		}
		return errs
	}
	byOwner := map[string][]int{}
	var owners []string
	for i := range due {
		if _, cancelled := b.cfg.State.Get(cancelKey(due[i].ID)); cancelled {
			continue
		}
		if byOwner[due[i].Owner] == nil {
			owners = append(owners, due[i].Owner)
		}
		byOwner[due[i].Owner] = append(byOwner[due[i].Owner], i)
	}
	for _, who := range owners {
		b.releaseOf(ctx, who, due, byOwner[who], errs)
	}
	return errs
}

// releaseOf publishes what one principal scheduled.
func (b *Bus) releaseOf(ctx context.Context, who string, due []delay.Entry, indexes []int, errs []error) {
	batch := &autobus.Batch{Events: make([]autobus.Event, len(indexes))}
	for k, i := range indexes {
		batch.Events[k] = decode(b.cfg.Log.Name(), "", &due[i].Record)
		batch.Events[k].Key = nil // the spec in force says what it is
	}
	_ = batch.Open() // it is new
	p := b.newPublish(batch, autobus.Principal{Name: who,
		Grants: []autobus.Grant{{Verb: autobus.VerbPublish, Pattern: "*"}}}, time.Now().UTC())
	p.release = true
	for k := range batch.Events {
		if err := p.prepare(ctx, true, k); err != nil {
			p.refuse(k, err)
		}
	}
	p.append()
	for k, rc := range batch.Wait(ctx) {
		i := indexes[k]
		errs[i] = rc.AsError()
		if rc.Status == autobus.Written {
			continue
		}
		overdue := time.Since(due[i].Due) > scheduleGivenUp
		if rc.Status == autobus.Refused && (!rc.Err.Retriable() || overdue) {
			errs[i] = b.buryScheduled(ctx, &due[i], rc.Err)
		}
	}
}

const (
	// scheduleGivenUp is for how long it is tried to publish what is due.
	scheduleGivenUp = 7 * 24 * time.Hour

	// Schedules stands in the place of a subscription's name where the dead letters of scheduled events are found. No
	// subscription can have it.
	Schedules = "_schedules"
)

// buryScheduled makes a dead letter of what cannot be published.
func (b *Bus) buryScheduled(ctx context.Context, e *delay.Entry, why *autobus.Error) error {
	rec := &e.Record
	event := decode(b.cfg.Log.Name(), "", rec)
	sl := &slot{record: *rec, failure: string(why.Reason) + ": " + why.Detail, attempt: 1, first: e.Since}
	sl.record.Topic, sl.record.Partition, sl.record.Offset = event.Type, 0, rec.Offset
	letter := deadLetter(deadLetters(Schedules), sl, time.Now().UTC())
	err := b.createDeadLetters(ctx, Schedules) // it is there, mostly
	if err == nil {
		if _, err = b.cfg.Log.Write(ctx, letter); kafka.Gone(err) {
			b.cfg.Log.Renew(letter.Topic)
		}
	}
	if err != nil {
		return errors.Join(why, fmt.Errorf("its dead letter: %w", err))
	}
	b.cfg.Logger.Warn("a scheduled event could not be published and is a dead letter", "schedule", e.ID, "type",
		event.Type, "reason", why.Reason)
	return nil
}

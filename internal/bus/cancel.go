// SPDX-License-Identifier: Apache-2.0

package bus

import (
	"cmp"
	"context"
	"encoding/json"
	"slices"
	"time"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/delay"
)

// Schedule is an event that will be published. Public: the API answers with it.
type Schedule struct {
	ID      string    `json:"id"`
	At      time.Time `json:"at"`
	Type    string    `json:"type"`
	EventID string    `json:"event_id"`
	Source  string    `json:"source"`
	Key     string    `json:"key,omitempty"`
	Owner   string    `json:"owner"` // the principal who scheduled it
	Since   time.Time `json:"since"` // when
}

// ScheduleList is what a caller may know of.
type ScheduleList struct {
	Schedules []Schedule `json:"schedules"`      // the next one first
	More      bool       `json:"more,omitempty"` // there are further ones, later or not looked at
}

// How many schedules are told at once.
const (
	SchedulesDefault = 100
	SchedulesMost    = 1000

	schedulesTime = 20 * time.Second // for looking at them
)

// ScheduleQuery selects schedules.
type ScheduleQuery struct {
	Type  string // a pattern; empty = all
	Limit int    // 0 = SchedulesDefault
}

// ScheduleList tells what will be published: of the caller's own, and of the types that he may manage.
func (b *Bus) ScheduleList(ctx context.Context, q ScheduleQuery) (ScheduleList, error) {
	out := ScheduleList{Schedules: []Schedule{}}
	who, known := autobus.PrincipalOf(ctx)
	switch {
	case !known:
		return out, autobus.NewError(autobus.ReasonUnauthenticated, "nobody is known to ask")
	case q.Type != "" && !autobus.ValidPattern(q.Type):
		return out, autobus.NewError(autobus.ReasonRequestInvalid, "%q is neither a type nor a pattern", clipName(q.Type))
	}
	ctx, cancel := context.WithTimeout(ctx, schedulesTime)
	defer cancel()
	if err := b.cfg.State.Barrier(ctx); err != nil {
		return out, autobus.NewError(autobus.ReasonClusterUnreachable, "what was cancelled is not known now").WithCause(err)
	}
	limit := cmp.Or(q.Limit, SchedulesDefault)
	seen := map[string]bool{}
	err := b.delays.Each(ctx, func(e delay.Entry) bool {
		id, ok := parseScheduleID(b.cfg.Control.ClusterID(), e.ID)
		if !ok || seen[e.ID] || q.Type != "" && !autobus.MatchType(q.Type, id.typ) ||
			e.Owner != who.Name && !who.May(autobus.VerbManage, id.typ) {
			return true
		}
		if _, cancelled := b.cfg.State.Get(cancelKey(e.ID)); cancelled {
			return true
		}
		seen[e.ID] = true
		event := decode(b.cfg.Log.Name(), "", &e.Record)
		out.Schedules = append(out.Schedules, Schedule{ID: e.ID, At: e.Due, Type: id.typ, EventID: event.ID,
			Source: event.Source, Key: string(e.Record.Key), Owner: e.Owner, Since: e.Since})
		if len(out.Schedules) >= 2*limit {
			out.nearest(limit)
		}
		return true
	})
	out.nearest(limit)
	if err != nil {
		return out, autobus.NewError(autobus.ReasonClusterUnreachable, "the schedules could not all be looked at: %v", err).
			WithCause(err)
	}
	return out, nil
}

// nearest keeps the first ones.
func (l *ScheduleList) nearest(limit int) {
	slices.SortFunc(l.Schedules, func(a, b Schedule) int {
		return cmp.Or(a.At.Compare(b.At), cmp.Compare(a.ID, b.ID))
	})
	if len(l.Schedules) > limit {
		l.Schedules, l.More = l.Schedules[:limit], true
	}
}

// cancelMargin is how long before its time a schedule can be cancelled last. Half of it is for writing that down, half
// for the clock of the instance that releases it.
const cancelMargin = time.Second

// cancellation is what the state log has of one. Its form is stored: see testdata.
type cancellation struct {
	Version int       `json:"version"`
	By      string    `json:"by"`
	At      time.Time `json:"at"`
	Due     time.Time `json:"due"`
}

const cancelPrefix = "schedule/"

func cancelKey(id string) string { return cancelPrefix + id }

// CancelSchedule has an event not be published that was scheduled by the caller, or is of a type that he may manage.
// Without an error it certainly is not, also when it was cancelled before. ReasonScheduleUnknown; ReasonScheduleDue: it
// is too late; ReasonOutcomeUnknown: it may or may not be cancelled.
func (b *Bus) CancelSchedule(ctx context.Context, text string) error {
	who, known := autobus.PrincipalOf(ctx)
	if !known {
		return autobus.NewError(autobus.ReasonUnauthenticated, "nobody is known to cancel")
	}
	id, ok := parseScheduleID(b.cfg.Control.ClusterID(), text)
	if !ok || !id.of(who.Name) && !who.May(autobus.VerbManage, id.typ) {
		return autobus.NewError(autobus.ReasonScheduleUnknown, "there is no schedule %s", clipName(text))
	}
	if time.Until(id.due) <= cancelMargin {
		if err := b.cfg.State.Barrier(ctx); err == nil {
			if _, cancelled := b.cfg.State.Get(cancelKey(text)); cancelled {
				return nil
			}
		}
		return autobus.NewError(autobus.ReasonScheduleDue, "it is due at %s", id.due.Format(time.RFC3339Nano))
	}
	now := time.Now().UTC()
	raw, err := json.Marshal(cancellation{Version: 1, By: who.Name, At: now, Due: id.due})
	if err != nil {
		return err
	}
	if err := b.cfg.State.Put(ctx, cancelKey(text), raw); err != nil {
		return err
	}
	if time.Until(id.due) <= cancelMargin/2 { // by another instance's clock it may have been published meanwhile
		return autobus.NewError(autobus.ReasonOutcomeUnknown, "schedule %s came due while it was being cancelled",
			clipName(text))
	}
	_ = b.cfg.State.Barrier(ctx) // from here on this instance knows; what could not be read comes by itself
	b.cfg.Logger.Info("schedule cancelled", "schedule", text, "by", who.Name)
	return nil
}

const (
	forgetEvery = time.Hour
	// forgetAfter is longer than a copy of a delayed event can stay in its topics beyond its time.
	forgetAfter = 8 * 24 * time.Hour
)

// forgetCancelled removes cancellations that nothing can need any more. Instances do it side by side, which is the same
// as once.
func (b *Bus) forgetCancelled(ctx context.Context) {
	tick := time.NewTicker(forgetEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		for _, key := range b.staleCancellations(time.Now()) {
			if err := b.cfg.State.Put(ctx, key, nil); err != nil {
				b.cfg.Logger.Warn("forget a cancelled schedule", "error", err)
				break
			}
		}
	}
}

func (b *Bus) staleCancellations(now time.Time) (keys []string) {
	b.cfg.State.Each(cancelPrefix, func(key string, value []byte) {
		var c cancellation
		if json.Unmarshal(value, &c) == nil && c.Version == 1 && now.Sub(c.Due) > forgetAfter {
			keys = append(keys, key)
		}
	})
	return keys
}

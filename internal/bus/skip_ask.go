// SPDX-License-Identifier: Apache-2.0

package bus

import (
	"context"
	"slices"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/control"
	"github.com/autobus-io/autobus/internal/kafka"
)

// maxSkips bounds how many events of a subscription may wait to be skipped: they stand in its control record.
const maxSkips = 1000

// Operated is the event that an operator does something with. Public: POST /v1/subscriptions/{name}/skip and /retry
// answer with it.
type Operated struct {
	Subscription string      `json:"subscription"`
	DryRun       bool        `json:"dry_run"`
	Event        UndoneEvent `json:"event"`
}

// SkipEvent ends one event of a subscription without work, wherever it is: unread, waiting, parked, held, or with a
// worker, whose lease is revoked. The principal in ctx needs a grant to manage the subscription; one who may not
// receive its events is not told the event's id and key.
//
// ReasonEventDone: it is done already. ReasonPositionInvalid: the log has no such offset. ReasonRequestInvalid: the
// subscription does not read that type.
func (b *Bus) SkipEvent(ctx context.Context, name string, at EventAt, s Surgery) (Operated, error) {
	return b.operateOn(ctx, name, at, s, false)
}

// RetryEvent lets an event that is held be tried once more. It answers as SkipEvent; ReasonEventDone also when it is
// not held.
func (b *Bus) RetryEvent(ctx context.Context, name string, at EventAt, s Surgery) (Operated, error) {
	return b.operateOn(ctx, name, at, s, true)
}

func (b *Bus) operateOn(ctx context.Context, name string, e EventAt, s Surgery, again bool) (Operated, error) {
	out := Operated{Subscription: name, DryRun: s.DryRun}
	if err := b.mayOperate(ctx, name); err != nil {
		return out, err
	}
	a := s.Audit
	a.Reason = or(a.Reason, "skip event")
	if again {
		a.Reason = or(s.Reason, "try event again")
	}
	err := b.alter(ctx, name, a, func(change uint32, v *control.Subscription) (bool, error) {
		at, err := b.stands(ctx, name, v)
		if err != nil {
			return false, err
		}
		topic, err := at.topicOf(name, e.Type)
		if err != nil {
			return false, err
		}
		tp := kafka.TP{Topic: topic, Partition: e.Partition}
		p, err := at.find(tp)
		if err != nil {
			return false, err
		}
		if err := p.mayOperateOn(name, e, again); err != nil {
			return false, err
		}
		out.Event = b.lookAt(ctx, name, v, tp, e, p)
		v.Skips = slices.DeleteFunc(v.Skips, func(s control.Place) bool {
			q := at.parts[kafka.TP{Topic: s.Topic, Partition: s.Partition}]
			same := s.Topic == topic && s.Partition == e.Partition && s.Offset == e.Offset
			return same || q != nil && q.isDone(s.Offset)
		})
		if len(v.Skips) >= maxSkips {
			return false, autobus.NewError(autobus.ReasonQuota, "%s has %d events that wait to be skipped", name, maxSkips).
				WithHint("Move it over them: autobus offsets reset %s.", name)
		}
		v.Skips = append(v.Skips, control.Place{Topic: topic, Partition: e.Partition, Offset: e.Offset, Again: again,
			Change: change})
		return !s.DryRun, nil
	})
	return out, err
}

// mayOperateOn refuses an event that is done, or not there.
func (s *stand) mayOperateOn(name string, e EventAt, again bool) error {
	_, parked := s.parked[e.Offset]
	_, held := s.held[e.Offset]
	switch {
	case e.Offset < 0 || e.Offset >= s.log.End:
		return autobus.NewError(autobus.ReasonPositionInvalid, "partition %d of %s has offsets from %d to %d, not %d",
			e.Partition, e.Type, s.log.First, s.log.End-1, e.Offset)
	case s.isDone(e.Offset):
		return autobus.NewError(autobus.ReasonEventDone, "%s is done with offset %d of partition %d of %s", name, e.Offset,
			e.Partition, e.Type)
	case again && (s.here || parked) && !held:
		return autobus.NewError(autobus.ReasonEventDone, "offset %d of partition %d of %s is not held by %s", e.Offset,
			e.Partition, e.Type, name).WithHint("It is tried again by itself: autobus why %s tells when.", name)
	}
	return nil
}

// lookAt tells of an event that is not done.
func (b *Bus) lookAt(ctx context.Context, name string, v *control.Subscription, tp kafka.TP, e EventAt, at *stand,
) UndoneEvent {
	_, parked := at.parked[e.Offset]
	out := UndoneEvent{Type: e.Type, Partition: e.Partition, Offset: e.Offset, State: "elsewhere", Parked: parked, tp: tp}
	for _, g := range b.groups.all() {
		if g.name == name {
			g.sightEvent(tp, &out)
		}
	}
	if out.Since.IsZero() {
		q := inquiry{bus: b}
		if r, ok := b.firsts(ctx, map[kafka.TP]int64{tp: e.Offset})[tp]; ok && r.Offset == e.Offset {
			q.complete([]*UndoneEvent{&out}, map[kafka.TP]kafka.Record{tp: r})
		}
	}
	if who, _ := autobus.PrincipalOf(ctx); mayReadAll(who, v.Policy.Types) != nil {
		out.ID, out.Key = "", ""
	}
	return out
}

// sightEvent tells of an event that this instance has.
func (g *group) sightEvent(tp kafka.TP, out *UndoneEvent) {
	g.mu.Lock()
	defer g.mu.Unlock()
	p := g.parts[tp]
	if p == nil || p.phase != open {
		return
	}
	out.State = "unread"
	if sl := p.slots[out.Offset]; sl != nil {
		*out = *undone(sl)
	}
}

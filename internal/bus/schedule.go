// SPDX-License-Identifier: Apache-2.0

package bus

import (
	"context"
	"errors"
	"time"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/control"
	"github.com/autobus-io/autobus/internal/delay"
	"github.com/autobus-io/autobus/internal/kafka"
)

// Scheduled publishes: an event with deliverat is judged as any other when it comes, kept by delay.Keeper, and
// published when it is due, see release.go. Order is promised neither among scheduled events nor beside others.

const (
	// pastAllowed is how late an event may come to be scheduled: it was on its way, and clocks differ.
	pastAllowed = 5 * time.Second

	delayPartitions = 6 // of each topic; the embedded broker, which has one instance, needs one
)

func newKeeper(b *Bus) *delay.Keeper {
	partitions := int32(delayPartitions)
	if b.cfg.Embedded {
		partitions = 1
	}
	return delay.New(delay.Config{Log: b.cfg.Log, Partitions: partitions, Release: b.release,
		Saved: b.savedDelay, Save: b.saveDelay, Logger: b.cfg.Logger, Metrics: b.cfg.Metrics})
}

// savedDelay is the copy of a position among the delayed events, if it is one in the topic as it is now.
func (b *Bus) savedDelay(tp kafka.TP, id [16]byte) (int64, bool) {
	p, ok, err := b.cfg.State.Position(delay.Group, tp.Topic, tp.Partition)
	if err != nil || !ok || otherTopic(p.TopicID, hexID(id)) {
		return 0, false
	}
	return p.Offset, true
}

func (b *Bus) saveDelay(ctx context.Context, tp kafka.TP, id [16]byte, offset int64) error {
	return b.cfg.State.PutPosition(ctx, delay.Group, tp.Topic, tp.Partition,
		control.Position{Offset: offset, Time: time.Now(), TopicID: hexID(id)})
}

// deliverAt reads when an event is to be delivered; zero = at once. Whether that time can be kept is judged later: an
// event that comes again may have been taken in time before.
func deliverAt(e *autobus.Event) (time.Time, *autobus.Error) {
	text, ok := e.Ext(autobus.ExtDeliverAt)
	if !ok {
		return time.Time{}, nil
	}
	at, ok := autobus.ParseTime(text)
	if !ok {
		return time.Time{}, autobus.NewError(autobus.ReasonScheduleInvalid, "deliverat %q is not RFC 3339 with an offset",
			clipName(text)).WithHint("Send it as 2026-01-31T15:04:05.123Z or with an offset such as +03:00.")
	}
	return at, nil
}

// answerable refuses to schedule what somebody waits for: replies, and requests with an address for them.
func answerable(e *autobus.Event) *autobus.Error {
	if _, later := e.Ext(autobus.ExtDeliverAt); !later {
		return nil
	}
	_, asks := e.Ext(autobus.ExtReplyTo)
	if _, reply := autobus.RequestType(e.Type); reply || asks {
		return autobus.NewError(autobus.ReasonScheduleInvalid, "what somebody waits for a reply to is not scheduled").
			WithHint("Send it now, or leave replyto away.")
	}
	return nil
}

// keepable refuses times for which nothing can be kept.
func keepable(at, now time.Time) *autobus.Error {
	switch {
	case now.Sub(at) > pastAllowed:
		return autobus.NewError(autobus.ReasonScheduleInvalid, "deliverat %s is in the past", at.Format(time.RFC3339Nano)).
			WithHint("Leave deliverat away to publish at once; check the clock, which here says %s.",
				now.UTC().Format(time.RFC3339))
	case at.Sub(now) > delay.Longest:
		return autobus.NewError(autobus.ReasonScheduleInvalid, "deliverat %s is more than %d days away",
			at.Format(time.RFC3339Nano), int(delay.Longest.Hours()/24))
	}
	return nil
}

// ready says whether events can be kept as safely as the route promises.
func (p *publish) ready(ctx context.Context, r *route) *autobus.Error {
	err := p.bus.delays.Ready(ctx, !r.BestEffort && !p.bus.cfg.Embedded)
	if err == nil {
		return nil
	}
	if e, ok := errors.AsType[*autobus.Error](err); ok {
		return e
	}
	return autobus.NewError(autobus.ReasonClusterUnreachable, "the event cannot be kept until it is due: %v", err).
		WithCause(err)
}

// scheduled is under which name the table of duplicates has the ids of scheduled events. They are claimed twice: when
// they come, so that none is kept twice, and when they are published.
func scheduled(who string) string { return "\x00scheduled " + who }

// keep makes the record of an event that is kept until at.
func (p *publish) keep(it *item, e *autobus.Event, record kafka.Record) kafka.Record {
	return p.bus.delays.Record(delay.Entry{ID: p.scheduleID(e, it.at), Due: it.at, Since: p.now, Owner: p.who.Name,
		Record: record})
}

// settleScheduled settles a scheduled event. Where it stands is nobody's business: the table of duplicates has its time
// in the place of the offset.
func (p *publish) settleScheduled(i int, rc autobus.Receipt) {
	if rc.Status == autobus.Written {
		at := time.UnixMilli(rc.Offset).UTC()
		rc.Partition, rc.Offset = 0, 0
		e := p.scheduled[i]
		rc.Scheduled = &autobus.Scheduled{At: at,
			ID: p.scheduleID(&autobus.Event{Type: e.typ, Source: e.source, ID: e.id}, at)}
		if err := p.notCancelled(rc.Scheduled.ID); rc.Duplicate && err != nil {
			rc = autobus.Receipt{Status: autobus.Refused, Err: err}
		}
	}
	p.settle(i, rc)
}

// notCancelled refuses to schedule once more what was cancelled: the cancellation is of the event and its time, so the
// second one would not be published either, and whoever was told that it is written would wait for it in vain.
func (p *publish) notCancelled(id string) *autobus.Error {
	if _, cancelled := p.bus.cfg.State.Get(cancelKey(id)); !cancelled {
		return nil
	}
	return autobus.NewError(autobus.ReasonScheduleInvalid, "schedule %s was cancelled", clipName(id)).
		WithHint("Send the event under another id.")
}

// called is what names the schedule of an event.
type called struct{ typ, source, id string }

// willSchedule notes it: by the time that the event has a schedule, its batch may be forgotten.
func (p *publish) willSchedule(i int, e *autobus.Event) {
	if p.scheduled == nil { // before any of them can be settled
		p.scheduled = make([]called, len(p.batch.Events))
	}
	p.scheduled[i] = called{e.Type, e.Source, e.ID}
}

func (p *publish) scheduleID(e *autobus.Event, at time.Time) string {
	return newScheduleID(p.bus.cfg.Control.ClusterID(), p.who.Name, e, at)
}

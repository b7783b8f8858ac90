// SPDX-License-Identifier: Apache-2.0

package bus

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"github.com/autobus-io/autobus/internal/kafka"
)

// UndoneEvent is an event that a subscription has not done. Public: it is part of Why.
type UndoneEvent struct {
	Type      string    `json:"type"`
	Partition int32     `json:"partition"`
	Offset    int64     `json:"offset"`
	ID        string    `json:"id,omitempty"`  // absent where it is not known, or the asker may not receive it
	Key       string    `json:"key,omitempty"` // as above
	Since     time.Time `json:"since,omitzero"`
	// State is ready, leased, retrying, waiting (behind an earlier event of its key), burying, held; unread where nobody
	// has looked at it yet, so that the filter may leave it out; or elsewhere, when another instance has its partition or
	// none has.
	State     string    `json:"state"`
	Parked    bool      `json:"parked,omitempty"`
	Attempts  int       `json:"attempts,omitempty"` // deliveries so far
	LastError string    `json:"last_error,omitempty"`
	Next      time.Time `json:"next,omitzero"` // of a retry, or the end of the lease

	tp kafka.TP
}

// undone tells of a slot. It is called with the group's lock.
func undone(sl *slot) *UndoneEvent {
	e := &UndoneEvent{Type: sl.part.typ, Partition: sl.part.tp.Partition, Offset: sl.record.Offset, ID: sl.event.ID,
		Key: validText(sl.record.Key), Since: sl.record.Time.UTC(), Parked: sl.parked(), Attempts: sl.attempt - 1,
		LastError: clipFailure(sl.failure), tp: sl.part.tp}
	if sl.hollow() {
		e.Since = time.Time{} // it is read from its source
	}
	switch sl.state {
	case waiting:
		e.State = "waiting"
	case leased:
		e.State, e.Next = "leased", sl.at.UTC()
		e.Attempts++
	case pausing:
		e.State, e.Next = "retrying", sl.at.UTC()
	case burying:
		e.State = "burying"
		e.Attempts++
	case holding:
		e.State = "held"
		e.Attempts++
	default:
		e.State = "ready"
	}
	return e
}

// order is Since, with those of which it is not known as the youngest.
func (e *UndoneEvent) order() time.Time {
	if e.Since.IsZero() {
		return time.Now().Add(time.Hour)
	}
	return e.Since
}

func validText(b []byte) string { return strings.ToValidUTF8(string(b), "\uFFFD") }

// findOldest picks the oldest event by the time of its record, over all partitions of which something is known. Those
// that are not in memory are read.
func (q *inquiry) findOldest(ctx context.Context, reached, told bool) {
	var all []*UndoneEvent
	from := map[kafka.TP]int64{}
	for tp, s := range q.sightings.parts {
		e := s.oldest
		end, known := q.ends[tp]
		if e == nil || e.State == "unread" && (!known || e.Offset >= end) {
			continue
		}
		all = append(all, e)
		if e.Since.IsZero() {
			from[tp] = e.Offset
		}
	}
	if reached {
		for tp, offset := range q.behindElsewhere() {
			all = append(all, &UndoneEvent{Type: q.types[tp.Topic], Partition: tp.Partition, Offset: offset,
				State: "elsewhere", tp: tp})
			from[tp] = offset
		}
		q.complete(all, q.bus.firsts(ctx, from))
	}
	if len(all) > 0 {
		q.out.Oldest = slices.MinFunc(all, func(a, b *UndoneEvent) int {
			return cmp.Or(a.order().Compare(b.order()), cmp.Compare(b.Attempts, a.Attempts), cmp.Compare(a.Type, b.Type),
				cmp.Compare(a.Partition, b.Partition))
		})
	}
	if o := q.out.Oldest; o != nil && !told {
		o.ID, o.Key = "", ""
	}
}

// complete adds what the log says of events.
func (q *inquiry) complete(all []*UndoneEvent, records map[kafka.TP]kafka.Record) {
	for _, e := range all {
		r, ok := records[e.tp]
		exact := e.State != "elsewhere" && e.State != "unread"
		if !ok || exact && r.Offset != e.Offset { // retention may have taken the source of what is parked
			continue
		}
		event := decode(q.bus.cfg.Log.Name(), e.Type, &r)
		e.Offset, e.ID, e.Key, e.Since = r.Offset, event.ID, validText(r.Key), r.Time.UTC()
	}
}

// firsts reads the first record of each partition from an offset on. What does not come in time is missing.
func (b *Bus) firsts(ctx context.Context, from map[kafka.TP]int64) map[kafka.TP]kafka.Record {
	out := map[kafka.TP]kafka.Record{}
	if len(from) == 0 {
		return out
	}
	ctx, cancel := context.WithTimeout(ctx, whyRead)
	defer cancel()
	reader, err := b.cfg.Log.Read(from)
	if err != nil {
		return out
	}
	defer reader.Close()
	for len(out) < len(from) {
		records, err := reader.Poll(ctx)
		if err != nil {
			return out
		}
		for i := range records {
			r := &records[i]
			if _, known := out[r.TP]; !known {
				out[r.TP] = r.Clone()
			}
		}
	}
	return out
}

// SPDX-License-Identifier: Apache-2.0

package bus

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"time"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/control"
	"github.com/autobus-io/autobus/internal/kafka"
)

// Move is what a seek does, or would do. Public: POST /v1/subscriptions/{name}/seek answers with it.
type Move struct {
	Subscription string          `json:"subscription"`
	DryRun       bool            `json:"dry_run"`
	Partitions   []PartitionMove `json:"partitions"`
	Replayed     int64           `json:"replayed"` // the totals
	Skipped      int64           `json:"skipped"`
	Parked       int64           `json:"parked"`
}

// PartitionMove is that of one partition. Counts are of offsets: in a compacted type there are fewer events.
type PartitionMove struct {
	Type      string `json:"type"`
	Partition int32  `json:"partition"`
	Now       int64  `json:"now"` // everything before it is done, but for what is parked
	New       int64  `json:"new"`
	Replayed  int64  `json:"replayed"`        // done, and to come again
	Skipped   int64  `json:"skipped"`         // not done, and never to come
	Parked    int64  `json:"parked"`          // those of the skipped that are kept in park.<name>
	Slice     string `json:"slice,omitempty"` // of a replay: its offsets, the first and the last
}

// Seek moves a subscription: to the log's earliest or latest events, a time that is past, or cursors by type and
// partition; partitions that cursors do not name stay where they are. What workers have of a partition that moves is
// revoked, and what they say of it no longer counts; other subscriptions do not notice. What is parked goes the way of
// its place: before the new one it is skipped, from there on it is read again. The principal in ctx needs a grant to
// manage the subscription.
//
// ReasonPositionInvalid: the time is yet to come, or the log does not have such an offset. ReasonRequestInvalid: a
// cursor names a type that the subscription does not read.
func (b *Bus) Seek(ctx context.Context, name string, to autobus.Start, s Surgery) (Move, error) {
	out := Move{Subscription: name, DryRun: s.DryRun, Partitions: []PartitionMove{}}
	if err := b.mayOperate(ctx, name); err != nil {
		return out, err
	}
	if !to.Time.IsZero() && to.Time.After(time.Now()) {
		return out, autobus.NewError(autobus.ReasonPositionInvalid, "%s is yet to come", to.Time.Format(time.RFC3339)).
			WithHint("To skip everything until now, seek to latest; to wait until then, pause the subscription.")
	}
	a := s.Audit
	a.Reason = or(a.Reason, "seek subscription")
	err := b.alter(ctx, name, a, func(change uint32, v *control.Subscription) (bool, error) {
		if err := b.newerRoute(v.Policy.Types); err != nil {
			return false, err // where it would be there cannot be said
		}
		at, err := b.stands(ctx, name, v)
		if err != nil {
			return false, err
		}
		places, err := b.seekPlaces(ctx, name, at, to)
		if err != nil {
			return false, err
		}
		out.preview(at, places)
		if s.DryRun {
			return false, nil
		}
		return true, b.move(ctx, v, at, places, change, len(to.Cursors) == 0)
	})
	return out, err
}

// seekPlaces says where each partition that moves is to stand.
func (b *Bus) seekPlaces(ctx context.Context, name string, at *standing, to autobus.Start) (map[kafka.TP]int64, error) {
	if len(to.Cursors) == 0 {
		return b.startOf(ctx, to, slices.Collect(maps.Keys(at.types)))
	}
	places := map[kafka.TP]int64{}
	for typ, cursors := range to.Cursors {
		topic, err := at.topicOf(name, typ)
		if err != nil {
			return nil, err
		}
		for partition, offset := range cursors {
			tp := kafka.TP{Topic: topic, Partition: partition}
			p, err := at.find(tp)
			if err != nil {
				return nil, err
			}
			if offset < p.log.First || offset > p.log.End {
				return nil, autobus.NewError(autobus.ReasonPositionInvalid,
					"partition %d of %s has offsets from %d to %d, not %d", partition, typ, p.log.First, p.log.End, offset)
			}
			places[tp] = offset
		}
	}
	return places, nil
}

// preview tells what a move means for what is done and what is not.
func (m *Move) preview(at *standing, places map[kafka.TP]int64) {
	m.Partitions, m.Replayed, m.Skipped, m.Parked = m.Partitions[:0], 0, 0, 0
	for tp, to := range places {
		p := at.parts[tp]
		if p == nil {
			continue // it answered a moment later
		}
		l := PartitionMove{Type: at.types[tp.Topic], Partition: tp.Partition, Now: p.Base, New: to}
		again := int64(0) // parked, and to be read again
		for offset := range p.parked {
			if offset < to {
				l.Parked++
			} else if offset < p.Base {
				again++
			}
		}
		from := max(to, p.Base)
		l.Replayed = p.Base - min(to, p.Base) - again + int64(p.DoneIn(from, p.End()))
		l.Skipped = from - p.Base - int64(p.DoneIn(p.Base, to)) + l.Parked
		m.Partitions = append(m.Partitions, l)
		m.Replayed += l.Replayed
		m.Skipped += l.Skipped
		m.Parked += l.Parked
	}
	m.sort()
}

func (m *Move) sort() {
	slices.SortFunc(m.Partitions, func(a, b PartitionMove) int {
		return cmp.Or(cmp.Compare(a.Type, b.Type), cmp.Compare(a.Partition, b.Partition))
	})
}

// move writes places into the record of a subscription, under a seek epoch of their own: what was committed under
// another one does not count from then on.
func (b *Bus) move(ctx context.Context, v *control.Subscription, at *standing, places map[kafka.TP]int64, epoch uint32,
	whole bool) error {
	moved := map[string]int{} // partitions by topic
	for tp := range places {
		moved[tp.Topic]++
	}
	topics, err := b.cfg.Log.Topics(ctx, slices.Collect(maps.Keys(moved))...)
	if err != nil {
		return err
	}
	for name, t := range topics {
		id := hexID(t.ID)
		if otherTopic(v.TopicIDs[name], id) && moved[name] < int(t.Partitions) {
			return autobus.NewError(autobus.ReasonPositionInvalid,
				"the topic of %s was deleted and made again, so no partition of it has a place", at.types[name]).
				WithHint("Name all its %d partitions, or seek to earliest, latest or a time.", t.Partitions)
		}
		set(&v.TopicIDs, name, id)
	}
	if whole {
		v.SeekEpoch, v.Epochs = epoch, nil
	}
	for tp, offset := range places {
		if v.Positions[tp.Topic] == nil {
			set(&v.Positions, tp.Topic, map[int32]int64{})
		}
		v.Positions[tp.Topic][tp.Partition] = offset
		if whole {
			continue
		}
		if v.Epochs[tp.Topic] == nil {
			set(&v.Epochs, tp.Topic, map[int32]uint32{})
		}
		v.Epochs[tp.Topic][tp.Partition] = epoch
	}
	v.Skips = slices.DeleteFunc(v.Skips, func(s control.Place) bool {
		_, there := places[kafka.TP{Topic: s.Topic, Partition: s.Partition}]
		return there // who moves back wants what is there
	})
	return nil
}

// set puts a value into a map that may not be there yet.
func set[K comparable, V any](m *map[K]V, key K, value V) {
	if *m == nil {
		*m = map[K]V{}
	}
	(*m)[key] = value
}

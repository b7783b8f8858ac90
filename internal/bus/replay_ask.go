// SPDX-License-Identifier: Apache-2.0

package bus

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/control"
	"github.com/autobus-io/autobus/internal/kafka"
)

// maxReplays bounds how many replays of a subscription go on at a time.
const maxReplays = 16

// Slice is what is to be replayed: what was written in [From, To), of one key or of all.
type Slice struct {
	From, To time.Time
	Key      *string
}

// Replayed is what a replay does, or would do: nothing moves, so for each partition new is now. Public: POST
// /v1/subscriptions/{name}/replay answers with it.
type Replayed struct {
	Move
	ID string `json:"id,omitempty"` // absent in a preview
}

// ReplayInfo is a replay and how far it is, a second old. Public: it is part of SubscriptionInfo.
type ReplayInfo struct {
	ID      string    `json:"id"`
	From    time.Time `json:"from"`
	To      time.Time `json:"to"`
	Key     *string   `json:"key,omitempty"`
	By      string    `json:"by"`
	Reason  string    `json:"reason,omitempty"`
	Created time.Time `json:"created"`
	State   string    `json:"state"` // running or done
	Done    int64     `json:"done"`  // offsets of the slice before which everything is done
	Total   int64     `json:"total"`
	Lost    bool      `json:"lost,omitempty"` // retention overtook a part of it
}

// ReplayEvents gives a subscription a slice of its past once more, beside what it does, and to nobody else: where it
// stands does not change. The order of each key holds, and of a key no two events are with workers at a time. It goes
// on over restarts; what was done in the last second before one may come once more. The principal in ctx needs a grant
// to manage the subscription.
//
// ReasonPositionInvalid: the slice is empty or yet to come. ReasonRangeExpired: retention deleted events of it.
func (b *Bus) ReplayEvents(ctx context.Context, name string, slice Slice, s Surgery) (Replayed, error) {
	out := Replayed{Move: Move{Subscription: name, DryRun: s.DryRun, Partitions: []PartitionMove{}}}
	if err := b.mayOperate(ctx, name); err != nil {
		return out, err
	}
	if err := slice.check(time.Now()); err != nil {
		return out, err
	}
	a := s.Audit
	a.Reason = or(a.Reason, "replay events")
	var over []uint32
	err := b.alter(ctx, name, a, func(change uint32, v *control.Subscription) (bool, error) {
		if err := b.newerRoute(v.Policy.Types); err != nil {
			return false, err
		}
		at, err := b.stands(ctx, name, v)
		if err != nil {
			return false, err
		}
		job := control.Replay{Epoch: change, Key: slice.Key, Start: slice.From.UTC(), End: slice.To.UTC(), By: s.Actor,
			Why: s.Reason, Created: time.Now().UTC()}
		if err := b.cut(ctx, at, &job); err != nil {
			return false, err
		}
		out.slice(at, &job)
		over = b.endedReplays(name, v)
		v.Replays = slices.DeleteFunc(v.Replays, func(r control.Replay) bool { return slices.Contains(over, r.Epoch) })
		if len(v.Replays) >= maxReplays {
			return false, autobus.NewError(autobus.ReasonQuota, "%s has %d replays that are not done", name, len(v.Replays)).
				WithHint("Wait for one of them, or cancel it: autobus replay %s --cancel ID.", name)
		}
		v.Replays = append(v.Replays, job)
		out.ID = strconv.FormatUint(uint64(change), 10)
		return !s.DryRun, nil
	})
	if s.DryRun {
		out.ID = ""
		return out, err
	}
	b.forgetReplays(ctx, name, over, err)
	return out, err
}

// CancelReplay ends a replay where it is. One that does not exist, or no longer, is ReasonRequestInvalid.
func (b *Bus) CancelReplay(ctx context.Context, name, id string, s Surgery) (SubscriptionInfo, error) {
	var out SubscriptionInfo
	if err := b.mayOperate(ctx, name); err != nil {
		return out, err
	}
	a := s.Audit
	a.Reason = or(a.Reason, "cancel replay "+clipName(id))
	epoch, bad := strconv.ParseUint(id, 10, 32)
	err := b.alter(ctx, name, a, func(_ uint32, v *control.Subscription) (bool, error) {
		n := len(v.Replays)
		v.Replays = slices.DeleteFunc(v.Replays, func(r control.Replay) bool {
			return bad == nil && uint64(r.Epoch) == epoch
		})
		if len(v.Replays) == n {
			return false, autobus.NewError(autobus.ReasonRequestInvalid, "%s has no replay %q", name, clipName(id)).
				WithHint("autobus subscription describe %s names those that it has.", name)
		}
		out = b.tell(name, v)
		return !s.DryRun, nil
	})
	if !s.DryRun {
		b.forgetReplays(ctx, name, []uint32{uint32(epoch)}, err)
	}
	return out, err
}

func (s Slice) check(now time.Time) error {
	switch {
	case s.From.IsZero() || s.To.IsZero():
		return autobus.NewError(autobus.ReasonRequestInvalid, "a replay has a beginning and an end").
			WithHint(`Send {"from": "2026-01-31T15:00:00Z", "to": "2026-01-31T16:00:00Z"}.`)
	case !s.From.Before(s.To):
		return autobus.NewError(autobus.ReasonPositionInvalid, "%s is not before %s", s.From.Format(time.RFC3339Nano),
			s.To.Format(time.RFC3339Nano)).WithHint("Give the earlier moment as from and the later one as to.")
	case s.To.After(now.Add(time.Second)): // another clock may be a little ahead
		return autobus.NewError(autobus.ReasonPositionInvalid, "%s is yet to come", s.To.Format(time.RFC3339Nano)).
			WithHint("A replay is of what was; what comes is delivered anyway.")
	}
	return nil
}

// cut finds the offsets of a slice, and refuses one of which something is gone.
func (b *Bus) cut(ctx context.Context, at *standing, job *control.Replay) error {
	topics := slices.Collect(maps.Keys(at.types))
	from, err := b.cfg.Log.At(ctx, job.Start, topics...)
	if err != nil {
		return err
	}
	to, err := b.cfg.Log.At(ctx, job.End, topics...)
	if err != nil {
		return err
	}
	total := int64(0)
	doubtful := map[kafka.TP]int64{}
	for tp, first := range from {
		p, until := at.parts[tp], to[tp]
		if p == nil {
			return autobus.NewError(autobus.ReasonClusterUnreachable, "partition %d of %s does not tell what it has",
				tp.Partition, at.types[tp.Topic])
		}
		if first <= p.log.First && p.log.First > 0 && p.log.First < p.log.End {
			doubtful[tp] = p.log.First
		}
		if first >= until {
			continue
		}
		total += until - first
		for m, offset := range map[*map[string]map[int32]int64]int64{&job.From: first, &job.To: until} {
			if (*m)[tp.Topic] == nil {
				set(m, tp.Topic, map[int32]int64{})
			}
			(*m)[tp.Topic][tp.Partition] = offset
		}
	}
	// Where the log begins later than the slice, and not with the first event ever, something may be gone.
	for tp, r := range b.firsts(ctx, doubtful) {
		if r.Time.After(job.Start) {
			return autobus.NewError(autobus.ReasonRangeExpired,
				"retention deleted events of %s; partition %d has none from before %s", at.types[tp.Topic], tp.Partition,
				r.Time.UTC().Format(time.RFC3339Nano)).
				WithHint("Begin there: --from %s.", r.Time.UTC().Format(time.RFC3339Nano))
		}
	}
	if total == 0 {
		return autobus.NewError(autobus.ReasonPositionInvalid, "nothing was written between %s and %s",
			job.Start.Format(time.RFC3339Nano), job.End.Format(time.RFC3339Nano))
	}
	return nil
}

// slice tells what a replay gives.
func (m *Replayed) slice(at *standing, job *control.Replay) {
	m.preview(at, nil)
	for topic, partitions := range job.From {
		for partition, from := range partitions {
			p := at.parts[kafka.TP{Topic: topic, Partition: partition}]
			l := PartitionMove{Type: at.types[topic], Partition: partition, Now: p.Base, New: p.Base,
				Replayed: job.To[topic][partition] - from, Slice: fmt.Sprintf("%d-%d", from, job.To[topic][partition]-1)}
			m.Partitions = append(m.Partitions, l)
			m.Replayed += l.Replayed
		}
	}
	m.sort()
}

// endedReplays lists those of a record that are over.
func (b *Bus) endedReplays(name string, v *control.Subscription) (over []uint32) {
	for i := range v.Replays {
		if b.replayInfo(name, v, &v.Replays[i]).State == replayDone {
			over = append(over, v.Replays[i].Epoch)
		}
	}
	return over
}

const (
	replayRunning = "running"
	replayDone    = "done"
)

// replayInfo tells how far a replay is. What is of a type that the subscription no longer reads is not waited for.
func (b *Bus) replayInfo(name string, v *control.Subscription, r *control.Replay) ReplayInfo {
	out := ReplayInfo{ID: strconv.FormatUint(uint64(r.Epoch), 10), From: r.Start, To: r.End, Key: r.Key, By: r.By,
		Reason: r.Why, Created: r.Created, State: replayDone}
	types := b.topicsOf(v.Policy.Types)
	for topic, partitions := range r.From {
		if types[topic] == "" {
			continue
		}
		for partition, from := range partitions {
			until := r.To[topic][partition]
			out.Total += until - from
			p, err := b.cfg.State.Progress(name, r.Epoch, topic, partition)
			switch {
			case err == nil && p.Done && !p.Lost:
				out.Done += until - from
				continue
			case err == nil && p.Done:
				out.Lost = true
			default:
				out.State = replayRunning
			}
			out.Done += max(0, min(p.Offset, until)-from)
		}
	}
	return out
}

// forgetReplays clears what is stored of replays that no record names any more. It is for tidiness: their epochs never
// come again.
func (b *Bus) forgetReplays(ctx context.Context, name string, epochs []uint32, err error) {
	if err != nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), saveTimeout)
	defer cancel()
	for _, epoch := range epochs {
		if err := b.cfg.State.RemoveProgress(ctx, name, epoch); err != nil {
			b.cfg.Logger.Info("progress of a replay stays stored", "subscription", name, "error", err)
		}
	}
}

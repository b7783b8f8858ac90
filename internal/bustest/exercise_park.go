// SPDX-License-Identifier: Apache-2.0

package bustest

import (
	"context"
	"testing"
	"time"

	"github.com/autobus-io/autobus"
)

// beyond is how many events of other keys pass a stuck one: more than a partition may hold undone.
const beyond = 5000

// park checks that what does not go on holds up nothing but its own key, however much comes after it.
func (s *suite) park(t *testing.T) {
	t.Run("LongWork", func(t *testing.T) { // and then it ends, or its worker leaves
		p := s.policy(s.types.Work)
		p.AckWait = autobus.Duration(5 * time.Minute)
		sub := s.subscription(p)
		sub.Window = &autobus.Window{Events: 1000}
		w := s.work(t, sub)
		slow := s.keyIn(1, WorkPartitions)
		rs := s.orders(t, s.types.Work, slow, slow, slow)
		first := w.next(t)
		s.pass(t, w, 1)
		w.ack(t, first)
		second := w.next(t)
		if second.Offset != rs[1].Offset || second.Attempt != 1 || string(second.Key) != slow || second.ID == "" {
			t.Fatalf("after the long work came %+v", second)
		}
		w.ack(t, second)
		third := w.next(t)
		if third.Offset != rs[2].Offset || third.Fence <= second.Fence {
			t.Fatalf("then came %+v", third)
		}
		if lacks(t, s.features.NoSessions) {
			return
		}
		w.end(t, nil)
		w = s.work(t, sub)
		if d := w.next(t); d.Offset != rs[2].Offset {
			t.Errorf("after the worker left came offset %d, want %d", d.Offset, rs[2].Offset)
		} else {
			w.ack(t, d)
		}
	})

	t.Run("LongWait", func(t *testing.T) {
		sub := s.subscription(s.policy(s.types.Work))
		sub.Window = &autobus.Window{Events: 1000}
		w := s.work(t, sub)
		key := s.keyIn(2, WorkPartitions)
		s.orders(t, s.types.Work, key, key)
		w.settle(t, w.next(t), autobus.Outcome{Kind: autobus.Retry, Delay: 24 * time.Hour})
		s.pass(t, w, 2)
		s.orders(t, s.types.Work, key)
		other := s.keyIn(2, WorkPartitions)
		s.orders(t, s.types.Work, other)
		if d := w.next(t); string(d.Key) != other {
			t.Errorf("%s came, which waits for a day", d.Key)
		} else {
			w.ack(t, d)
		}
	})
}

// pass publishes events of other keys in the same partition and has them worked on.
func (s *suite) pass(t *testing.T, w *worker, partition int32) {
	t.Helper()
	var keys []string
	for range 500 {
		keys = append(keys, s.keyIn(partition, WorkPartitions))
	}
	bus, ctx := s.bus(context.Background(), t, everything)
	for range beyond / len(keys) {
		s.orders(t, s.types.Work, keys...)
		var acks []autobus.Settlement
		for range keys {
			d := w.next(t)
			acks = append(acks, autobus.Settlement{Lease: d.Lease, Subscription: w.name,
				Outcome: autobus.Outcome{Kind: autobus.Ack}})
		}
		if err := bus.Settle(ctx, acks); err != nil {
			t.Fatal(err)
		}
		for _, a := range acks {
			if a.Err != nil {
				t.Fatal(a.Err)
			}
		}
	}
}

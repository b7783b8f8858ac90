// SPDX-License-Identifier: Apache-2.0

package bustest

import (
	"slices"
	"testing"
	"time"

	"github.com/autobus-io/autobus"
)

// session checks what the end of a worker means for what it had in hand, and that the subscription remembers.
func (s *suite) session(t *testing.T) {
	t.Run("Position", func(t *testing.T) {
		p := s.policy(s.types.Work)
		if s.features.NoSessions != "" {
			p.AckWait = autobus.Duration(4 * time.Second) // only then what is left comes again
		}
		sub := s.subscription(p)
		w := s.work(t, sub)
		keys := make([]string, 12)
		for i := range keys {
			keys[i] = s.unique("key")
		}
		s.orders(t, s.types.Work, keys...)
		var left []string
		for i := range keys {
			if d := w.next(t); i%4 == 1 {
				left = append(left, string(d.Key))
			} else {
				w.ack(t, d)
			}
		}
		w.end(t, nil)
		// The next one makes nothing, and finds what is left.
		w = s.work(t, autobus.Subscription{Name: sub.Name})
		var got []string
		for range left {
			d := w.next(t)
			got = append(got, string(d.Key))
			w.ack(t, d)
		}
		slices.Sort(left)
		slices.Sort(got)
		if !slices.Equal(got, left) {
			t.Errorf("the next session got %v, want %v", got, left)
		}
		last := s.unique("key")
		s.orders(t, s.types.Work, last)
		if d := w.next(t); string(d.Key) != last {
			t.Errorf("then came %s, which was acked", d.Key)
		}
	})

	t.Run("Detached", func(t *testing.T) { // leases outlive the call
		if lacks(t, s.features.NoDetached) {
			return
		}
		sub := s.subscription(s.policy(s.types.Work))
		sub.Detached = true
		w := s.work(t, sub)
		key := s.unique("key")
		rs := s.orders(t, s.types.Work, key, key)
		d := w.next(t)
		w.end(t, nil)
		sub.Detached = false
		next := s.work(t, sub)
		w.ack(t, d)
		if d := next.next(t); d.Offset != rs[1].Offset {
			t.Errorf("offset %d came, want %d", d.Offset, rs[1].Offset)
		}
	})

	if lacks(t, s.features.NoSessions) {
		return
	}

	t.Run("Goodbye", func(t *testing.T) { // counts for nobody
		sub := s.subscription(s.policy(s.types.Work))
		w := s.work(t, sub)
		rs := s.orders(t, s.types.Work, s.unique("key"))
		first := w.next(t)
		w.end(t, nil)
		failed(t, "an ack after the goodbye", s.settle(t, everything, autobus.Settlement{Lease: first.Lease,
			Outcome: autobus.Outcome{Kind: autobus.Ack}}), autobus.ReasonLeaseStale)
		w = s.work(t, sub)
		d := w.next(t)
		if d.Offset != rs[0].Offset || d.Attempt != 1 || d.Fence <= first.Fence {
			t.Errorf("after %+v came %+v", first, d)
		}
		w.ack(t, d)
	})

	t.Run("DeathAlone", func(t *testing.T) { // counts: the event may be what killed it
		p := s.policy(s.types.Work)
		p.Retry.MaxAttempts = 2
		sub := s.subscription(p)
		key := s.unique("key")
		w := s.work(t, sub)
		rs := s.orders(t, s.types.Work, key)
		for attempt := 1; attempt <= 2; attempt++ {
			d := w.next(t)
			if d.Offset != rs[0].Offset || d.Attempt != attempt {
				t.Fatalf("offset %d, attempt %d came, want %d, %d", d.Offset, d.Attempt, rs[0].Offset, attempt)
			}
			w.end(t, autobus.ErrReaderDied)
			w = s.work(t, sub)
		}
		s.orders(t, s.types.Work, key)
		if d := w.next(t); d.Offset == rs[0].Offset {
			t.Fatalf("attempt %d came of 2", d.Attempt)
		} else {
			w.ack(t, d)
		}
		if n := len(s.deadLetters(t, w.name)); n != 1 {
			t.Errorf("%d dead letters, want 1", n)
		}
	})

	t.Run("DeathWithOthers", s.deathWithOthers)
}

// deathWithOthers: nobody knows which event killed the worker, so none is counted. Each comes again with nothing beside
// it, and a death with it in hand is its own.
func (s *suite) deathWithOthers(t *testing.T) {
	sub := s.subscription(s.policy(s.types.Work))
	w := s.work(t, sub)
	keys := []string{s.unique("key"), s.unique("key"), s.unique("key")}
	s.orders(t, s.types.Work, keys...)
	for range keys {
		w.next(t)
	}
	w.end(t, autobus.ErrReaderDied)

	w = s.work(t, sub)
	killer := w.next(t)
	if killer.Attempt != 1 {
		t.Errorf("attempt %d came, want 1 again", killer.Attempt)
	}
	w.end(t, autobus.ErrReaderDied)
	w.nothing(t, "something was in hand that has to stand alone")

	w = s.work(t, sub)
	attempts := map[string]int{}
	for range keys {
		d := w.next(t)
		attempts[string(d.Key)] = d.Attempt
		w.ack(t, d)
	}
	if w.most != 1 {
		t.Errorf("%d events came at once, each has to stand alone", w.most)
	}
	for _, key := range keys {
		want := 1
		if key == string(killer.Key) {
			want = 2
		}
		if attempts[key] != want {
			t.Errorf("attempt %d of %s came, want %d", attempts[key], key, want)
		}
	}
	// After that all is as before.
	s.orders(t, s.types.Work, s.unique("key"), s.unique("key"))
	w.next(t)
	w.next(t)
}

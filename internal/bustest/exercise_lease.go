// SPDX-License-Identifier: Apache-2.0

package bustest

import (
	"context"
	"testing"
	"time"

	"github.com/autobus-io/autobus"
)

// lease checks which settlements count.
func (s *suite) lease(t *testing.T) {
	// one subscribes, publishes an event and takes it.
	one := func(t *testing.T, p autobus.Policy) (*worker, autobus.Delivery) {
		w := s.work(t, s.subscription(p))
		s.orders(t, s.types.Work, s.unique("key"))
		return w, w.next(t)
	}
	short := s.policy(s.types.Work)
	short.AckWait = autobus.MinAckWait
	ack := autobus.Outcome{Kind: autobus.Ack}

	t.Run("RunsOut", func(t *testing.T) {
		w, first := one(t, short)
		second := w.next(t)
		if second.Offset != first.Offset || second.Attempt != 2 || second.Fence <= first.Fence ||
			second.Lease == first.Lease {
			t.Errorf("after %+v came %+v", first, second)
		}
		if now := time.Now(); now.Before(first.Deadline) {
			t.Errorf("it came again %s before its deadline", first.Deadline.Sub(now))
		}
		failed(t, "an ack after the lease ran out", s.settle(t, everything,
			autobus.Settlement{Lease: first.Lease, Outcome: ack}), autobus.ReasonLeaseStale)
		w.ack(t, second)
		if lacks(t, s.features.NoSessions) {
			return
		}
		select {
		case l := <-w.revoked:
			if l != first.Lease {
				t.Errorf("lease %q was taken away, want %q", l, first.Lease)
			}
		case <-time.After(Patience):
			t.Error("the worker was not told that its lease ran out")
		}
	})

	t.Run("Extend", func(t *testing.T) {
		w, d := one(t, short)
		Eventually(t, "the first deadline to pass", func(context.Context) bool {
			w.settle(t, d, autobus.Outcome{Kind: autobus.Extend})
			return time.Since(d.Deadline) > time.Duration(autobus.MinAckWait)/2
		})
		w.nothing(t, "its lease was extended")
		w.ack(t, d)
	})

	t.Run("Twice", func(t *testing.T) {
		w, d := one(t, s.policy(s.types.Work))
		w.ack(t, d)
		for _, kind := range []autobus.OutcomeKind{autobus.Ack, autobus.Retry, autobus.Reject, autobus.Extend} {
			failed(t, string(kind)+" after the ack", s.settle(t, everything, autobus.Settlement{Lease: d.Lease,
				Outcome: autobus.Outcome{Kind: kind}}), autobus.ReasonLeaseStale)
		}
		s.orders(t, s.types.Work, string(d.Key))
		if next := w.next(t); next.Offset == d.Offset {
			t.Error("what was acked came again")
		}
	})

	t.Run("InOneCall", func(t *testing.T) { // each settlement is judged for itself
		w, d := one(t, s.policy(s.types.Work))
		ss := []autobus.Settlement{{Lease: "forged", Outcome: ack}, {Lease: d.Lease, Outcome: ack},
			{Lease: d.Lease, Outcome: ack}}
		bus, ctx := s.bus(t.Context(), t, everything)
		if err := bus.Settle(ctx, ss); err != nil {
			t.Fatal(err)
		}
		s.never(t, "a forged lease", ss[0].Err)
		if ss[1].Err != nil {
			t.Errorf("a good lease: %v", ss[1].Err)
		}
		failed(t, "the same again", ss[2].Err, autobus.ReasonLeaseStale)
		w.nothing(t, "it was acked")
	})

	t.Run("Forged", func(t *testing.T) {
		w, d := one(t, s.policy(s.types.Work))
		forged := []autobus.Lease{"", "x", "AAAA", d.Lease + "A", d.Lease[1:], d.Lease[:len(d.Lease)-4]}
		for i := range d.Lease {
			other := []byte(d.Lease)
			other[i] = 'A'
			if d.Lease[i] == 'A' {
				other[i] = 'B'
			}
			forged = append(forged, autobus.Lease(other))
		}
		for _, l := range forged {
			err := s.settle(t, everything, autobus.Settlement{Lease: l, Outcome: ack})
			if err == nil || err.Reason != autobus.ReasonLeaseUnknown && err.Reason != autobus.ReasonLeaseStale &&
				(l != "" || err.Reason != autobus.ReasonOutcomeInvalid) { // which names no lease at all
				t.Errorf("lease %q, made of %q: got %v", l, d.Lease, err)
			}
		}
		w.ack(t, d) // nothing of that was taken for it
	})

	t.Run("OtherSubscription", func(t *testing.T) {
		w, d := one(t, s.policy(s.types.Work))
		if !lacks(t, s.features.NoOwner) {
			s.never(t, "as a lease of another subscription", s.settle(t, everything, autobus.Settlement{Lease: d.Lease,
				Subscription: s.name(), Outcome: ack}))
		}
		stranger := autobus.Principal{Name: "stranger", Grants: []autobus.Grant{{Verb: autobus.VerbSubscribe, Pattern: "x"}}}
		s.never(t, "by a principal who may not have it", s.settle(t, stranger, autobus.Settlement{Lease: d.Lease,
			Outcome: ack}))
		w.ack(t, d)
	})

	t.Run("NoOutcome", func(t *testing.T) {
		w, d := one(t, s.policy(s.types.Work))
		for _, o := range []autobus.Outcome{{}, {Kind: "done"}, {Kind: autobus.Ack, Delay: time.Second},
			{Kind: autobus.Retry, Delay: -time.Second}, {Kind: autobus.Retry, Delay: 1000 * time.Hour}} {
			failed(t, string(o.Kind), s.settle(t, everything, autobus.Settlement{Lease: d.Lease, Outcome: o}),
				autobus.ReasonOutcomeInvalid)
		}
		w.ack(t, d)
	})
}

// never demands that a settlement was refused because nobody who settles so was given that lease.
func (s *suite) never(t *testing.T, what string, err *autobus.Error) {
	t.Helper()
	if s.features.NoVerdict != "" && err != nil && err.Reason == autobus.ReasonLeaseStale {
		return
	}
	failed(t, what, err, autobus.ReasonLeaseUnknown)
}

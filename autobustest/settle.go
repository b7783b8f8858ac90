// SPDX-License-Identifier: Apache-2.0

package autobustest

import (
	"cmp"
	"context"
	"time"

	"github.com/autobus-io/autobus"
)

// Settle implements autobus.Bus. It fails as a whole only for a planned failure.
func (b *Bus) Settle(ctx context.Context, ss []autobus.Settlement) error {
	who := b.principal(ctx)
	var whole error
	var later time.Duration
	b.lock()
	for i := range ss {
		f, err := b.settle(who, &ss[i])
		ss[i].Err = err
		switch f.kind {
		case refuse:
			ss[i].Err = f.error()
		case loseRequest, loseAnswer:
			whole = f.error()
		case delay:
			later = max(later, f.delay)
		default:
		}
	}
	b.unlock()
	if later > 0 {
		b.sleep(ctx, later)
	}
	return whole
}

// sleep waits by the bus's clock.
func (b *Bus) sleep(ctx context.Context, d time.Duration) {
	over := make(chan struct{})
	b.lock()
	a := b.clock.set(b.clock.now().Add(d), func() { close(over) })
	b.unlock()
	select {
	case <-over:
	case <-ctx.Done():
		b.lock()
		b.clock.clear(a)
		b.unlock()
	}
}

// settle applies one outcome, unless a failure was planned that keeps it from counting.
func (b *Bus) settle(who autobus.Principal, st *autobus.Settlement) (Failure, *autobus.Error) {
	if err := st.Outcome.Check(); err != nil {
		return Failure{}, err
	}
	sl := b.leases[st.Lease]
	switch {
	case sl == nil, st.Subscription != "" && st.Subscription != sl.group.name,
		!who.May(autobus.VerbSubscribe, sl.group.name):
		return Failure{}, autobus.NewError(autobus.ReasonLeaseUnknown, "this bus never gave that lease")
	case sl.state != leased || sl.lease != st.Lease:
		return Failure{}, autobus.NewError(autobus.ReasonLeaseStale,
			"the delivery was settled before or its lease was taken away")
	}
	f := b.failureOf(&sl.record.event, &st.Outcome)
	if f.kind != refuse && f.kind != loseRequest {
		sl.group.settle(sl, st.Outcome)
	}
	return f, nil
}

// settle applies an outcome to the delivery that is leased.
func (g *group) settle(sl *slot, o autobus.Outcome) {
	holder := sl.session
	if holder != nil {
		holder.stalled = false
	}
	if o.Kind == autobus.Extend {
		sl.wait(g.bus.clock.now().Add(time.Duration(g.policy.AckWait)), func() { g.runOut(sl) })
		return
	}
	g.settled = append(g.settled, Settled{Event: clone(&sl.record.event), Attempt: sl.attempt, Outcome: o})
	g.unlease(sl)
	if holder != nil && holder.events == 0 {
		holder.busy = false // it has settled all that it was handed, so it took it
	}
	switch o.Kind {
	case autobus.Retry:
		g.fail(sl, o.Delay, cmp.Or(o.Reason, "the worker asked for it again"))
	case autobus.Reject:
		sl.failure = cmp.Or(o.Reason, "the worker rejected it")
		g.exhaust(sl)
	default: // Ack, Skip
		g.finish(sl)
	}
	g.dispatch()
}

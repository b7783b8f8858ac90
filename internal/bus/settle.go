// SPDX-License-Identifier: Apache-2.0

package bus

import (
	"context"
	"time"

	"github.com/autobus-io/autobus"
)

// Words of the metric of settled events.
const (
	settledFiltered = "filtered"
	settledAcked    = "acked"
	settledSkipped  = "skipped"
	settledDead     = "dead_lettered"
	settledDropped  = "dropped"
)

// Settle implements autobus.Bus. A lease of an incarnation that has ended, or of a delivery that was settled or taken
// away, is stale; what this instance never gave is unknown.
func (b *Bus) Settle(ctx context.Context, ss []autobus.Settlement) error {
	who, known := autobus.PrincipalOf(ctx)
	if !known {
		return autobus.NewError(autobus.ReasonUnauthenticated, "nobody is known to settle")
	}
	for i := range ss {
		ss[i].Err = b.settle(who, &ss[i])
	}
	return nil
}

func (b *Bus) settle(who autobus.Principal, st *autobus.Settlement) *autobus.Error {
	if err := checkOutcome(st.Outcome); err != nil {
		return err
	}
	l, ok := parseLease(st.Lease)
	if !ok || l.instance != b.cfg.Instance {
		return neverGiven()
	}
	live, ok, recent := b.leases.find(l.nonce)
	name := recent
	if ok {
		name = live.group.name
	}
	switch {
	case name == "", st.Subscription != "" && st.Subscription != name, !who.May(autobus.VerbSubscribe, name):
		return neverGiven()
	case !ok:
		return autobus.NewError(autobus.ReasonLeaseStale, "the partition was assigned anew since")
	}
	return live.group.settle(live.part, l, st.Outcome)
}

func neverGiven() *autobus.Error {
	return autobus.NewError(autobus.ReasonLeaseUnknown, "this instance never gave that lease")
}

// checkOutcome refuses what is no outcome.
func checkOutcome(o autobus.Outcome) *autobus.Error {
	switch o.Kind {
	case autobus.Ack, autobus.Retry, autobus.Skip, autobus.Reject, autobus.Extend:
	default:
		return autobus.NewError(autobus.ReasonOutcomeInvalid, "there is no outcome %q", o.Kind)
	}
	switch {
	case o.Delay != 0 && o.Kind != autobus.Retry:
		return autobus.NewError(autobus.ReasonOutcomeInvalid, "%s takes no delay", o.Kind)
	case o.Delay < 0, o.Delay > time.Duration(autobus.MaxRetryDelay):
		return autobus.NewError(autobus.ReasonOutcomeInvalid, "the delay %s is not between 0s and %s", o.Delay,
			autobus.MaxRetryDelay)
	}
	return nil
}

// settle applies an outcome to the delivery of a lease.
func (g *group) settle(p *partition, l lease, o autobus.Outcome) *autobus.Error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if l.partition != p.tp.Partition {
		return neverGiven()
	}
	sl := p.slots[l.offset]
	if p.phase == closed || sl == nil || sl.state != leased || sl.lease != l.counter {
		if l.counter > p.frames {
			return neverGiven()
		}
		return autobus.NewError(autobus.ReasonLeaseStale, "the delivery was settled before or its lease ran out")
	}
	if sl.session != nil {
		sl.session.stalled = false
	}
	if o.Kind == autobus.Extend {
		g.timers.set(sl, time.Now().Add(time.Duration(g.policy.AckWait)))
		g.tick()
		return nil
	}
	holder := sl.session
	g.unlease(sl)
	if holder != nil && holder.events == 0 {
		holder.busy = false // it has settled all that it was handed, so it took it
	}
	switch o.Kind {
	case autobus.Ack:
		g.finish(sl, settledAcked)
	case autobus.Skip:
		g.finish(sl, settledSkipped)
	case autobus.Retry:
		g.fail(sl, o.Delay, or(o.Reason, "the worker asked for it again"))
	default: // Reject
		sl.failure = or(o.Reason, "the worker rejected it")
		g.exhaust(sl)
	}
	g.dispatch()
	return nil
}

// finish ends an event and lets the next one of its key go.
func (g *group) finish(sl *slot, how string) {
	p := sl.part
	next := p.finish(sl)
	g.bus.metrics.settled.WithLabelValues(how).Inc()
	if next != nil {
		g.enqueue(next)
	}
	if len(p.backlog) > 0 || p.paused {
		g.refill(p)
	}
}

func or(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

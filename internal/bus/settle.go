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
	j := judge{bus: b, who: who}
	for len(ss) > 0 {
		ss = j.settle(ss)
	}
	return nil
}

// judge finds what leases are about. Workers settle what they were handed together, so neighbours are mostly of one
// frame, which is looked up once.
type judge struct {
	bus *Bus
	who autobus.Principal

	frame autobus.Lease // of what stands below
	lease lease         // but for the offset
	name  string        // of the subscription
	live  incarnation
	err   *autobus.Error
}

// settle settles the first of ss, and those after it that are of the same group, in one go. It returns the rest.
func (j *judge) settle(ss []autobus.Settlement) []autobus.Settlement {
	if ss[0].Err = j.find(&ss[0]); ss[0].Err != nil {
		return ss[1:]
	}
	g := j.live.group
	g.mu.Lock()
	defer g.mu.Unlock()
	defer g.dispatch()
	for i := range ss {
		if i > 0 {
			if ss[i].Err = j.find(&ss[i]); ss[i].Err == nil && j.live.group != g {
				return ss[i:]
			}
		}
		if ss[i].Err == nil {
			ss[i].Err = g.settle(j.live.part, j.lease, ss[i].Outcome)
		}
	}
	return nil
}

// find looks up whose lease it is that st settles.
func (j *judge) find(st *autobus.Settlement) *autobus.Error {
	if err := checkOutcome(st.Outcome); err != nil {
		return err
	}
	frame, offset, ok := st.Lease.Cut()
	if !ok {
		return neverGiven()
	}
	if frame != j.frame {
		j.frame = frame
		j.err = j.lookUp(st.Lease)
	}
	j.lease.offset = offset
	if st.Subscription != "" && st.Subscription != j.name {
		return neverGiven()
	}
	return j.err
}

func (j *judge) lookUp(text autobus.Lease) *autobus.Error {
	l, ok := parseLease(text)
	if j.lease, j.name = l, ""; !ok || l.instance != j.bus.cfg.Instance {
		return neverGiven()
	}
	live, ok, recent := j.bus.leases.find(l.nonce)
	if j.live, j.name = live, recent; ok {
		j.name = live.group.name
	}
	switch {
	case j.name == "", !j.who.May(autobus.VerbSubscribe, j.name):
		return neverGiven()
	case !ok:
		return autobus.NewError(autobus.ReasonLeaseStale, "the partition was assigned anew since")
	}
	return nil
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

// settle applies an outcome to the delivery of a lease. The group is locked, and dispatches afterwards.
func (g *group) settle(p *partition, l lease, o autobus.Outcome) *autobus.Error {
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

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
	settledExpired  = "expired"
)

// settleAtOnce bounds how many deliveries are settled before others have a turn.
const settleAtOnce = 500

// Settle implements autobus.Bus. A lease of an incarnation that has ended, or of a delivery that was settled or taken
// away, is stale; what nobody ever gave is unknown. Leases of other instances are judged by these, after the own ones.
func (b *Bus) Settle(ctx context.Context, ss []autobus.Settlement) error {
	who, known := autobus.PrincipalOf(ctx)
	if !known {
		return autobus.NewError(autobus.ReasonUnauthenticated, "nobody is known to settle")
	}
	j := judge{bus: b, who: who}
	var away errand
	for i := range ss {
		of, l, err := j.find(&ss[i])
		if err == nil && j.away != "" {
			away.add(j.away, &ss[i])
			continue
		}
		if ss[i].Err = err; err != nil {
			continue
		}
		if of.group != j.group || len(j.found) == settleAtOnce {
			j.settle()
		}
		j.group = of.group
		j.found = append(j.found, settling{&ss[i], of.part, l})
	}
	j.settle()
	if len(away) > 0 {
		b.forward(ctx, away)
	}
	return nil
}

// judge settles what stands together and is of one group together: then what it makes room for is handed out together.
type judge struct {
	bus *Bus
	who autobus.Principal

	frame  autobus.Lease // the last one that was looked at, and what it is
	lease  lease
	of     incarnation
	name   string // of its subscription; empty = nobody was given it
	ended  bool
	mayNot bool
	away   string // another instance gave it, and is asked
	lost   bool   // another instance gave it, and this one was asked for it
	newer  bool   // an instance of a newer version gave it

	group *group
	found []settling
}

// settling is a settlement of an incarnation that lives.
type settling struct {
	*autobus.Settlement
	part  *partition
	lease lease
}

func (j *judge) settle() {
	if len(j.found) > 0 {
		j.group.settle(j.found)
		j.found = j.found[:0]
	}
}

// find gives the incarnation that a lease is of. Leases of one frame are looked up once.
func (j *judge) find(st *autobus.Settlement) (of incarnation, l lease, err *autobus.Error) {
	if err := checkOutcome(st.Outcome, j.who); err != nil {
		return of, l, err
	}
	frame, offset, ok := st.Lease.Cut()
	if !ok {
		return of, l, neverGiven()
	}
	if j.frame != frame {
		j.look(frame)
	}
	switch {
	case j.newer:
		return of, l, autobus.NewError(autobus.ReasonLeaseUnreadable, "this instance cannot read leases of that version")
	case j.lost:
		return of, l, autobus.NewError(autobus.ReasonNotOwner, "the lease is of another instance")
	case j.away != "":
		return of, l, nil
	case j.name == "", j.mayNot, st.Subscription != "" && st.Subscription != j.name:
		return of, l, neverGiven()
	case j.ended:
		return of, l, autobus.NewError(autobus.ReasonLeaseStale, "the partition was assigned anew since")
	}
	l = j.lease
	l.offset = offset
	return j.of, l, nil
}

func (j *judge) look(frame autobus.Lease) {
	j.frame, j.name, j.ended, j.mayNot, j.away, j.lost, j.newer = frame, "", false, false, "", false, false
	l, ok := parseFrame(frame)
	if !ok {
		j.newer = newerFrame(frame)
		return
	}
	if l.instance != j.bus.cfg.Instance {
		switch {
		case j.who.Via != "":
			j.lost = true
		case j.bus.cfg.Dial != nil:
			j.away = l.instance
		}
		return
	}
	live, ok, recent := j.bus.leases.find(l.nonce)
	j.lease, j.of, j.name, j.ended = l, live, recent, !ok
	if ok {
		j.name = live.group.name
	}
	j.mayNot = j.name != "" && !j.who.May(autobus.VerbSubscribe, j.name)
}

func neverGiven() *autobus.Error {
	return autobus.NewError(autobus.ReasonLeaseUnknown, "this instance never gave that lease")
}

// checkOutcome refuses what is no outcome. Peers alone may release.
func checkOutcome(o autobus.Outcome, who autobus.Principal) *autobus.Error {
	if o.Kind == autobus.Release && o.Delay == 0 && who.Via != "" {
		return nil
	}
	return o.Check()
}

// settle applies outcomes, in their order, and then hands out what there is room for.
func (g *group) settle(all []settling) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, s := range all {
		s.Err = g.settleOne(s.part, s.lease, s.Outcome)
	}
	g.dispatch()
}

// settleOne applies an outcome to the delivery of a lease.
func (g *group) settleOne(p *partition, l lease, o autobus.Outcome) *autobus.Error {
	if l.partition != p.tp.Partition {
		return neverGiven()
	}
	sl := p.slots[l.offset]
	if p.phase == closed || sl == nil || sl.state != leased || sl.lease != l.counter {
		if l.counter > p.counters().frames {
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
		g.succeeded(sl)
		g.finish(sl, settledAcked)
	case autobus.Skip:
		g.succeeded(sl)
		g.finish(sl, settledSkipped)
	case autobus.Retry:
		g.fail(sl, o.Delay, or(o.Reason, "the worker asked for it again"))
	case autobus.Release:
		g.enqueue(sl)
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
	g.freeKey(sl)
	g.bus.metrics.settled.WithLabelValues(how).Inc()
	g.unpark(sl)
	if next != nil {
		g.arise(next)
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

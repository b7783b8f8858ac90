// SPDX-License-Identifier: Apache-2.0

package autobustest

import (
	"slices"
	"strconv"
	"time"

	"github.com/autobus-io/autobus"
)

// group is a subscription: what it reads and is not done, and who works on it. All of it is guarded by its Bus.
type group struct {
	bus        *Bus
	name       string
	policy     autobus.Policy // with defaults
	filter     FilterFunc     // nil = everything
	unfiltered bool           // it has a filter without a replacement

	sessions    []*session
	reserved    *session  // gets nothing new until it can take an event alone
	until       time.Time // when another one is reserved instead
	turn        int
	incarnation uint32 // the high half of fences; grows with Bus.Disconnect

	parts map[place]*part
	slots []*slot // not done, in the order in which they came
	ready []*slot
	alone []*slot

	stopped bool // by an exhausted event; nobody can resume it here
	letters []DeadLetter
	settled []Settled
}

// place is a partition of a type.
type place struct {
	typ       string
	partition int32
}

// part is a partition of a subscription.
type part struct {
	lanes  map[string][]*slot // a key's events in order; the first is the one that is not waiting
	leases uint32             // counter, the low half of fences
	lost   *autobus.PositionLost
}

// slot is an event of a subscription that is not done.
//
//	waiting --> ready --> leased --> done
//	   ^          ^         |
//	   |          |         v
//	behind its    +----- pausing
//	  key               (backoff)
type slot struct {
	group   *group
	part    *part
	record  *record
	lane    string // key of its queue within the partition
	inLane  bool
	state   slotState
	attempt int       // of the delivery at hand or to come, from 1
	first   time.Time // first delivery
	alone   bool      // its worker died with others in hand: it comes again with nothing beside it
	failure string    // why the last attempt failed

	session *session // that holds it; nil for a detached lease
	lease   autobus.Lease
	alarm   *alarm    // end of the lease or of the pause
	at      time.Time // when the alarm rings
}

type slotState int

const (
	waiting slotState = iota // behind an earlier event of its key
	ready                    // to be handed out
	leased                   // handed out
	pausing                  // failed, and comes again
	done
)

func (b *Bus) newGroup(name string, p autobus.Policy) *group {
	g := &group{bus: b, name: name, policy: p.WithDefaults(), parts: map[place]*part{}, incarnation: 1}
	filter, known := b.filterOf(name, p.Filter)
	g.filter, g.unfiltered = filter, !known
	return g
}

// reads reports whether the subscription has a type.
func (g *group) reads(typ string) bool {
	return slices.ContainsFunc(g.policy.Types, func(p string) bool { return autobus.MatchType(p, typ) })
}

// part gives a partition, new if need be.
func (g *group) part(typ string, partition int32) *part {
	p := g.parts[place{typ, partition}]
	if p == nil {
		p = &part{lanes: map[string][]*slot{}}
		g.parts[place{typ, partition}] = p
	}
	return p
}

// track takes a record. What was injected for this subscription passes every filter.
func (g *group) track(r *record) {
	p := g.part(r.event.Type, r.partition)
	if p.lost != nil || r.only == nil && g.filter != nil && !g.filter(&r.event, g.policy.Params) {
		return
	}
	s := &slot{group: g, part: p, record: r, attempt: 1}
	s.lane, s.inLane = laneOf(g.policy.Order, r)
	g.slots = append(g.slots, s)
	if s.inLane {
		p.lanes[s.lane] = append(p.lanes[s.lane], s)
		if len(p.lanes[s.lane]) > 1 {
			return // it waits
		}
	}
	g.enqueue(s)
}

// laneOf says for whom an event waits: those of a lane go one after the other, to the lane's favourite worker.
func laneOf(o autobus.Order, r *record) (lane string, waits bool) {
	switch o {
	case autobus.OrderPartition:
		return r.event.Type + "/" + strconv.Itoa(int(r.partition)), true
	case autobus.OrderKey:
		return string(r.event.Key), r.event.Key != nil
	default:
		return "", false
	}
}

// enqueue makes a slot ready. Nothing more comes of a partition whose position was lost.
func (g *group) enqueue(s *slot) {
	s.state = ready
	switch {
	case s.part.lost != nil:
	case s.alone:
		g.alone = append(g.alone, s)
	default:
		g.ready = append(g.ready, s)
	}
}

// finish ends an event and lets the next one of its key go.
func (g *group) finish(s *slot) {
	s.state = done
	g.slots = slices.DeleteFunc(g.slots, func(o *slot) bool { return o == s })
	if !s.inLane {
		return
	}
	lane := s.part.lanes[s.lane][1:]
	s.part.lanes[s.lane] = lane
	if len(lane) == 0 {
		delete(s.part.lanes, s.lane)
		return
	}
	g.enqueue(lane[0])
}

// fail counts an attempt that was not acked. The event comes again after delay, or after the policy's backoff when that
// is 0, or it is exhausted.
func (g *group) fail(s *slot, delay time.Duration, why string) {
	s.failure, s.alone = why, false
	r, now := g.policy.Retry, g.bus.clock.now()
	late := r.MaxTime > 0 && now.Sub(s.first)+delay > time.Duration(r.MaxTime)
	if s.attempt >= r.MaxAttempts || late {
		g.exhaust(s)
		return
	}
	if delay == 0 {
		delay = time.Duration(r.Backoff[min(s.attempt, len(r.Backoff))-1])
	}
	s.attempt++
	s.state = pausing
	s.wait(now.Add(delay), func() {
		g.enqueue(s)
		g.dispatch()
	})
}

// exhaust ends an event that is not to be tried again, as the policy says. What waits for an operator waits for ever:
// there is none.
func (g *group) exhaust(s *slot) {
	switch g.policy.OnExhausted {
	case autobus.Hold:
		s.state = waiting
		return
	case autobus.Stop:
		s.state, g.stopped = waiting, true
		return
	default:
	}
	if g.policy.OnExhausted == autobus.ToDeadLetters {
		now, first := g.bus.clock.now(), s.first
		if first.IsZero() {
			first = now
		}
		g.letters = append(g.letters, DeadLetter{Event: clone(&s.record.event), Partition: s.record.partition,
			Offset: s.record.offset, Reason: s.failure, Attempts: s.attempt, First: first.UTC(), Last: now.UTC()})
	}
	g.finish(s)
}

// wait sets the alarm of a slot.
func (s *slot) wait(until time.Time, then func()) {
	c := &s.group.bus.clock
	c.clear(s.alarm)
	s.at = until
	s.alarm = c.set(until, then)
}

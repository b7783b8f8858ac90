// SPDX-License-Identifier: Apache-2.0

package bustest

import (
	"sort"
	"time"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/kafka"
)

// fences demands that fences grow with every handing out of a partition: only what one session got together has the
// same, and of what waits for one another never two; each session sees them grow, and a session that opened later sees
// none that is lower than what was delivered before it.
func (j *judge) fences(byFence []*delivery) {
	type frame struct {
		tp    kafka.TP
		fence uint64
	}
	type member struct {
		frame
		unit unit
	}
	sessions, members := map[frame]*Session{}, map[member]bool{}
	for _, d := range byFence {
		f := frame{d.tp, d.fence}
		m := member{f, j.unit(&d.recorded)}
		switch s := sessions[f]; {
		case d.fence == 0, members[m], s != nil && s != d.session:
			j.fault(Fenced, d.id, "%s has the fence %d, which is 0 or that of another handing out", d.place, d.fence)
		}
		sessions[f], members[m] = d.session, true
	}

	type reader struct {
		s  *Session
		tp kafka.TP
	}
	seen := map[reader]*delivery{}
	highs := map[kafka.TP][]*delivery{} // those with a higher fence than all before
	for _, d := range j.g.deliveries {
		last := seen[reader{d.session, d.tp}]
		seen[reader{d.session, d.tp}] = d
		high := highs[d.tp]
		if last == nil {
			// The highest one noted before the session opened.
			if i := sort.Search(len(high), func(i int) bool { return high[i].at > d.session.opened }); i > 0 {
				last = high[i-1]
			}
		}
		if last != nil && last.fence > d.fence {
			j.fault(Fenced, d.id, "%s has the fence %d; before that, %s had %d", d.place, d.fence, last.place, last.fence)
		}
		if len(high) == 0 || high[len(high)-1].fence < d.fence {
			highs[d.tp] = append(high, d)
		}
	}
}

// incarnation is what the bus calls one assignment of a partition: no lease outlives it.
func (d *delivery) incarnation() uint64 { return d.fence >> 32 }

// held is who had what waits for one another, so far.
type held struct {
	until   moment // when the longest hold so far ended
	holder  *delivery
	highest *delivery
}

// holds demands that, within an incarnation, nobody holds two deliveries that have to wait for one another, and that
// events which wait for one another are finished in the order of the log.
func (j *judge) holds(byFence []*delivery) {
	type line struct {
		unit        unit
		incarnation uint64
	}
	lines := map[line]*held{}
	for _, d := range byFence {
		l := line{j.unit(&d.recorded), d.incarnation()}
		s := lines[l]
		if s == nil {
			s = &held{highest: d}
			lines[l] = s
		}
		if s.until > d.at {
			j.fault(Shared, d.id, "session %d got %s while session %d still held %s, event %s", d.session.name, d.place,
				s.holder.session.name, s.holder.place, s.holder.id)
		}
		if j.at(d.place).relives(d, j.g.Redriven) { // events that came later were done long ago
			s.holdUntil(j.heldUntil(d), d)
			continue
		}
		if d.offset < s.highest.offset {
			j.fault(Overtaken, d.id, "%s was delivered again after %s of the same incarnation, for which it has to be done",
				d.place, s.highest.place)
		} else {
			s.highest = d
		}
		s.holdUntil(j.heldUntil(d), d)
	}
}

func (s *held) holdUntil(until moment, d *delivery) {
	if until > s.until {
		s.until, s.holder = until, d
	}
}

// heldUntil is up to when the lease of a delivery lived for certain; 0 = nobody knows. It lived from before the
// delivery was noted on. A settlement that counted proves it up to that; without one it lives to its deadline, unless
// it was settled without an answer, its session ended, or it was taken away.
func (j *judge) heldUntil(d *delivery) moment {
	deadline, proven, perhaps := d.deadline, moment(0), moment(0)
	for _, s := range d.settled {
		switch {
		case s.answer == uncounted:
			return proven // it was over by then, since when is not known
		case s.answer == unanswered:
			if perhaps == 0 && s.kind != autobus.Extend {
				perhaps = s.began
			}
		case s.kind == autobus.Extend:
			deadline = j.h.time(s.began).Add(time.Duration(j.g.policy.AckWait))
			proven, perhaps = s.began, 0
		default:
			return s.began
		}
	}
	s := d.session
	if d.revoked != 0 || !s.detached && s.leaving == 0 && s.ended != 0 {
		return proven
	}
	until := j.h.first(deadline)
	if perhaps != 0 {
		until = min(until, perhaps)
	}
	if s.leaving != 0 && !s.detached {
		until = min(until, s.leaving)
	}
	return max(until, proven)
}

// time is when a moment was.
func (h *History) time(m moment) time.Time { return h.clock[m-1] }

// first is the first moment at or after a time; one after all others when there is none.
func (h *History) first(at time.Time) moment {
	return moment(sort.Search(len(h.clock), func(i int) bool { return !h.clock[i].Before(at) }) + 1)
}

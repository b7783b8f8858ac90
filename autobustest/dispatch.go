// SPDX-License-Identifier: Apache-2.0

package autobustest

import (
	"slices"
	"time"

	"github.com/autobus-io/autobus"
)

// dispatch assigns ready events to sessions with room. An event of a key goes to the key's favourite among the
// sessions, so that a worker sees a key again as long as it stays; when that one is full, to the next in its favour.
func (g *group) dispatch() {
	if g.stopped {
		return
	}
	g.dispatchAlone()
	for len(g.ready) > 0 {
		if sl := g.ready[0]; sl.record.event.Expired(g.bus.clock.now()) {
			g.ready = g.ready[1:]
			g.finish(sl)
			continue
		}
		s := g.choose(g.ready[0])
		if s == nil {
			return
		}
		g.assign(s, g.ready[0])
		g.ready = g.ready[1:]
	}
}

// dispatchAlone hands each event that must stand alone to a session that holds nothing. Where none is idle, one session
// gets nothing new until it is.
func (g *group) dispatchAlone() {
	for len(g.alone) > 0 && len(g.sessions) > 0 {
		if sl := g.alone[0]; sl.record.event.Expired(g.bus.clock.now()) {
			g.alone = g.alone[1:]
			g.finish(sl)
			continue
		}
		i := slices.IndexFunc(g.sessions, func(s *session) bool { return s.events == 0 && !s.busy && s.open() })
		if i < 0 {
			g.reserve()
			return
		}
		g.sessions[i].alone = true
		g.assign(g.sessions[i], g.alone[0])
		g.alone = g.alone[1:]
	}
	g.reserved = nil
}

// reserve picks the session that will be idle soonest. One that does not become so gets its turn taken away.
func (g *group) reserve() {
	now := g.bus.clock.now()
	if slices.Contains(g.sessions, g.reserved) && now.Before(g.until) {
		return
	}
	var best *session
	for _, s := range g.sessions {
		if s != g.reserved && s.open() && (best == nil || s.events < best.events) {
			best = s
		}
	}
	if best != nil {
		g.reserved = best
	}
	g.until = now.Add(time.Duration(g.policy.AckWait))
}

func (g *group) assign(s *session, sl *slot) {
	sl.session = s
	s.events++
	s.bytes += sl.record.event.Size()
	s.out = append(s.out, sl)
	signal(s.wake)
}

// choose picks among the sessions with room: the one with the highest hash of session and key (rendezvous hashing), so
// that keys keep their session while it stays; events that wait for nobody go round.
func (g *group) choose(sl *slot) (best *session) {
	will := func(s *session) bool { return s != g.reserved && s.room(sl.record.event.Size()) }
	if !sl.inLane {
		for range g.sessions {
			g.turn = (g.turn + 1) % len(g.sessions)
			if s := g.sessions[g.turn]; will(s) {
				return s
			}
		}
		return nil
	}
	key := uint64(murmur2([]byte(sl.lane)))
	var most uint64
	for _, s := range g.sessions {
		if h := mix(key ^ s.seed); (best == nil || h > most) && will(s) {
			best, most = s, h
		}
	}
	return best
}

// mix spreads every bit of x over all of the result (the finalizer of MurmurHash3).
func mix(x uint64) uint64 {
	x ^= x >> 33
	x *= 0xff51afd7ed558ccd
	x ^= x >> 33
	x *= 0xc4ceb9fe1a85ec53
	return x ^ x>>33
}

// withdraw takes back what was assigned to sessions and not handed out, of one partition or of all (nil).
func (g *group) withdraw(p *part) {
	for _, s := range g.sessions {
		s.out = slices.DeleteFunc(s.out, func(sl *slot) bool {
			if p != nil && sl.part != p {
				return false
			}
			s.remove(sl)
			g.enqueue(sl)
			return true
		})
	}
}

// stand takes a partition out of the work for good.
func (g *group) stand(p *part, lost autobus.PositionLost) {
	g.withdraw(p)
	p.lost = &lost
	gone := func(sl *slot) bool { return sl.part == p }
	g.ready, g.alone = slices.DeleteFunc(g.ready, gone), slices.DeleteFunc(g.alone, gone)
	for _, sl := range g.slots {
		if !gone(sl) {
			continue
		}
		if sl.state == leased {
			g.revoke(sl)
		}
		g.bus.clock.clear(sl.alarm)
		sl.state = done
	}
	g.slots = slices.DeleteFunc(g.slots, gone)
	clear(p.lanes)
	for _, s := range g.sessions {
		s.lost = append(s.lost, lost)
		signal(s.wake)
	}
}

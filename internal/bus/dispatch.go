// SPDX-License-Identifier: Apache-2.0

package bus

import (
	"hash/maphash"
	"slices"
	"time"
)

// How far a group reads ahead of what its workers take.
const (
	aheadEvents = 1000
	aheadBytes  = 8 << 20
)

// queue holds slots that may be handed out, the oldest first.
type queue struct {
	slots []*slot
	bytes int
}

func (q *queue) push(s *slot) {
	q.slots = append(q.slots, s)
	q.bytes += s.size
}

func (q *queue) pop() *slot {
	s := q.slots[0]
	q.slots[0] = nil
	q.slots = q.slots[1:]
	q.bytes -= s.size
	return s
}

// drop takes out what belongs to a partition that went.
func (q *queue) drop(p *partition) {
	q.slots = slices.DeleteFunc(q.slots, func(s *slot) bool {
		if s.part == p {
			q.bytes -= s.size
		}
		return s.part == p
	})
}

// enqueue makes a slot ready, unless its partition goes or its attempt has to be committed first.
func (g *group) enqueue(s *slot) {
	s.state = ready
	switch {
	case s.part.phase != open:
		return // it is queued when the partition opens; one that goes is not
	case s.saved != 0:
		return // it is queued when the commit is confirmed
	case g.held(s):
		return // it is queued when the park log has done its part
	case g.shadow(s):
		return // it is queued when the other one of its key has had its turn
	case s.alone:
		g.alone.push(s)
	default:
		g.ready.push(s)
	}
}

// hungry reports whether more should be read: there is somebody to read for, and not much is left.
func (g *group) hungry() bool {
	return len(g.sessions) > 0 && len(g.ready.slots) < aheadEvents && g.ready.bytes < aheadBytes
}

// dispatch assigns ready events to sessions with room. An event of a key goes to the key's favourite among the
// sessions, so that a worker sees a key again as long as it stays; when that one is full, to the next in its favour.
func (g *group) dispatch() {
	if len(g.order) != len(g.sessions) {
		g.order = g.order[:0]
		for s := range g.sessions {
			g.order = append(g.order, s)
		}
		slices.SortFunc(g.order, func(a, b *session) int {
			if a.seed < b.seed {
				return -1
			}
			return 1
		})
	}
	switch {
	case g.paused(): // what is in hand may be settled
	case g.breaker.open:
		g.dispatchProbe()
	default:
		g.dispatchAll()
	}
	g.wakeReader()
	if len(g.wants) > 0 && g.hungry() {
		signal(g.parking)
	}
}

func (g *group) dispatchAll() {
	g.dispatchAlone()
	for len(g.ready.slots) > 0 {
		if sl := g.ready.slots[0]; sl.expired() {
			g.ready.pop()
			g.finish(sl, settledExpired)
			continue
		}
		s := g.choose(g.ready.slots[0])
		if s == nil {
			break
		}
		g.assign(s, g.ready.pop())
	}
}

// dispatchAlone hands each event that must stand alone to a session that holds nothing. Where none is idle, one session
// gets nothing new until it is.
func (g *group) dispatchAlone() {
	for len(g.alone.slots) > 0 && len(g.order) > 0 {
		if sl := g.alone.slots[0]; sl.expired() {
			g.alone.pop()
			g.finish(sl, settledExpired)
			continue
		}
		i := slices.IndexFunc(g.order, func(s *session) bool { return s.idle() && !s.busy && !s.last && s.drain.IsZero() })
		if i < 0 {
			g.reserve()
			return
		}
		g.order[i].alone = true
		g.assign(g.order[i], g.alone.pop())
	}
	g.reserved = nil
}

// reserve picks the session that will be idle soonest. One that does not become so gets its turn taken away.
func (g *group) reserve() {
	if _, stays := g.sessions[g.reserved]; stays && time.Now().Before(g.until) {
		return
	}
	var best *session
	for _, s := range g.order {
		if s != g.reserved && !s.last && s.drain.IsZero() && (best == nil || s.events < best.events) {
			best = s
		}
	}
	if best != nil {
		g.reserved = best
	}
	g.until = time.Now().Add(time.Duration(g.policy.AckWait))
}

func (g *group) assign(s *session, sl *slot) {
	sl.session = s
	s.add(sl)
	s.out = append(s.out, sl)
	s.call()
}

func (g *group) choose(sl *slot) *session {
	return g.favourite(sl, func(s *session) bool {
		return s != g.reserved && s.drain.IsZero() && s.room(sl.size)
	})
}

// favourite picks among the sessions that will do: the one with the highest hash of session and key (rendezvous
// hashing), so that keys keep their session while it stays; events that wait for nobody go round.
func (g *group) favourite(sl *slot, will func(*session) bool) (best *session) {
	if !sl.inLane {
		for range g.order {
			g.turn = (g.turn + 1) % len(g.order)
			if s := g.order[g.turn]; will(s) {
				return s
			}
		}
		return nil
	}
	key := maphash.String(g.seed, sl.lane)
	var most uint64
	for _, s := range g.order {
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

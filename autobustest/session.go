// SPDX-License-Identifier: Apache-2.0

package autobustest

import (
	"context"
	"crypto/rand"
	"errors"
	"slices"
	"time"

	"github.com/autobus-io/autobus"
)

// session is one worker of a group, on the goroutine of its Subscribe. What the group assigns to it lies in out until
// that goroutine takes it. It is guarded by its Bus.
type session struct {
	group  *group
	sub    *autobus.Subscription
	seed   uint64 // makes it the favourite of its share of the keys
	window autobus.Window

	out     []*slot // assigned, not yet handed out
	held    []*slot // leased, without detached ones
	events  int     // of out and held
	bytes   int
	busy    bool // its goroutine hands deliveries to the worker, and who knows for how long
	alone   bool // it has one event that must stand alone
	stalled bool // a lease ran out and nothing was settled since
	revoked []autobus.Lease
	lost    []autobus.PositionLost
	drain   time.Time // when it must be done; zero = nobody drains the bus
	drained bool      // told so
	err     *autobus.Error

	wake chan struct{} // holds one token
}

// enter adds a session.
func (g *group) enter(sub *autobus.Subscription) *session {
	w := *g.policy.Window
	if sub.Window != nil {
		w = sub.Window.WithDefaults()
	}
	g.bus.sessions++
	s := &session{group: g, sub: sub, seed: mix(g.bus.sessions), window: w, wake: make(chan struct{}, 1)}
	for _, p := range g.parts {
		if p.lost != nil {
			s.lost = append(s.lost, *p.lost)
			signal(s.wake)
		}
	}
	g.sessions = append(g.sessions, s)
	g.dispatch()
	return s
}

// open reports whether the session gets anything new at all.
func (s *session) open() bool { return s.drain.IsZero() && s.err == nil }

// room reports whether an event of this size fits into what the worker may hold.
func (s *session) room(size int) bool {
	switch {
	case s.busy, !s.open():
		return false
	case s.events == 0:
		return true // one event always fits
	case s.alone, s.stalled:
		return false
	}
	return s.events < s.window.Events && s.bytes+size <= s.window.Bytes
}

// remove takes a slot out of what the session holds.
func (s *session) remove(sl *slot) {
	s.events--
	s.bytes -= sl.record.event.Size()
	if sl.alone {
		s.alone = false
	}
	sl.session = nil
}

// run hands out deliveries until ctx ends, which is no error, or the bus has no more for it.
func (s *session) run(ctx context.Context, h autobus.Handler) error {
	if s.sub.Opened != nil {
		s.sub.Opened("")
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case w := <-s.sub.Resize:
			if err := w.Check(); err != nil {
				return err
			}
			s.resize(w.WithDefaults())
			continue
		case <-s.wake:
		}
		if ended(ctx) {
			return nil // what would be leased now, nobody would hear of
		}
		n := s.collect()
		if n.draining && s.sub.Draining != nil {
			s.sub.Draining(n.drain)
		}
		if len(n.revoked) > 0 && s.sub.Revoke != nil {
			s.sub.Revoke(n.revoked)
		}
		for _, l := range n.lost {
			if s.sub.Lost != nil {
				s.sub.Lost(l)
			}
		}
		if len(n.deliveries) > 0 {
			h(ctx, n.deliveries)
			s.free()
		}
		if n.err != nil {
			return n.err
		}
	}
}

func ended(ctx context.Context) bool { return ctx.Err() != nil }

func (s *session) resize(w autobus.Window) {
	b := s.group.bus
	b.lock()
	defer b.unlock()
	s.window = w
	s.group.dispatch()
}

// free lets a session have more, after its worker took what it was given.
func (s *session) free() {
	b := s.group.bus
	b.lock()
	defer b.unlock()
	s.busy = false
	s.group.dispatch()
}

// news is what a session's goroutine has to tell its worker.
type news struct {
	deliveries []autobus.Delivery
	revoked    []autobus.Lease
	lost       []autobus.PositionLost
	drain      time.Time
	draining   bool
	err        *autobus.Error
}

// collect leases what was assigned to the session.
func (s *session) collect() news {
	b := s.group.bus
	b.lock()
	defer b.unlock()
	n := news{revoked: s.revoked, lost: s.lost, drain: s.drain, draining: !s.drain.IsZero() && !s.drained, err: s.err}
	s.revoked, s.lost = nil, nil
	s.drained = s.drained || n.draining
	if s.err != nil {
		return n // what is assigned to it goes to others when it leaves
	}
	for _, sl := range s.out {
		n.deliveries = append(n.deliveries, s.lease(sl))
	}
	s.out, s.busy = nil, len(n.deliveries) > 0
	return n
}

// lease hands a slot out.
func (s *session) lease(sl *slot) autobus.Delivery {
	g := s.group
	now := g.bus.clock.now()
	if sl.first.IsZero() {
		sl.first = now
	}
	sl.part.leases++
	sl.lease, sl.state = autobus.Lease(rand.Text()), leased
	g.bus.leases[sl.lease] = sl
	deadline := now.Add(time.Duration(g.policy.AckWait))
	sl.wait(deadline, func() { g.runOut(sl) })
	if s.sub.Detached {
		sl.session = nil // yet it counts against the window of this call
	} else {
		s.held = append(s.held, sl)
	}
	return autobus.Delivery{Event: clone(&sl.record.event), Lease: sl.lease, Partition: sl.record.partition,
		Offset: sl.record.offset, Attempt: sl.attempt, Fence: uint64(g.incarnation)<<32 | uint64(sl.part.leases),
		Deadline: deadline}
}

// unlease takes a slot from whoever holds it.
func (g *group) unlease(sl *slot) {
	g.bus.clock.clear(sl.alarm)
	sl.lease = ""
	if s := sl.session; s != nil {
		s.held = slices.DeleteFunc(s.held, func(o *slot) bool { return o == sl })
		s.remove(sl)
		if s.events == 0 && !s.drain.IsZero() {
			s.end(goingDown())
		}
	}
}

// revoke takes a lease away and tells who had it.
func (g *group) revoke(sl *slot) {
	if s := sl.session; s != nil {
		s.revoked = append(s.revoked, sl.lease)
		signal(s.wake)
	}
	g.unlease(sl)
}

// runOut is the end of a lease that nobody settled.
func (g *group) runOut(sl *slot) {
	if sl.session != nil {
		sl.session.stalled = true
	}
	g.revoke(sl)
	g.fail(sl, 0, "the lease ran out")
	g.dispatch()
}

// leave takes a session out of the group. What it held comes again: to others at once when it said goodbye. When it
// died with one event in hand, that one counts as failed; with several nobody knows which it was, so each of them comes
// again alone.
func (g *group) leave(s *session, cause error) {
	g.sessions = slices.DeleteFunc(g.sessions, func(o *session) bool { return o == s })
	died := errors.Is(cause, autobus.ErrReaderDied)
	for _, sl := range s.out {
		s.remove(sl)
		g.enqueue(sl)
	}
	s.out = nil
	held := slices.Clone(s.held)
	for _, sl := range held {
		g.unlease(sl)
		switch {
		case died && len(held) == 1:
			g.fail(sl, 0, "the worker died")
			sl.alone = true // so that it takes no others along
		case died:
			sl.alone = true
			g.enqueue(sl)
		default:
			g.enqueue(sl)
		}
	}
	g.dispatch()
}

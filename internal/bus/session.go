// SPDX-License-Identifier: Apache-2.0

package bus

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/autobus-io/autobus"
)

// session is one connected worker of a group. What the group assigns to it lies in out until its own goroutine takes
// it: a worker that does not take deliveries holds up nobody but its own window.
type session struct {
	group  *group
	who    autobus.Principal
	sub    *autobus.Subscription
	seed   uint64 // makes it the favourite of its share of the keys
	window autobus.Window

	// Guarded by the group.
	out     []*slot            // assigned, not yet handed out
	held    map[*slot]struct{} // leased, without detached ones
	events  int                // of out and held
	bytes   int
	busy    bool // its goroutine hands deliveries to the worker, and who knows for how long
	alone   bool // it has one event that must stand alone
	stalled bool // a lease ran out and nothing was settled since
	revoked []autobus.Lease
	lost    []autobus.PositionLost
	drain   time.Time // when it must be done; zero = the group is not draining
	drained bool      // told so
	err     *autobus.Error

	links     []*link               // sessions at other instances, which this one stands for
	away      map[autobus.Lease]int // what is held of theirs, with its size
	awayBytes int
	born      time.Time
	last      bool // it gets nothing new, and ends when it holds nothing

	wake   chan struct{}  // holds one token
	calls  chan func()    // of the links, for the session's goroutine
	linked sync.WaitGroup // goroutines of the links
}

func newSession(g *group, who autobus.Principal, s *autobus.Subscription, w autobus.Window) *session {
	return &session{group: g, who: who, sub: s, seed: rand.Uint64(), window: w, held: map[*slot]struct{}{},
		wake: make(chan struct{}, 1), calls: make(chan func()), away: map[autobus.Lease]int{}, born: time.Now()}
}

// call tells the session's goroutine to look what there is for it.
func (s *session) call() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// room reports whether an event of this size fits into what the worker may hold.
func (s *session) room(size int) bool {
	switch {
	case s.busy, s.last:
		return false
	case s.idle():
		return true // one event always fits
	case s.alone, s.stalled, !s.drain.IsZero():
		return false
	}
	return s.fits(1, size)
}

// idle reports whether the worker holds nothing.
func (s *session) idle() bool { return s.events == 0 && len(s.away) == 0 }

// fits reports whether so much more is within the window.
func (s *session) fits(events, bytes int) bool {
	return s.events+len(s.away)+events <= s.window.Events && s.bytes+s.awayBytes+bytes <= s.window.Bytes
}

func (s *session) add(sl *slot) {
	s.events++
	s.bytes += sl.size
}

func (s *session) remove(sl *slot) {
	s.events--
	s.bytes -= sl.size
	if sl.alone {
		s.alone = false
	}
}

// run hands out deliveries until ctx ends, which is no error, or the group has no more for it.
func (s *session) run(ctx context.Context, h autobus.Handler) error {
	if s.sub.Opened != nil {
		s.sub.Opened("")
	}
	wait := time.NewTimer(0)
	defer wait.Stop()
	defer s.unlink()
	late := s.lateLook()
	for {
		select {
		case <-ctx.Done():
			return nil
		case call := <-s.calls:
			call()
			continue
		case <-late:
			late = nil
			s.group.lookOut()
		case w := <-s.sub.Resize:
			if w.NoMore() && s.who.Via != "" {
				s.group.close(s)
				continue
			}
			if err := w.Check(); err != nil {
				return err
			}
			s.group.resize(s, w.WithDefaults())
			continue
		case <-s.wake:
		}
		if s.group.hasPlenty(s) {
			wait.Reset(gatherFor)
			select {
			case <-wait.C:
			case <-ctx.Done():
			}
		}
		if over(ctx) {
			return nil // what would be leased now, nobody would hear of
		}
		n := s.group.collect(s)
		for _, l := range n.links {
			s.linked.Go(func() { l.run(ctx, h) })
		}
		if n.draining && s.sub.Draining != nil {
			s.sub.Draining(n.drain)
		}
		if len(n.revoked) > 0 && s.sub.Revoke != nil {
			s.sub.Revoke(n.revoked)
		}
		if s.sub.Lost != nil {
			for _, l := range n.lost {
				s.sub.Lost(l)
			}
		}
		if len(n.deliveries) > 0 {
			h(ctx, n.deliveries)
			s.group.free(s)
		}
		if n.err != nil {
			return n.err
		}
	}
}

// A worker that settles one by one makes room one by one, and would get its events one by one. One that has plenty in
// hand does not miss the next before gatherFor is over; what it makes room for meanwhile comes in the same frames.
const (
	gatherFor = time.Millisecond
	plenty    = 64 // events
)

func (g *group) hasPlenty(s *session) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(s.held) >= plenty && len(s.out) < plenty && len(s.revoked) == 0
}

func over(ctx context.Context) bool { return ctx.Err() != nil }

// news is what a session's goroutine has to tell its worker.
type news struct {
	deliveries []autobus.Delivery
	revoked    []autobus.Lease
	lost       []autobus.PositionLost
	drain      time.Time
	draining   bool
	links      []*link // to be opened
	err        *autobus.Error
}

// collect leases what was assigned to the session. What is of one partition has one counter, and so one fence: of a
// key there is never more than one event.
func (g *group) collect(s *session) news {
	g.mu.Lock()
	defer g.mu.Unlock()
	n := news{revoked: s.revoked, lost: s.lost, drain: s.drain, draining: !s.drain.IsZero() && !s.drained, err: s.err}
	s.revoked, s.lost = nil, nil
	s.drained = s.drained || n.draining
	now := time.Now()
	type frame struct {
		lease   autobus.Lease
		counter uint32
	}
	frames := map[*partition]frame{}
	n.deliveries = make([]autobus.Delivery, 0, len(s.out))
	out, late := s.out, false
	s.out = nil
	for _, sl := range out {
		if sl.expired() { // the worker was busy for too long
			late, sl.session = true, nil
			s.remove(sl)
			g.finish(sl, settledExpired)
			continue
		}
		f, ok := frames[sl.part]
		if !ok {
			counts := sl.part.counters()
			counts.frames++
			f.counter = counts.frames
			f.lease = lease{nonce: sl.part.nonce, partition: sl.part.tp.Partition, counter: f.counter,
				instance: g.bus.cfg.Instance}.frame()
			frames[sl.part] = f
		}
		n.deliveries = append(n.deliveries, g.lease(s, sl, now, f.lease, f.counter))
	}
	s.busy = len(n.deliveries) > 0
	if late {
		g.dispatch()
	}
	n.links = g.relay(s, now)
	return n
}

// free lets a session have more, after its worker took what it was given.
func (g *group) free(s *session) {
	g.mu.Lock()
	defer g.mu.Unlock()
	s.busy = false
	g.dispatch()
}

// lease hands a slot out, in the partition's newest frame.
func (g *group) lease(s *session, sl *slot, now time.Time, frame autobus.Lease, counter uint32) autobus.Delivery {
	p := sl.part
	p.leased++
	sl.lease, sl.state = counter, leased
	if sl.first.IsZero() {
		sl.first = now
	}
	deadline := now.Add(time.Duration(g.policy.AckWait))
	g.timers.set(sl, deadline)
	g.tick()
	if s.sub.Detached {
		sl.session = nil // yet it counts against the window of this call
		g.detached++
	} else {
		s.held[sl] = struct{}{}
	}
	g.bus.metrics.delivered.Inc()
	if sl.attempt > 1 {
		g.bus.metrics.redelivered.Inc()
	}
	return autobus.Delivery{Event: sl.event, Lease: frame.At(sl.record.Offset), Partition: p.tp.Partition,
		Offset: sl.record.Offset, Attempt: sl.attempt, Fence: p.fence(sl.lease), Deadline: deadline}
}

func (g *group) leaseOf(sl *slot) lease {
	return lease{nonce: sl.part.nonce, partition: sl.part.tp.Partition, offset: sl.record.Offset, counter: sl.lease,
		instance: g.bus.cfg.Instance}
}

// unlease takes a slot from whoever holds it.
func (g *group) unlease(sl *slot) {
	g.timers.clear(sl)
	p := sl.part
	p.leased--
	p.rest()
	if s := sl.session; s != nil {
		delete(s.held, sl)
		s.remove(sl)
		sl.session = nil
		g.checkLast(s)
		return
	}
	g.detached--
	g.checkWanted()
}

func (g *group) resize(s *session, w autobus.Window) {
	g.mu.Lock()
	defer g.mu.Unlock()
	s.window = w
	for _, l := range s.links {
		l.size(w)
	}
	g.dispatch()
}

// leave takes a session out of the group. What it held comes again: to others at once when it said goodbye. When it
// died with one event in hand, that one counts as failed; with several nobody knows which it was, so each of them comes
// again alone.
func (g *group) leave(s *session, cause error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.sessions, s)
	g.order = nil
	died := errors.Is(cause, autobus.ErrReaderDied)
	for _, sl := range s.out {
		s.remove(sl)
		sl.session = nil
		g.enqueue(sl)
	}
	s.out = nil
	single := len(s.held) == 1
	for sl := range s.held {
		g.unlease(sl)
		switch {
		case died && single:
			g.fail(sl, 0, "the worker died")
			sl.alone = true // so that it takes no others along
		case died:
			sl.alone = true
			g.enqueue(sl)
		default:
			g.enqueue(sl)
		}
	}
	g.bus.metrics.sessions.Dec()
	g.checkWanted()
	g.dispatch()
}

// SPDX-License-Identifier: Apache-2.0

package bus

import (
	"context"
	"hash/maphash"
	"slices"
	"time"

	"github.com/autobus-io/autobus"
)

// pollsHere is how long a poll waits for what this instance has, before others are asked too.
const pollsHere = 50 * time.Millisecond

// relay decides which links a session should have, and makes those that are missing. It is called with the group's
// lock.
func (g *group) relay(s *session, now time.Time) (open []*link) {
	if s.who.Via != "" || g.bus.cfg.Dial == nil {
		return nil
	}
	if !s.sub.Detached && (len(g.parts) > 0 || !s.drain.IsZero()) {
		for _, l := range s.links {
			l.end()
		}
		return nil
	}
	if !s.drain.IsZero() || s.err != nil {
		return nil
	}
	if s.sub.Detached {
		if s.idle() && len(s.out) == 0 && (len(g.parts) == 0 || now.Sub(s.born) >= pollsHere) {
			for _, p := range g.owners {
				open = g.link(s, p, now, open)
			}
		}
		return open
	}
	for _, l := range s.links {
		if !l.ending {
			if slices.Contains(g.owners, l.peer) {
				return nil
			}
			l.ending = true // it lost its partitions, or its life
			l.stop()
		}
	}
	if !s.idle() && !s.fits(1, 0) {
		return nil // it holds all it may of one that drains
	}
	// Different sessions go to different owners; one stays with its own while it can.
	var best *peer
	var most uint64
	for i, p := range g.owners {
		h := mix(maphash.String(g.seed, p.instance) ^ s.seed)
		if (best == nil || h > most) && now.After(g.avoid[p.instance]) {
			best, most = &g.owners[i], h
		}
	}
	if best != nil {
		open = g.link(s, *best, now, open)
	}
	return open
}

// link adds one to a session.
func (g *group) link(s *session, p peer, now time.Time, open []*link) []*link {
	if now.Before(g.avoid[p.instance]) || slices.ContainsFunc(s.links, func(l *link) bool { return l.peer == p }) {
		return open
	}
	there, err := g.bus.cfg.Dial(p.instance, p.address)
	if err != nil {
		g.avoid[p.instance] = now.Add(avoidFor)
		g.bus.cfg.Logger.Warn("another instance cannot be asked for events", "subscription", g.name, "peer", p.instance,
			"error", err)
		return open
	}
	w := autobus.Window{Events: s.window.Events - len(s.away), Bytes: max(1, s.window.Bytes-s.awayBytes)}
	l := &link{session: s, peer: p, bus: there, window: w, resize: make(chan autobus.Window, 1), over: make(chan struct{})}
	s.links = append(s.links, l)
	g.bus.metrics.relayed.Inc()
	return append(open, l)
}

// unlink ends all links and waits for that. What comes over them meanwhile is still handed out.
func (s *session) unlink() {
	g := s.group
	g.mu.Lock()
	for _, l := range s.links {
		l.stop()
	}
	g.mu.Unlock()
	over := make(chan struct{})
	go func() {
		s.linked.Wait()
		close(over)
	}()
	for {
		select {
		case call := <-s.calls:
			call()
		case <-over:
			g.mu.Lock()
			defer g.mu.Unlock()
			for lease := range s.away { // of a poll: the leases live on, and nobody counts them
				g.bus.abroad.Delete(lease)
			}
			return
		}
	}
}

// lateLook tells a poll when it should ask other instances, too.
func (s *session) lateLook() <-chan time.Time {
	if !s.sub.Detached || s.who.Via != "" || s.group.bus.cfg.Dial == nil {
		return nil
	}
	return time.After(pollsHere)
}

// close gives a session of another instance nothing new: it ends when it holds nothing.
func (g *group) close(s *session) {
	g.mu.Lock()
	defer g.mu.Unlock()
	s.last = true
	for _, sl := range s.out {
		s.remove(sl)
		sl.session = nil
		g.enqueue(sl)
	}
	s.out = nil
	g.checkLast(s)
	g.dispatch()
}

func (g *group) checkLast(s *session) {
	if s.last && len(s.held) == 0 && s.err == nil {
		s.err = autobus.NewError(autobus.ReasonNotOwner, "all of it is settled, as was asked for")
		s.call()
	}
}

// returned waits until the workers here hold nothing of other instances, or the time for that is over.
func (g *group) returned(ctx context.Context, wait time.Duration) {
	g.mu.Lock()
	var links []*link
	for s := range g.sessions {
		if !s.sub.Detached {
			links = append(links, s.links...)
		}
	}
	g.mu.Unlock()
	limit := time.After(wait)
	for _, l := range links {
		select {
		case <-l.over:
		case <-limit:
			return
		case <-ctx.Done():
			return
		}
	}
}

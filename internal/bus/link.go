// SPDX-License-Identifier: Apache-2.0

package bus

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/autobus-io/autobus"
)

// link is a session at another instance, an owner of partitions, that stands for a session here. What comes over it the
// session's own goroutine hands out, with the owner's leases. Guarded by the group of the session.
//
// A session has one at a time, and one more while an owner drains. A poll has one to every owner.
type link struct {
	session *session
	peer    peer
	bus     autobus.Bus
	window  autobus.Window
	resize  chan autobus.Window // holds the newest
	ending  bool                // it gets nothing new: the session has another one, or partitions here
	over    chan struct{}
	stopped bool
	cancel  context.CancelFunc // nil = it does not run yet
}

// run lives as long as the session at the owner.
func (l *link) run(ctx context.Context, h autobus.Handler) {
	s, g := l.session, l.session.group
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	g.mu.Lock()
	if l.cancel = cancel; l.stopped {
		cancel()
	}
	g.mu.Unlock()
	err := l.bus.Subscribe(ctx, autobus.Subscription{
		Name: g.name, Window: &l.window, Resize: l.resize, Detached: s.sub.Detached,
		Revoke: func(ls []autobus.Lease) { l.revoke(ls) },
		Lost: func(p autobus.PositionLost) {
			if s.sub.Lost != nil {
				s.do(func() { s.sub.Lost(p) })
			}
		},
		Draining: l.draining,
	}, func(_ context.Context, ds []autobus.Delivery) {
		if ds = l.admit(ctx, ds); len(ds) > 0 {
			s.do(func() { h(ctx, ds) })
		}
	})
	l.ended(err)
}

// stop says goodbye to the owner. It is called with the group's lock.
func (l *link) stop() {
	l.stopped = true
	if l.cancel != nil {
		l.cancel()
	}
}

// do lets the session's goroutine call a function of the worker, and waits for that.
func (s *session) do(f func()) {
	done := make(chan struct{})
	s.calls <- func() { defer close(done); f() }
	<-done
}

// admit takes what came into account. What several owners gave a poll together may be more than it asked for: the rest
// goes back as if it had never been handed out.
func (l *link) admit(ctx context.Context, ds []autobus.Delivery) []autobus.Delivery {
	s, g := l.session, l.session.group
	g.mu.Lock()
	n := 0
	for ; n < len(ds); n++ {
		size := ds[n].Size()
		if s.sub.Detached && !s.idle() && !s.fits(1, size) {
			break
		}
		s.away[ds[n].Lease] = size
		s.awayBytes += size
		g.bus.abroad.Store(ds[n].Lease, l)
	}
	g.mu.Unlock()
	if n < len(ds) {
		back := make([]autobus.Settlement, 0, len(ds)-n)
		for _, d := range ds[n:] {
			back = append(back, autobus.Settlement{Lease: d.Lease, Subscription: g.name,
				Outcome: autobus.Outcome{Kind: autobus.Release}})
		}
		s.linked.Go(func() {
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), forwardTimeout)
			defer cancel()
			// What is not given back comes again when its lease runs out.
			if err := l.bus.Settle(ctx, back); err != nil {
				g.bus.cfg.Logger.Warn("events could not be given back", "subscription", g.name, "peer", l.peer.instance,
					"error", err)
			}
		})
	}
	return ds[:n]
}

// settled makes room for what is done.
func (l *link) settled(lease autobus.Lease) {
	g := l.session.group
	g.mu.Lock()
	defer g.mu.Unlock()
	l.remove(lease)
	l.session.call() // it may have another owner now
	g.dispatch()
}

func (l *link) remove(lease autobus.Lease) {
	s := l.session
	if size, ok := s.away[lease]; ok {
		delete(s.away, lease)
		s.awayBytes -= size
	}
	s.group.bus.abroad.Delete(lease)
}

func (l *link) revoke(ls []autobus.Lease) {
	s := l.session
	s.group.mu.Lock()
	for _, lease := range ls {
		l.remove(lease)
	}
	s.group.mu.Unlock()
	if s.sub.Revoke != nil {
		s.do(func() { s.sub.Revoke(ls) })
	}
}

// size tells the owner what the worker has room for. It is called with the group's lock.
func (l *link) size(w autobus.Window) {
	if l.ending {
		return
	}
	select {
	case <-l.resize:
	default:
	}
	l.resize <- w
}

// end lets the worker settle what it holds of this owner, and nothing more.
func (l *link) end() {
	l.size(autobus.Window{Events: autobus.NoMoreEvents})
	l.ending = true
}

// draining looks for another owner, while the worker may still settle what it holds of this one.
func (l *link) draining(deadline time.Time) {
	s, g := l.session, l.session.group
	g.mu.Lock()
	defer g.mu.Unlock()
	g.avoid[l.peer.instance] = deadline
	if l.ending {
		return
	}
	l.ending = true
	s.linked.Go(func() {
		select {
		case <-time.After(time.Until(deadline)):
			g.mu.Lock()
			l.stop()
			g.mu.Unlock()
		case <-l.over:
		}
	})
	s.call()
	g.lookNow()
}

// ended takes the link out. What the worker still holds of the owner is somebody else's.
func (l *link) ended(err error) {
	s, g := l.session, l.session.group
	defer close(l.over)
	g.mu.Lock()
	s.links = slices.DeleteFunc(s.links, func(o *link) bool { return o == l })
	var gone []autobus.Lease
	for lease := range s.away {
		if o, ok := g.bus.abroad.Load(lease); ok && o != l {
			continue
		}
		if !s.sub.Detached {
			l.remove(lease)
			gone = append(gone, lease)
		}
	}
	if err != nil && !l.ending {
		g.avoid[l.peer.instance] = time.Now().Add(lookSoon)
		if !errors.Is(err, &autobus.Error{Reason: autobus.ReasonNotOwner}) {
			g.avoid[l.peer.instance] = time.Now().Add(avoidFor)
			g.bus.cfg.Logger.Warn("another instance gives no events", "subscription", g.name, "peer", l.peer.instance,
				"error", err)
		}
	}
	for _, o := range s.links {
		o.size(s.window)
	}
	if !l.stopped {
		g.lookNow()
	}
	g.bus.metrics.relayed.Dec()
	g.dispatch()
	g.mu.Unlock()
	if len(gone) > 0 && !l.ending && s.sub.Revoke != nil {
		s.do(func() { s.sub.Revoke(gone) })
	}
	s.call()
}

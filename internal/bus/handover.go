// SPDX-License-Identifier: Apache-2.0

package bus

import (
	"context"
	"slices"
	"time"

	"github.com/autobus-io/autobus/internal/kafka"
)

// revoked hands partitions over: nothing new is handed out, what is leased may be settled for a while, then the
// position is committed.
func (g *group) revoked(ctx context.Context, tps []kafka.TP) {
	ctx, cancel := context.WithTimeout(ctx, drainFor+saveTimeout)
	defer cancel()
	g.mu.Lock()
	var going, save []*partition
	for _, tp := range tps {
		p := g.parts[tp]
		if p == nil {
			continue
		}
		going = append(going, p)
		if p.phase != opening { // else nothing was handed out, and there is nothing to save
			save = append(save, p)
		}
		p.phase = closing
		g.withdraw(p)
		for _, side := range p.sides {
			going = append(going, side)
			side.phase = closing
			g.withdraw(side)
		}
	}
	m, wait := g.member, drainFor
	if !g.draining.IsZero() { // then they have had their time, or are having it
		wait = max(0, time.Until(g.draining))
	}
	g.mu.Unlock()
	g.settled(ctx, going, wait)
	if m != nil {
		if err := g.saveParts(ctx, m, save); err != nil {
			g.bus.metrics.commitErrors.Inc()
			g.bus.cfg.Logger.Warn("commit positions of partitions that go", "subscription", g.name, "error", err)
		}
		g.saveReplays(ctx, m, going)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, p := range going {
		g.drop(p)
	}
	g.dispatch()
}

// settled waits until nothing of the partitions is leased or on its way elsewhere, or the time for that is over.
func (g *group) settled(ctx context.Context, parts []*partition, wait time.Duration) {
	limit := time.After(wait)
	for _, p := range parts {
		// Again and again: what a worker rejects is on its way to the dead letters from then on.
		for idle := g.untilIdle(p); idle != nil; idle = g.untilIdle(p) {
			select {
			case <-idle:
			case <-limit:
				return
			case <-ctx.Done():
				return
			}
		}
	}
}

// untilIdle gives what is closed when a partition is not busy; nil = it is not.
func (g *group) untilIdle(p *partition) <-chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !p.busy() {
		return nil
	}
	if p.idle == nil {
		p.idle = make(chan struct{})
	}
	return p.idle
}

// lostParts drops partitions that were taken away: another member may have them already, so nothing is committed.
func (g *group) lostParts(tps []kafka.TP) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, tp := range tps {
		if p := g.parts[tp]; p != nil {
			g.drop(p)
		}
	}
	g.dispatch()
}

// withdraw takes back what was assigned to sessions and not handed out.
func (g *group) withdraw(p *partition) {
	g.ready.drop(p)
	g.alone.drop(p)
	for s := range g.sessions {
		s.out = slices.DeleteFunc(s.out, func(sl *slot) bool {
			if sl.part == p {
				s.remove(sl)
				sl.session, sl.state = nil, ready
			}
			return sl.part == p
		})
	}
}

// drop ends an incarnation. Whoever works on its events is told to stop.
func (g *group) drop(p *partition) {
	if p.phase == closed {
		return
	}
	for _, side := range slices.Clone(p.sides) {
		g.drop(side)
	}
	g.withdraw(p)
	p.phase = closed
	signal(g.redriving)
	if p.idle != nil {
		close(p.idle)
		p.idle = nil
	}
	g.bus.metrics.parked.Sub(float64(p.kept))
	for _, sl := range p.slots {
		delete(g.unsaved, sl)
		if sl.state != leased {
			g.timers.clear(sl)
			continue
		}
		if s := sl.session; s != nil {
			s.revoked = append(s.revoked, g.leaseOf(sl).text())
			s.call()
		}
		g.unlease(sl)
		sl.state = done
	}
	g.bus.leases.remove(g, p)
	if p.replay != nil {
		g.endSide(p)
		return
	}
	if g.parts[p.tp] == p {
		delete(g.parts, p.tp)
	}
	if len(g.parts) == 0 {
		g.deserted()
	}
}

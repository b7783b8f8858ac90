// SPDX-License-Identifier: Apache-2.0

package bus

import (
	"time"

	"github.com/autobus-io/autobus"
)

// fail counts an attempt that was not acked. The event comes again after delay, or after the policy's backoff when
// that is 0, or it is exhausted. The count is committed before the next delivery, so that it survives this process.
// While the breaker is open nothing counts.
func (g *group) fail(sl *slot, delay time.Duration, why string) {
	sl.failure, sl.alone = why, false
	defer g.freeKey(sl)
	counts := g.failed(sl, why)
	r := g.policy.Retry
	late := r.MaxTime > 0 && time.Since(sl.first)+delay > time.Duration(r.MaxTime)
	tried := sl.attempt - sl.spent
	if counts && (tried >= r.MaxAttempts || late) {
		g.exhaust(sl)
		return
	}
	if delay == 0 {
		delay = backoff(r.Backoff, tried)
	}
	if counts {
		sl.attempt++
	}
	sl.state = pausing
	g.timers.set(sl, time.Now().Add(delay))
	g.tick()
	p := sl.part
	if counts && (sl.copy == nil || sl.copy.at < 0) { // its source keeps it
		p.ledger.Attempt(sl.record.Offset, sl.attempt)
		sl.saved = p.ledger.Seq()
		g.unsaved[sl] = struct{}{}
		g.saveNow()
	}
	if sl.parked() {
		sl.copy.due = sl.at
		if counts || delay > g.bus.groups.memory {
			g.write(sl)
			g.flush(p)
		}
	}
	switch {
	case delay > g.bus.groups.memory:
		g.shelve(sl)
	case sl.record.Offset == p.ledger.Base():
		g.relieve(p)
	}
}

// backoff is the wait after attempt n; the last one repeats.
func backoff(waits []autobus.Duration, n int) time.Duration {
	return time.Duration(waits[min(n, len(waits))-1])
}

// exhaust ends an event that is not to be tried again, as the policy says. One of a replay never waits for an operator:
// by its offset it is done, so that none could name it.
func (g *group) exhaust(sl *slot) {
	switch how := g.policy.OnExhausted; {
	case how == autobus.Drop:
		g.finish(sl, settledDropped)
	case how == autobus.Hold && sl.part.replay == nil:
		g.hold(sl)
	case how == autobus.Stop && sl.part.replay == nil:
		g.stop(sl)
	default:
		g.entomb(sl)
	}
}

func (g *group) entomb(sl *slot) {
	sl.state = burying
	sl.part.burying++
	g.freeKey(sl)
	g.bury(sl)
}

// expire lets go what waited for this moment, and gives the next one.
func (g *group) expire(now time.Time) (next time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for len(g.timers) > 0 && !g.timers[0].at.After(now) {
		sl := g.timers[0]
		g.timers.clear(sl)
		switch sl.state {
		case leased:
			if s := sl.session; s != nil {
				s.stalled = true
				s.revoked = append(s.revoked, g.leaseOf(sl).text())
				s.call()
			}
			g.unlease(sl)
			g.fail(sl, 0, "the lease ran out")
		case pausing:
			g.enqueue(sl)
		default: // burying: what waits otherwise has no timer
			g.bury(sl)
		}
	}
	g.dispatch()
	if b := &g.breaker; b.open && b.next.After(now) {
		next = b.next
	}
	if len(g.timers) > 0 && (next.IsZero() || g.timers[0].at.Before(next)) {
		next = g.timers[0].at
	}
	return next
}

// SPDX-License-Identifier: Apache-2.0

package bus

import "time"

// When a breaker opens, and how it probes.
const (
	breakerAttempts = 20 // the latest ones are looked at
	breakerFailed   = 15 // so many of them failed: it opens,
	breakerEvents   = 5  // unless they are of fewer events, which may be poison
	probeFirst      = time.Second
	probeLongest    = 10 * time.Second
)

// breaker tells a dependency that fails from events that do: when most of a subscription's latest attempts failed, of
// several events, it opens. Then one event at a time is handed out, as a probe, and no failure counts as an attempt,
// so that the backlog does not walk into the dead letters. The first probe that succeeds closes it.
//
// What a worker rejects says nothing here: it is a verdict on the event, and ends it as ever.
type breaker struct {
	recent [breakerAttempts]trial // the latest ones, as a ring
	n      int                    // that there were since it closed

	open   bool
	since  time.Time
	probe  *slot         // the last one that was handed out
	wait   time.Duration // between two probes
	next   time.Time     // not before that
	reason string        // of the latest failure
}

type trial struct {
	failed bool
	part   *partition
	offset int64
}

// judge takes an outcome, and reports whether it opens the breaker.
func (b *breaker) judge(sl *slot, ok bool, now time.Time) (opens bool) {
	b.recent[b.n%breakerAttempts] = trial{failed: !ok, part: sl.part, offset: sl.record.Offset}
	b.n++
	if b.open || ok || b.n < breakerAttempts {
		return false
	}
	failed := 0
	events := map[trial]struct{}{}
	for _, a := range b.recent {
		if a.failed {
			failed++
			events[a] = struct{}{}
		}
	}
	if failed < breakerFailed || len(events) < breakerEvents {
		return false
	}
	b.open, b.since, b.wait, b.next = true, now, probeFirst, now.Add(probeFirst)
	return true
}

// probing reports whether a probe is with a worker.
func (b *breaker) probing() bool {
	p := b.probe
	return p != nil && p.part.phase != closed && (p.state == leased || p.session != nil)
}

// succeeded takes note of an event that a worker has done.
func (g *group) succeeded(sl *slot) {
	b := &g.breaker
	b.judge(sl, true, time.Time{})
	if b.open && sl == b.probe {
		g.bus.metrics.breakers.Dec()
		g.bus.cfg.Logger.Info("breaker closed: the subscription goes on", "subscription", g.name, "open",
			time.Since(b.since).Round(time.Second))
		*b = breaker{}
	}
}

// failed takes note of an attempt that failed, and reports whether it counts.
func (g *group) failed(sl *slot, why string) (counts bool) {
	b, now := &g.breaker, time.Now()
	b.reason = why
	counts = !b.open
	if b.judge(sl, false, now) {
		g.bus.metrics.breakers.Inc()
		g.bus.cfg.Logger.Error("breaker open: most attempts of the subscription fail; it is probed until one succeeds",
			"subscription", g.name, "owner", g.policy.Owner, "reason", why)
		g.tick()
	}
	if b.open && sl == b.probe {
		b.wait = min(2*b.wait, probeLongest)
		b.next = now.Add(b.wait)
		g.tick()
	}
	return counts
}

// dispatchProbe hands out one event, when it is time for it.
func (g *group) dispatchProbe() {
	b := &g.breaker
	if b.probing() || time.Now().Before(b.next) {
		return
	}
	var sl *slot
	var s *session
	switch {
	case len(g.ready.slots) > 0:
		if s = g.choose(g.ready.slots[0]); s != nil {
			sl = g.ready.pop()
		}
	case len(g.alone.slots) > 0:
		if s = g.choose(g.alone.slots[0]); s != nil && s.idle() {
			sl, s.alone = g.alone.pop(), true
		}
	}
	if sl != nil {
		b.probe = sl
		g.assign(s, sl)
	}
}

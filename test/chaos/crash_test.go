// SPDX-License-Identifier: Apache-2.0

package chaos

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/bustest"
)

// TestCrashingEvent is the short form of T14, on the embedded broker and before a cluster.
func TestCrashingEvent(t *testing.T) {
	onBoth(t, func(t *testing.T, s *stand) { crashingEvent(t, s, scale{rate: 300}, &row{}) })
}

// crashingEvent publishes one event of which every worker dies: it closes its connection without a word. The event
// has to end among the dead letters after its attempts, though the gateway is killed at the second and stopped at the
// third of them: what was counted survives it. All others have to be done, and the subscription's lag has to fall to 0.
// Nobody polls: a poller that dies is only missed when its lease runs out, which would count just as well. In the full
// run the event is parked when the gateway is killed, and must not come before its time at the next one.
func crashingEvent(t *testing.T, s *stand, sc scale, r *row) {
	const attempts = 4
	wait := 100 * time.Millisecond
	waits := []autobus.Duration{autobus.Duration(wait), autobus.Duration(wait)}
	if sc.full {
		waits = []autobus.Duration{autobus.Duration(wait), autobus.Duration(parkFor), autobus.Duration(wait)}
	}
	g, l := s.start(t), newSource(s, sc.rate)
	c := newCrew(t, l.load, g, autobus.Policy{Retry: autobus.RetryPolicy{MaxAttempts: attempts, Backoff: waits}})
	deaths := make(chan int, 100) // the attempts of which workers died
	c.verdict = func(d autobus.Delivery) verdict {
		if d.ID == poison {
			deaths <- d.Attempt
		}
		return verdict{die: d.ID == poison}
	}
	c.hire(8+sc.rate/500, 0)
	l.moveTo(t, g)
	c.await(t, g, 200)
	l.sendPoison(t, g)
	died := func(attempt int) {
		t.Helper()
		limit := time.After(bustest.Patience + parkFor)
		for {
			select {
			case n := <-deaths:
				if n >= attempt {
					return
				}
			case <-limit:
				t.Fatalf("no worker died of attempt %d", attempt)
			}
		}
	}

	died(2) // so the first one is counted
	if sc.full {
		bustest.Eventually(t, "the event to be parked", func(context.Context) bool { return c.lag(g).Parked == 1 })
	}
	bustest.Eventually(t, "appends in flight", func(context.Context) bool { return l.sent() > 0 })
	at := time.Now()
	g.mustKill(t)
	killed := g
	g = s.start(t)
	c.goTo(g)
	l.moveTo(t, g)
	c.deserted(t, killed)
	died(3)
	g.term(t)
	g.end(t)
	stopped := g
	g = s.start(t)
	c.goTo(g)
	l.moveTo(t, g)
	c.deserted(t, stopped)
	c.await(t, g, 200)
	log := s.broker.Open(t)
	bustest.Eventually(t, "the dead letter", func(context.Context) bool {
		return len(bustest.ReadAll(t, log, "dlq."+c.name)) > 0
	})
	l.settled(t)
	l.stop()
	c.awaitEnd(t, g)

	var seen []int
	second, third := time.Time{}, time.Time{}
	all := c.sightings(nil)
	for i := range all {
		if d := &all[i]; d.ID == poison {
			seen = append(seen, d.Attempt)
			switch d.Attempt {
			case 2:
				second = d.at
			case 3:
				third = d.at
			}
		}
	}
	t.Logf("figures: workers died %d times, of the attempts %v; the third came %s after the second", len(seen), seen,
		third.Sub(second))
	if slices.Max(seen) != attempts || !slices.IsSorted(seen) {
		t.Errorf("the attempts were %v, not up to %d", seen, attempts)
	}
	if sc.full && third.Sub(second) < parkFor {
		t.Errorf("the third attempt came %s after the second, not after %s", third.Sub(second), parkFor)
	}
	if dead := c.letters(t, s.broker); len(slices.Compact(dead)) != 1 || dead[0] != poison {
		t.Errorf("the dead letters are %v, not the poison alone", dead)
	}
	a := c.account(s, change{gone: killed, next: stopped, at: at})
	c.group.Repeats = a.left + a.recent
	rep := c.judge(t, l, s)
	if rep.Dead != 1 {
		t.Errorf("%d dead letters, not one", rep.Dead)
	}
	r.consumed(t, l, rep, "1 dead letter after %d attempts; killed while it was parked for %s, the next attempt came "+
		"after %s; the lag fell to 0", slices.Max(seen), parkFor, seconds(third.Sub(second)))
}

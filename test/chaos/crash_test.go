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

// TestCrashingEvent publishes one event of which every worker dies: it closes its connection without a word. The event
// has to end among the dead letters after its attempts, though the gateway is killed at the second and stopped at the
// third of them: what was counted survives it. All others have to be done, and the subscription's lag has to fall to 0.
// Nobody polls: a poller that dies is only missed when its lease runs out, which would count just as well.
func TestCrashingEvent(t *testing.T) {
	const attempts = 4
	onBoth(t, func(t *testing.T, s *stand) {
		g, l := s.start(t), newSource(s, 300)
		c := newCrew(t, l.load, g, autobus.Policy{Retry: autobus.RetryPolicy{MaxAttempts: attempts,
			Backoff: []autobus.Duration{autobus.Duration(100 * time.Millisecond)}}})
		deaths := make(chan int, 100) // the attempts of which workers died
		c.verdict = func(d autobus.Delivery) verdict {
			if d.ID == poison {
				deaths <- d.Attempt
			}
			return verdict{die: d.ID == poison}
		}
		c.hire(8, 0)
		l.moveTo(t, g)
		c.await(t, g, 200)
		l.sendPoison(t, g)
		died := func(attempt int) {
			t.Helper()
			limit := time.After(bustest.Patience)
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
		l.stop()
		c.awaitEnd(t, g)

		var seen []int
		all := c.sightings(nil)
		for i := range all {
			if all[i].ID == poison {
				seen = append(seen, all[i].Attempt)
			}
		}
		t.Logf("figures: workers died %d times, of the attempts %v", len(seen), seen)
		if slices.Max(seen) != attempts || !slices.IsSorted(seen) {
			t.Errorf("the attempts were %v, not up to %d", seen, attempts)
		}
		if dead := c.letters(t, s.broker); len(slices.Compact(dead)) != 1 || dead[0] != poison {
			t.Errorf("the dead letters are %v, not the poison alone", dead)
		}
		a := c.account(s, change{gone: killed, next: stopped, at: at})
		c.group.Repeats = a.left + a.recent
		if r := c.judge(t, l, s); r.Dead != 1 {
			t.Errorf("%d dead letters, not one", r.Dead)
		}
	})
}

// SPDX-License-Identifier: Apache-2.0

package chaos

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/bustest"
)

// TestStopGateway stops the gateway that holds all partitions of a subscription by SIGTERM, under load, two times. The
// first time the workers settle all they have: nothing comes again, and before a cluster another gateway goes on soon.
// The second time they never answer some events: just these come again, after the 5 s of the drain.
func TestStopGateway(t *testing.T) {
	onBoth(t, func(t *testing.T, s *stand) {
		const (
			drain = 5 * time.Second // how long workers may settle what they hold
			rest  = 4 * time.Second // two heartbeats of a second, and a busy machine; a crash would cost 10 s
		)
		g, l := s.start(t), newSource(s, 1200)
		c := newCrew(t, l.load, g, autobus.Policy{})
		var hold atomic.Int64 // so many events from now on are never answered
		c.verdict = func(autobus.Delivery) verdict { return verdict{hold: hold.Add(-1) >= 0} }
		c.hire(4, 4)
		standby := s.second(t)
		holds := []int{0, 20}
		var changes []change
		for _, held := range holds {
			if standby == nil {
				l.moveTo(t, g)
			} else {
				l.moveTo(t, standby)
			}
			c.await(t, g, 2000)
			bustest.Eventually(t, "all partitions at one gateway", func(context.Context) bool {
				return c.holds(g) == partitions
			})
			hold.Store(int64(held))
			bustest.Eventually(t, "events that are held", func(context.Context) bool { return hold.Load() <= 0 })
			ch := change{gone: g, at: time.Now()}
			g.term(t)
			if standby != nil {
				c.goTo(standby)
			}
			g.end(t)
			ch.down = time.Since(ch.at)
			if standby == nil {
				g = s.start(t)
				c.goTo(g)
				l.moveTo(t, g)
			} else {
				g, standby = standby, s.start(t)
			}
			ch.next = g
			changes = append(changes, ch)
			c.deserted(t, ch.gone)
			bustest.Eventually(t, "events of every partition again", func(context.Context) bool {
				return len(perPartition(c.sightings(g))) == partitions
			})
		}
		l.stop()
		c.awaitEnd(t, g)

		for i, held := range holds {
			ch := changes[i]
			a := c.account(s, ch)
			t.Logf("figures: %d held: down after %s, %d not settled, %d came again, longest silence of a partition %s", held,
				ch.down.Round(time.Millisecond), a.left, a.again, a.silence.Round(time.Millisecond))
			if a.left != held || a.again != held {
				t.Errorf("%d events were held: %d were not settled, %d came again", held, a.left, a.again)
			}
			most := rest
			if held > 0 {
				most += drain
			}
			if ch.down > most {
				t.Errorf("%d held: the gateway was down after %s, more than %s", held, ch.down, most)
			}
			if s.cluster != nil && a.silence > most {
				t.Errorf("%d held: a partition was silent for %s, more than %s", held, a.silence, most)
			}
		}
		c.judge(t, l, s) // nothing that was acked may come again
	})
}

// SPDX-License-Identifier: Apache-2.0

package chaos

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/bustest"
)

// TestStopGateway is the short form of T11, on the embedded broker and before a cluster.
func TestStopGateway(t *testing.T) {
	onBoth(t, func(t *testing.T, s *stand) { stopGateway(t, s, scale{rate: 1200}, &row{}) })
}

// stopGateway stops the gateway that holds all partitions of a subscription by SIGTERM, under load, two times. The
// first time the workers settle all they have: nothing comes again, and before a cluster another gateway goes on soon.
// The second time they never answer some events: just these come again, after the 5 s of the drain.
//
// What is judged is when the next gateway has all partitions. The silence of a partition is longer: a slow machine's
// workers first do what piled up meanwhile in the partitions before it.
func stopGateway(t *testing.T, s *stand, sc scale, r *row) {
	const drain = 5 * time.Second          // how long workers may settle what they hold
	rest := sessionTimeout - 2*time.Second // of the handover, which after a crash takes longer than the session
	if sc.full {
		rest = 4 * time.Second // two heartbeats of a second, and a busy machine
	}
	g, l := s.start(t), newSource(s, sc.rate)
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
		c.awaitAll(t, g)
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
			g = standby
		}
		ch.next = g
		c.awaitAll(t, g)
		ch.over = time.Since(ch.at)
		changes = append(changes, ch)
		standby = s.second(t)
		c.deserted(t, ch.gone)
		bustest.Eventually(t, "events of every partition again", func(context.Context) bool {
			return len(perPartition(c.sightings(g))) == partitions
		})
	}
	l.stop()
	c.awaitEnd(t, g)

	var figures []string
	for i, held := range holds {
		ch := changes[i]
		a := c.account(s, ch)
		figures = append(figures, fmt.Sprintf("%d events held: down after %s, handed over after %s, %d came again, "+
			"longest silence of a partition %s", held, seconds(ch.down), seconds(ch.over), a.again, seconds(a.silence)))
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
		if s.cluster != nil && ch.over > most {
			t.Errorf("%d held: the next gateway had all partitions after %s, more than %s", held, ch.over, most)
		}
	}
	rep := c.judge(t, l, s) // nothing that was acked may come again
	r.consumed(t, l, rep, "%s", strings.Join(figures, "; "))
}

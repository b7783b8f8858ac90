// SPDX-License-Identifier: Apache-2.0

package chaos

import (
	"context"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/bustest"
)

// sessionTimeout is how long Kafka waits for a member of a group that says nothing.
const sessionTimeout = 10 * time.Second

// TestKillGateway is the short form of T10 and T12, on the embedded broker and before a cluster. There it happens 5
// times and not 20: each time Kafka has to miss the dead one for 10 s.
func TestKillGateway(t *testing.T) {
	onBoth(t, func(t *testing.T, s *stand) {
		sc := scale{rate: 1000, kills: 20}
		if s.cluster != nil {
			sc.kills = 5
		}
		killGateway(t, s, sc, &row{})
	})
}

// killGateway kills the gateway that holds all partitions of a subscription, at random moments, while events are
// published and workers settle them in random order. On the embedded broker it is started again, before a cluster a
// second one takes over. Embedded, the kills go on, up to three times as many, until one hit between an append and its
// answer.
func killGateway(t *testing.T, s *stand, sc scale, r *row) {
	g, l := s.start(t), newSource(s, sc.rate)
	c := newCrew(t, l.load, g, autobus.Policy{})
	c.pace = 100 * time.Millisecond // so that there is something in flight at any moment
	c.hire(4+sc.rate/500, 4)
	standby := s.second(t)
	var changes []change
	for n := 0; n < sc.kills || s.cluster == nil && n < 3*sc.kills && !l.landed(t); n++ {
		c.awaitAll(t, g)
		// While nobody consumes nothing is published either, so that soon events are settled as they come.
		if standby == nil {
			l.moveTo(t, g)
		} else {
			l.moveTo(t, standby)
		}
		c.await(t, g, 500)
		bustest.Eventually(t, "events of every partition", func(context.Context) bool {
			return len(perPartition(c.sightings(g))) == partitions
		})
		<-time.After(rand.N(3 * time.Second)) // a kill knows no good moment between two commits
		bustest.Eventually(t, "appends in flight", func(context.Context) bool { return l.sent() > 0 })
		ch := change{gone: g, at: time.Now()}
		g.mustKill(t)
		if standby == nil {
			l.stop()
			g = s.start(t)
			c.goTo(g)
		} else {
			c.goTo(standby)
			l.stop()
			g, standby = standby, s.start(t)
		}
		ch.next = g
		changes = append(changes, ch)
		c.deserted(t, ch.gone)
	}
	c.awaitAll(t, g)
	l.moveTo(t, g)
	bustest.Eventually(t, "events of every partition", func(context.Context) bool {
		return len(perPartition(c.sightings(g))) == partitions
	})
	l.settled(t)
	l.stop()
	c.awaitEnd(t, g)

	var again []int
	beyond := 0 // kills after which more came again than is explained
	var takeovers []time.Duration
	for n, a := range c.accounts(s, changes) {
		t.Logf("kill %d: %d in flight, %d acks may be forgotten; %d came again, the last partition after %s", n+1,
			a.left, a.recent, a.again, a.takeover.Round(time.Millisecond))
		if a.left == 0 {
			t.Errorf("kill %d found nothing in flight: it proves nothing", n+1)
		}
		if a.again > a.left+a.recent {
			beyond++
			say := t.Errorf
			if sc.full && s.cluster == nil {
				say = t.Logf // 200 kills meet a machine that commits late; what is judged there is what got lost
			}
			say("kill %d made %d events come again, %d in flight and %d acks explain fewer", n+1, a.again, a.left, a.recent)
		}
		most := sessionTimeout + 5*time.Second
		if !sc.full {
			most += 10 * time.Second // the suites around the short form leave it little of the machine
		}
		if a.takeover > most {
			t.Errorf("kill %d: the last partition went on after %s, more than %s", n+1, a.takeover, most)
		}
		c.group.Repeats += a.left + a.recent
		again, takeovers = append(again, a.again), append(takeovers, a.takeover)
	}
	rep := c.judge(t, l, s)
	if rep.Repeats == 0 {
		t.Error("no kill hit between an ack and its commit: they prove nothing")
	}
	if s.cluster == nil && (rep.Landed == 0 || rep.Unknown == rep.Landed) {
		t.Errorf("of %d appends without an answer %d were written: no kill hit in the middle", rep.Unknown, rep.Landed)
	}
	r.consumed(t, l, rep, "%d kills, all with appends and deliveries in flight; median %d events again, at most %d, "+
		"after %d kills more than was in flight or acked in the last second; takeover median %s, at most %s", len(changes),
		median(again), slices.Max(again), beyond, seconds(median(takeovers)), seconds(slices.Max(takeovers)))
}

func perPartition(all []sighting) map[int32]int {
	n := map[int32]int{}
	for i := range all {
		n[all[i].Partition]++
	}
	return n
}

// SPDX-License-Identifier: Apache-2.0

package chaos

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/autobus-io/autobus"
)

// TestChurn is the short form of T15, on the embedded broker and before a cluster.
func TestChurn(t *testing.T) {
	onBoth(t, func(t *testing.T, s *stand) { churn(t, s, scale{rate: 600}, &row{}) })
}

// churn lets ten workers come and go all the time, half of them without a goodbye, while before a cluster two
// further gateways come and go as well. Nothing may be skipped, no key may be in two hands (the history says so), what
// was acked may not come again, and what comes again has to be what somebody left behind, which is less than the sum of
// the windows.
func churn(t *testing.T, s *stand, sc scale, r *row) {
	const window = 16
	g, l := s.start(t), newSource(s, sc.rate)
	l.keys = 8 // of each stream, so that the next event of a key mostly has to wait
	c := newCrew(t, l.load, g, autobus.Policy{AckWait: autobus.Duration(2 * time.Second), Retry: autobus.RetryPolicy{
		MaxAttempts: autobus.MaxAttempts, Backoff: []autobus.Duration{autobus.Duration(10 * time.Millisecond)}}})
	c.window = window
	c.stay = func() time.Duration { return 300*time.Millisecond + rand.N(time.Second) }
	c.hire(5, 5)
	l.moveTo(t, g)
	began := time.Now()
	c.await(t, g, 1000)
	if second, third := s.second(t), s.second(t); second != nil {
		for _, step := range []struct {
			open []*gateway
			ends *gateway
			work *gateway // has to come there
		}{
			{open: []*gateway{g, second}, work: second},
			{open: []*gateway{g, second, third}, work: third},
			{open: []*gateway{g, third}, ends: second, work: third},
			{open: []*gateway{g}, ends: third, work: g},
		} {
			if step.ends != nil {
				step.ends.term(t)
			}
			c.goTo(step.open...)
			if step.ends != nil {
				step.ends.end(t)
				c.deserted(t, step.ends)
			}
			c.await(t, step.work, 500)
		}
	} else {
		c.await(t, g, 3000)
	}
	if sc.full { // the steps above may have been quick
		<-time.After(time.Until(began.Add(30 * time.Second)))
	}
	lasted := time.Since(began)
	l.stop()
	c.awaitEnd(t, g)

	again, places := 0, map[place]bool{}
	all := c.sightings(nil)
	for i := range all {
		at := all[i].place()
		if places[at] {
			again++
		}
		places[at] = true
	}
	left := 0
	for _, n := range c.left {
		left += n
	}
	if c.stays < 40 || left == 0 {
		t.Errorf("%d stays left %d events behind: too few to prove anything", c.stays, left)
	}
	if again > left || left > c.stays*window {
		t.Errorf("%d events came again, %d were left behind by %d stays of %d", again, left, c.stays, window)
	}
	rep := c.judge(t, l, s)
	if rep.Dead > 0 {
		t.Errorf("%d dead letters", rep.Dead)
	}
	r.consumed(t, l, rep, "%d stays of workers in %s, %d of %d events came again, %d were left behind, the windows hold "+
		"%d", c.stays, seconds(lasted), again, len(places), left, c.stays*window)
}

// SPDX-License-Identifier: Apache-2.0

package chaos

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/bustest"
)

// poison is the id of the event that does harm.
const poison = "poison"

// sendPoison publishes the event, under a key of its own.
func (l *load) sendPoison(t *testing.T, g *gateway) { t.Helper(); l.send(t, g, poison) }

// send publishes an event of the poison's key.
func (l *load) send(t *testing.T, g *gateway, id string) {
	t.Helper()
	s := &stream{load: l, name: poison}
	it := &item{key: poison, event: autobus.Event{ID: id, Source: "/faults", Type: l.typ,
		Data: fmt.Appendf(nil, `{"order":%q,"extra":%d}`, poison, time.Since(l.began))}}
	it.attempt = l.history.Begin(s.name, it.event, it.key)
	s.inFlight = append(s.inFlight, it)
	s.answer(t, publish(t, g, line(it)))
	if s.acked.Load() != 1 {
		t.Fatalf("%s was not written", id)
	}
}

// parkFor is a wait before an attempt for which an event is parked, and not kept in memory.
const parkFor = 61 * time.Second

// TestPoisonEvent is the short form of T13, on the embedded broker and before a cluster.
func TestPoisonEvent(t *testing.T) {
	onBoth(t, func(t *testing.T, s *stand) { poisonEvent(t, s, scale{rate: 600}, &row{}) })
}

// poisonEvent publishes one event that every worker fails, among many others. It has to end among the dead letters,
// once, and the others must not be slower for it: their 99th percentile from publishing to delivery while the poison
// goes round is at most twice that of the time before and after. Each half second has its percentile, and their median
// counts, so that a pause of a busy machine decides nothing; nor is anything below floor judged, which is what a worker
// may take between two looks for events, twice. In the full run the last wait is one for which the poison is parked,
// with what comes behind it of its key, which has to follow it.
func poisonEvent(t *testing.T, s *stand, sc scale, r *row) {
	const (
		attempts = 12
		backoff  = 300 * time.Millisecond
		floor    = 50 * time.Millisecond
	)
	waits := slices.Repeat([]autobus.Duration{autobus.Duration(backoff)}, attempts-1)
	if sc.full {
		waits[attempts-2] = autobus.Duration(parkFor)
	}
	g, l := s.start(t), newSource(s, sc.rate)
	c := newCrew(t, l.load, g, autobus.Policy{Retry: autobus.RetryPolicy{MaxAttempts: attempts, Backoff: waits}})
	var failed atomic.Int64
	c.verdict = func(d autobus.Delivery) verdict {
		if d.ID != poison {
			return verdict{}
		}
		failed.Add(1)
		return verdict{Outcome: autobus.Outcome{Kind: autobus.Retry, Reason: "it is poison"}}
	}
	c.hire(4+sc.rate/500, 4)
	l.moveTo(t, g)
	c.await(t, g, 500) // everything is warm
	from := time.Now()
	quiet := func() { c.await(t, g, 1500) }
	quiet()
	begin := time.Now()
	l.sendPoison(t, g)
	behind := 0
	if sc.full {
		for ; behind < 20; behind++ {
			l.send(t, g, fmt.Sprint("behind-", behind))
		}
		bustest.Eventually(t, "the poison and its key to be parked", func(context.Context) bool {
			return c.lag(g).Parked == int64(behind)+1
		})
		<-time.After(parkFor - 5*time.Second) // so that patience suffices
	}
	bustest.Eventually(t, "the last attempt", func(context.Context) bool { return failed.Load() >= attempts })
	end := time.Now()
	quiet()
	l.settled(t)
	l.stop()
	c.awaitEnd(t, g)

	before, during := halfSeconds{}, halfSeconds{}
	all := c.sightings(g)
	for i := range all {
		switch d := &all[i]; {
		case string(d.Key) == poison || d.at.Before(from):
		case d.at.After(begin) && d.at.Before(end):
			during.add(d, d.age(t, c.began))
		default:
			before.add(d, d.age(t, c.began))
		}
	}
	was, is := before.median(), during.median()
	t.Logf("figures: p99 %s without the poison (%d half seconds), %s while it goes round (%d)",
		was.Round(time.Millisecond), len(before), is.Round(time.Millisecond), len(during))
	if len(during) < 4 || len(before) < 4 {
		t.Errorf("the poison went round for %s: there is too little to compare", end.Sub(begin))
	}
	if is > max(2*was, floor) {
		t.Errorf("the poison made the others slow: p99 %s, without it %s", is, was)
	}
	if dead := c.letters(t, s.broker); len(dead) == 0 || len(slices.Compact(dead)) != 1 || dead[0] != poison {
		t.Errorf("the dead letters are %v, not the poison alone", dead)
	}
	rep := c.judge(t, l, s)
	if rep.Dead != 1 {
		t.Errorf("%d dead letters, not one", rep.Dead)
	}
	r.consumed(t, l, rep, "1 dead letter after %d attempts, once parked with %d events of its key behind it, which "+
		"followed; p99 of the others %s while it went round, %s without it", attempts, behind, is.Round(time.Millisecond),
		was.Round(time.Millisecond))
}

// age is how long before it was seen an event was made.
func (s *sighting) age(t *testing.T, began time.Time) time.Duration {
	t.Helper()
	var data struct {
		Extra time.Duration `json:"extra"`
	}
	if err := json.Unmarshal(s.Data, &data); err != nil || data.Extra == 0 {
		t.Fatalf("the data %s of an event: %v", s.Data, err)
	}
	return s.at.Sub(began.Add(data.Extra))
}

// halfSeconds are ages of events by the half second in which they were seen.
type halfSeconds map[int64][]time.Duration

func (s halfSeconds) add(d *sighting, age time.Duration) {
	at := d.at.UnixMilli() / 500
	s[at] = append(s[at], age)
}

// median is the median of the 99th percentiles.
func (s halfSeconds) median() time.Duration {
	var all []time.Duration
	for _, ages := range s {
		slices.Sort(ages)
		all = append(all, ages[len(ages)*99/100])
	}
	return median(all)
}

// SPDX-License-Identifier: Apache-2.0

package chaos

import (
	"context"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/bustest"
	"github.com/autobus-io/autobus/internal/kafka"
)

// TestKilledRedrive is the short form of T18, on the embedded broker.
func TestKilledRedrive(t *testing.T) { redrive(t, devStand(t), scale{rate: 400}, &row{}) }

// redrive has workers reject some events until there are many dead letters, then redrives them all and kills the
// gateway that does it, two times, in the middle of the job. Each letter has to be redriven once: the park log tells
// from which letter each copy lives, and by which owner it was written. Events go on to be published meanwhile.
func redrive(t *testing.T, s *stand, sc scale, r *row) {
	letters := 200
	if sc.full {
		letters = 1000
	}
	g, l := s.start(t), newSource(s, sc.rate)
	c := newCrew(t, l.load, g, autobus.Policy{})
	var mended atomic.Bool
	c.verdict = func(d autobus.Delivery) verdict {
		if mended.Load() || !unlucky(d.ID, 5) {
			return verdict{}
		}
		return verdict{Outcome: autobus.Outcome{Kind: autobus.Reject, Reason: "no such article"}}
	}
	c.hire(4, 4)
	standby := s.second(t)
	l.moveTo(t, or(standby, g))
	log := s.broker.Open(t)
	dead := func() int { return len(bustest.ReadAll(t, log, "dlq."+c.name)) }
	bustest.Eventually(t, "dead letters", func(context.Context) bool { return dead() >= letters })
	mended.Store(true)
	c.await(t, g, 100) // what was in hand is settled
	c.awaitAll(t, g)

	j := c.redriveAll(t, g, float64(letters)/10)
	all := int(j.Count)
	var changes []change
	for _, part := range []int64{5, 2} { // a fifth of it, and half of it
		bustest.Eventually(t, "the job to be under way", func(context.Context) bool {
			j = c.job(t, g, j.ID)
			return j.Redriven >= j.Count/part && l.sent() > 0
		})
		ch := change{gone: g, at: time.Now()}
		g.mustKill(t)
		if standby == nil {
			l.stop()
			g = s.start(t)
		} else {
			g, standby = standby, nil
		}
		ch.next = g
		changes = append(changes, ch)
		c.goTo(g)
		if standby == nil && s.cluster != nil {
			standby = s.start(t)
		}
		l.moveTo(t, or(standby, g))
		c.deserted(t, ch.gone)
		if j = c.job(t, g, j.ID); j.State != "running" || j.Redriven == 0 || j.Remaining == 0 {
			t.Errorf("after a kill the job is %+v: it did not hit in the middle", j)
		}
	}
	bustest.Eventually(t, "the end of the job", func(context.Context) bool {
		j = c.job(t, g, j.ID)
		return j.State == "done"
	})
	l.settled(t)
	l.stop()
	c.awaitEnd(t, g)

	if j.Redriven != int64(all) || j.Repeated != 0 || len(j.Left) > 0 || j.Gone != 0 {
		t.Errorf("of %d letters the job says %+v", all, j)
	}
	c.letters(t, s.broker)
	c.group.Redriven = map[int64]bool{}
	writers := redriven(t, bustest.ReadAll(t, s.broker.Open(t), "park."+c.name))
	twice := 0
	for n := range int64(all) {
		c.group.Redriven[n] = true
		if len(writers[n]) != 1 {
			twice++
			t.Errorf("letter %d was redriven by the incarnations %v", n, writers[n])
		}
	}
	again := 0
	for _, a := range c.accounts(s, changes) {
		c.group.Repeats += a.left + a.recent
		again += a.left + a.recent
	}
	rep := c.judge(t, l, s)
	r.consumed(t, l, rep, "%d letters, 2 kills in the middle of the job; %d redriven, %d not once; %d events came again, "+
		"%d were in flight or acked in the last second", all, j.Redriven, twice, rep.Repeats, again)
}

// unlucky picks one event out of n, the same ones each time.
func unlucky(id string, n uint32) bool {
	h := fnv.New32a()
	_, _ = h.Write([]byte(id))
	return h.Sum32()%n == 0
}

func or(a, b *gateway) *gateway {
	if a != nil {
		return a
	}
	return b
}

// redriving is a job as the bus tells of it.
type redriving struct {
	ID        string `json:"id"`
	State     string `json:"state"`
	Count     int64  `json:"count"`
	Redriven  int64  `json:"redriven"`
	Remaining int64  `json:"remaining"`
	Repeated  int64  `json:"repeated"`
	Gone      int64  `json:"gone"`

	Left []json.RawMessage `json:"left"`
}

// redriveAll asks for all dead letters to be redriven, so many a second.
func (c *crew) redriveAll(t *testing.T, g *gateway, rate float64) (j redriving) {
	t.Helper()
	text, err := c.ask(g, http.MethodPost, "/dead-letters/redrive", map[string]any{"rate": rate, "reason": "mended"})
	if err != nil || json.Unmarshal(text, &j) != nil || j.Count == 0 {
		t.Fatalf("redrive: %s, %v", text, err)
	}
	return j
}

// job asks a gateway how far a job is.
func (c *crew) job(t *testing.T, g *gateway, id string) (j redriving) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), bustest.Patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, g.url+"/v1/jobs/"+id, nil)
	if err != nil {
		t.Fatal(err)
	}
	g.authorize(req)
	resp, err := c.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil || json.Unmarshal(text, &j) != nil || j.ID != id {
		t.Fatalf("job %s: %s, %v", id, text, err)
	}
	return j
}

// redriven reads a park log as a judge does: a copy counts unless a claim of a later owner of its partition stands
// before it. It gives the owners by whom the event of each letter lives again.
func redriven(t *testing.T, log []kafka.Record) map[int64][]int {
	t.Helper()
	out := map[int64][]int{}
	claimed := map[string]int{} // by source: topic, partition and seek epoch
	for _, r := range log {
		kind := ""
		for _, h := range r.Headers {
			if h.Key == "autobus-park" {
				kind = string(h.Value)
			}
		}
		// topic/partition/epoch/owner of a claim, /offset/n of a copy, and one past the number of its letter.
		part := strings.Split(string(r.Key), "/")
		var by, letter int
		if _, err := fmt.Sscan(part[3], &by); err != nil {
			t.Fatalf("the key %q of a park log: %v", r.Key, err)
		}
		of := strings.Join(part[:3], "/")
		switch {
		case kind == "claim":
			claimed[of] = max(claimed[of], by)
		case kind == "copy" && len(part) == 7 && by >= claimed[of]:
			if _, err := fmt.Sscan(part[6], &letter); err != nil {
				t.Fatalf("the key %q of a park log: %v", r.Key, err)
			}
			if n := int64(letter - 1); !slices.Contains(out[n], by) {
				out[n] = append(out[n], by)
			}
		}
	}
	return out
}

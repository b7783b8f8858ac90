// SPDX-License-Identifier: Apache-2.0

package chaos

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/bustest"
	"github.com/autobus-io/autobus/internal/kafka"
)

// TestTwoOfThreeBrokersDead is the short form of T4.
func TestTwoOfThreeBrokersDead(t *testing.T) {
	killTwo(t, clusterStand(t, bustest.Cluster(t)), short(), &row{})
}

// killTwo kills two of three brokers, with the controller apart. Nothing may be acknowledged that was sent while there
// is one, everything acknowledged has to be readable by a tail, and once a second broker is back everything has an
// outcome again. The subscription goes on for as long as Kafka keeps its group, which it cannot for long: it writes
// down groups as it does events.
func killTwo(t *testing.T, s *stand, sc scale, r *row) {
	outage := 12 * time.Second
	if sc.full {
		outage = time.Minute
	}
	x := newTrial(t, s, sc)
	k := s.broker
	c := newCrew(t, x.l.load, x.g, autobus.Policy{})
	c.window = 16
	var slow atomic.Bool // so that there is always something left to deliver
	slow.Store(true)
	c.verdict = func(autobus.Delivery) verdict {
		if slow.Load() {
			<-time.After(20 * time.Millisecond)
		}
		return verdict{}
	}
	c.hire(4, 0)
	c.await(t, x.g, 200)

	first, second := k.Leader(t, s.typ, 0), k.Leader(t, s.typ, 1)
	if first == second {
		second = first%3 + 1
	}
	survivor := 6 - first - second
	// What the survivor knows to be acknowledged by then: of the last moments before its leaders die it has the records,
	// but does not know, and gives nobody what it does not know.
	known, err := k.Open(t).Ends(t.Context(), s.typ)
	if err != nil {
		t.Fatal(err)
	}
	x.progress("load up to the fault", 1)
	x.begin()
	k.KillBroker(t, first)
	k.KillBroker(t, second)
	dead := time.Now()
	bustest.Eventually(t, "the survivor to lead everything", func(context.Context) bool {
		ps, ok := k.Replicas(t, s.typ)
		for _, p := range ps {
			ok = ok && p.Leader == survivor
		}
		return ok
	})
	alone := time.Now()
	tailed := tailAll(t, x.g, s.typ, known)
	tailTook := time.Since(alone)
	<-time.After(time.Until(dead.Add(outage)))
	for _, id := range []int32{first, second} {
		if k.BrokerRuns(t, id) {
			t.Errorf("broker %d runs: the run proves nothing", id)
		}
	}
	read, last := 0, dead // by the subscription
	for _, d := range c.sightings(nil) {
		if d.at.After(dead) {
			read, last = read+1, d.at
		}
	}
	back := time.Now()
	k.RestartBroker(t, second)
	bustest.Eventually(t, "writes to every partition", func(context.Context) bool {
		return x.l.timeline().back(partitions, back) >= 0
	})
	k.RestartBroker(t, first)
	k.WaitISR(t, s.typ)
	x.progress("load after their return", 3)
	slow.Store(false)
	c.hire(12, 0)
	x.l.settled(t)
	x.l.stop()
	c.awaitEnd(t, x.g)
	for _, at := range c.acks {
		if at.After(dead.Add(-time.Second - s.commitTime())) { // no position was written in the outage
			c.group.Repeats++
		}
	}
	a, rep := x.over()

	during := a.between(dead, back)
	refused, unknown := during.count(autobus.Refused), during.count(autobus.Unknown)
	wrong := 0
	for _, w := range during.written() {
		if w.sent.After(dead) {
			wrong++
		}
	}
	x.none("events were acknowledged that were sent while one broker was left", wrong)
	if unknown+refused == 0 {
		t.Error("nothing was refused or unknown: the kill was not felt")
	}
	resumed := a.back(partitions, back)
	x.within("the time until every partition is written to again", resumed, 20*time.Second)
	r.came(x, rep, "of %d answers in the outage none was written (%d refused, %d unknown, all resolved); %d events read "+
		"by a tail in %s, %d by the subscription, the last after %s; resumed %s after the start of the second",
		refused+unknown, refused, unknown, tailed, seconds(tailTook), read, seconds(last.Sub(dead)), seconds(resumed))
}

// settled waits until nothing is left without a certain outcome.
func (l *load) settled(t *testing.T) {
	t.Helper()
	bustest.Eventually(t, "every event to be written that had no outcome", func(context.Context) bool {
		return l.unanswered() == 0
	})
}

// tailAll reads a type from its beginning through a gateway until it has all before some ends, and counts them. Like a
// good client it asks again when it is told to.
func tailAll(t *testing.T, g *gateway, typ string, ends map[kafka.TP]int64) int {
	t.Helper()
	seen := map[place]bool{}
	left := int64(0)
	for _, end := range ends {
		left += end
	}
	bustest.Eventually(t, "all that was acknowledged to be read by a tail", func(ctx context.Context) bool {
		return left == 0 || tail(ctx, t, g, typ, func(at place) bool {
			if !seen[at] && at.offset < ends[kafka.TP{Topic: typ, Partition: at.partition}] {
				left--
			}
			seen[at] = true
			return left > 0
		})
	})
	return len(seen)
}

// tail reads a type from its beginning until nothing more is wanted, and reports whether it came to that.
func tail(ctx context.Context, t *testing.T, g *gateway, typ string, more func(place) bool) bool {
	t.Helper()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, g.url+"/v1/tail?from=earliest&type="+typ, nil)
	if err != nil {
		t.Fatal(err)
	}
	g.authorize(req)
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	resp, err := (&http.Client{Transport: transport}).Do(req)
	if err != nil {
		return false
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(resp.Body) // only to be shown
		t.Logf("a tail: %s: %s", resp.Status, text)
		return false
	}
	in := bufio.NewScanner(resp.Body)
	in.Buffer(nil, 4<<20)
	for in.Scan() {
		var l struct {
			Partition int32           `json:"partition"`
			Offset    int64           `json:"offset"`
			Event     json.RawMessage `json:"event"`
		}
		if err := json.Unmarshal(in.Bytes(), &l); err != nil {
			t.Errorf("the line %q of a tail: %v", in.Text(), err)
			return false
		}
		if l.Event != nil && !more(place{l.Partition, l.Offset}) {
			return true
		}
	}
	return false
}

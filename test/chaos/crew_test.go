// SPDX-License-Identifier: Apache-2.0

package chaos

import (
	"context"
	"fmt"
	"math"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/bustest"
	"github.com/autobus-io/autobus/internal/kafka"
)

// crew is the workers of one subscription, wherever they are connected, and what they saw. Some read a stream, others
// poll; all settle by POST, in random order, some of what they hold at a time. A worker whose gateway is gone or goes
// connects to one that is open.
type crew struct {
	t       *testing.T
	name    string
	history *bustest.History
	group   *bustest.Group
	began   time.Time // events tell their age from then on
	client  *http.Client

	// Set before workers are hired.
	window  int
	pace    time.Duration                  // how long a worker works on what it holds before it settles some of it
	verdict func(autobus.Delivery) verdict // nil = everything is acked
	stay    func() time.Duration           // at one gateway; nil = as long as it can

	working sync.WaitGroup
	ctx     context.Context //nolint:containedctx // of the workers, until they are fired
	cancel  context.CancelFunc

	mu    sync.Mutex
	open  []*gateway // where workers may connect
	seen  []sighting
	acks  []time.Time // when acks were answered ok
	there map[*gateway]int
	left  map[*gateway]int // events that workers had and did not settle
	stays int              // that are over
}

// verdict is what a worker does with an event.
type verdict struct {
	autobus.Outcome
	hold bool // it never answers
	die  bool // it dies of it
}

// sighting is a delivery as a worker saw it.
type sighting struct {
	autobus.Delivery
	from *gateway
	at   time.Time
}

// place is where an event stands in its type.
type place struct {
	partition int32
	offset    int64
}

func (s *sighting) place() place { return place{s.Partition, s.Offset} }

// newCrew makes a subscription and a crew for it that goes to g. A policy without types reads all of the load.
func newCrew(t *testing.T, l *load, g *gateway, p autobus.Policy) *crew {
	t.Helper()
	if p.Types == nil {
		p.Types, p.Start = []string{l.typ}, autobus.Start{Earliest: true}
	}
	c := &crew{t: t, name: bustest.Prefix(), history: l.history, began: l.began, window: 64,
		pace:   20 * time.Millisecond,
		client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}},
		there:  map[*gateway]int{}, left: map[*gateway]int{}}
	c.group = c.history.Group(c.name, p)
	c.create(g, p)
	c.goTo(g)
	c.ctx, c.cancel = context.WithCancel(context.WithoutCancel(t.Context()))
	t.Cleanup(func() {
		c.fire()
		c.client.CloseIdleConnections()
	})
	return c
}

// hire starts workers: so many that read streams, and so many that poll.
func (c *crew) hire(streaming, polling int) {
	for i := range streaming + polling {
		w := &worker{crew: c, polls: i >= streaming}
		c.working.Go(w.run)
	}
}

// fire ends all workers. They settle what they hold and say goodbye.
func (c *crew) fire() {
	c.cancel()
	c.working.Wait()
}

// goTo says where workers may connect from now on. Those that are somewhere else stay as long as that gateway does.
func (c *crew) goTo(gs ...*gateway) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.open = gs
}

func (c *crew) isOpen(g *gateway) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Contains(c.open, g)
}

// saw notes deliveries that a worker read.
func (c *crew) saw(from *gateway, s *bustest.Session, ds []autobus.Delivery) {
	s.Delivered(ds...)
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	for _, d := range ds {
		c.seen = append(c.seen, sighting{d, from, now})
	}
}

// sightings returns all that was seen up to now from a gateway; nil = from all of them.
func (c *crew) sightings(from *gateway) (out []sighting) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.seen {
		if from == nil || s.from == from {
			out = append(out, s)
		}
	}
	return out
}

// await waits until n further events were seen from a gateway and settled.
func (c *crew) await(t *testing.T, g *gateway, n int) {
	t.Helper()
	acked := func() int {
		c.mu.Lock()
		defer c.mu.Unlock()
		return len(c.acks)
	}
	from, before := len(c.sightings(g)), acked()
	bustest.Eventually(t, "work", func(context.Context) bool {
		return len(c.sightings(g)) >= from+n && acked() >= before+n
	})
}

// awaitAll waits until one gateway has all partitions.
func (c *crew) awaitAll(t *testing.T, g *gateway) {
	t.Helper()
	bustest.Eventually(t, "all partitions at one gateway", func(context.Context) bool { return c.holds(g) == partitions })
}

// awaitEnd waits until nothing of the subscription is undone, as its committed positions say, and then fires. That may
// take long on a slow machine: it fails when nothing more gets done.
func (c *crew) awaitEnd(t *testing.T, g *gateway) {
	t.Helper()
	for left := int64(math.MaxInt64); left > 0; {
		bustest.Eventually(t, fmt.Sprintf("the end of the work, %d to do", left), func(context.Context) bool {
			l := c.lag(g)
			before := left
			if len(l.Partitions) > 0 {
				left = min(left, l.Behind+l.Undone)
			}
			return left < before
		})
	}
	c.fire()
}

// deserted waits until no worker is at a gateway any more.
func (c *crew) deserted(t *testing.T, g *gateway) {
	t.Helper()
	bustest.Eventually(t, "all workers to notice that the gateway is gone", func(context.Context) bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		return c.there[g] == 0
	})
}

// letters reads the subscription's dead letters, and hands them to the judge.
func (c *crew) letters(t *testing.T, k *bustest.Kafka) (ids []string) {
	t.Helper()
	records := bustest.ReadAll(t, k.Open(t), "dlq."+c.name)
	c.group.Dead(records)
	for _, r := range records {
		ids = append(ids, eventID(r))
	}
	return ids
}

// eventID is the id of the event in a record.
func eventID(r kafka.Record) string {
	for _, h := range r.Headers {
		if h.Key == "ce_id" {
			return string(h.Value)
		}
	}
	return ""
}

// SPDX-License-Identifier: Apache-2.0

package bustest

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/kafka"
)

// tally lets more workers than partitions consume, keeps a history, and holds it against the log.
func (s *suite) tally(t *testing.T) {
	load := cmp.Or(s.target.Load, 1500)
	for _, order := range []autobus.Order{autobus.OrderKey, autobus.OrderPartition, autobus.OrderNone} {
		t.Run(string(order), func(t *testing.T) { s.newCrew(t, order).run(t, load, false) })
	}
	t.Run("Churn", func(t *testing.T) { // workers come, say goodbye, or die
		if !lacks(t, s.features.NoSessions) {
			s.newCrew(t, autobus.OrderKey).run(t, load, true)
		}
	})
}

// crew is a number of workers of one subscription and what is known of their work.
type crew struct {
	suite   *suite
	history *History
	group   *Group
	sub     autobus.Subscription
	done    sync.Map     // partition/offset of what a worker finished for good
	count   atomic.Int64 // the same

	rejected, fates atomic.Int64
}

const (
	crewSize = 8  // on WorkPartitions partitions
	crewKeys = 40 // more than the crew may hold
)

func (s *suite) newCrew(t *testing.T, order autobus.Order) *crew {
	t.Helper()
	p := s.policy(s.types.Work)
	p.Order, p.Window, p.Retry.MaxAttempts = order, &autobus.Window{Events: 4}, autobus.MaxAttempts
	c := &crew{suite: s, history: NewHistory(), sub: s.subscription(p)}
	c.group = c.history.Group(c.sub.Name, p)
	c.group.From = map[kafka.TP]int64{}
	for _, r := range s.log(t, s.types.Work) {
		c.group.From[r.TP] = r.Offset + 1
	}
	return c
}

// hand is a member of a crew.
type hand struct {
	*worker
	stop chan struct{} // closed: it does no more work, though its session goes on
	over chan struct{} // closed when it has stopped
}

// join adds a worker. It holds what it is given until it begins.
func (c *crew) join(t *testing.T) *hand {
	t.Helper()
	notes := c.group.Open(c.suite.features.NoSessions != "")
	return &hand{worker: c.suite.workNoted(t, c.sub, notes), stop: make(chan struct{}), over: make(chan struct{})}
}

// begin lets a worker settle what it is given.
func (c *crew) begin(t *testing.T, h *hand) {
	go func() {
		defer close(h.over)
		for {
			select {
			case <-h.stop:
				return
			default:
			}
			select {
			case d := <-h.got:
				c.settle(t, d)
			case <-h.stop:
				return
			case <-h.ended:
				return
			}
		}
	}()
}

// idle makes a worker hold what it is given from now on.
func (h *hand) idle() {
	close(h.stop)
	<-h.over
}

// settle finishes most events, fails some, and gives up a few.
func (c *crew) settle(t *testing.T, d autobus.Delivery) {
	o := autobus.Outcome{Kind: autobus.Ack}
	switch n := c.fates.Add(1); {
	case n%97 == 0:
		o = autobus.Outcome{Kind: autobus.Reject, Reason: "the test says so"}
	case n%31 == 0:
		o.Kind = autobus.Skip
	case n%13 == 0:
		o = autobus.Outcome{Kind: autobus.Retry, Delay: time.Millisecond}
	}
	ss := []autobus.Settlement{{Lease: d.Lease, Outcome: o}}
	answered := c.history.Settle(ss)
	bus, ctx := c.suite.bus(context.Background(), t, everything)
	err := bus.Settle(ctx, ss)
	answered(err)
	if err != nil || ss[0].Err != nil || o.Kind == autobus.Retry {
		return
	}
	if _, twice := c.done.LoadOrStore(fmt.Sprintf("%d/%d", d.Partition, d.Offset), true); !twice {
		c.count.Add(1)
		if o.Kind == autobus.Reject {
			c.rejected.Add(1)
		}
	}
}

// run lets the crew consume n events and judges.
func (c *crew) run(t *testing.T, n int, churn bool) {
	hands := make([]*hand, crewSize)
	for i := range hands {
		hands[i] = c.join(t)
	}
	if !churn {
		c.publish(t, n)
		c.spread(t, hands)
	}
	for _, h := range hands {
		c.begin(t, h)
	}
	if churn {
		c.churn(t, n, hands)
	}
	Eventually(t, "the end of the work", func(context.Context) bool { return c.count.Load() == int64(n) })
	for _, h := range hands {
		h.idle()
		h.end(t, nil)
	}
	// What was rejected last may still be on its way to the dead letters.
	Eventually(t, "the dead letters", func(context.Context) bool {
		return int64(len(c.suite.deadLetters(t, c.sub.Name))) >= c.rejected.Load()
	})
	c.judge(t, n)
}

// spread waits until every worker has something in hand: there are more keys than all of them together may hold. Where
// partitions wait for themselves, there are fewer of them than workers.
func (c *crew) spread(t *testing.T, hands []*hand) {
	if c.group.policy.Order == autobus.OrderPartition {
		return
	}
	Eventually(t, "work for every worker", func(context.Context) bool {
		return !slices.ContainsFunc(hands, func(h *hand) bool { return len(h.got) == 0 })
	})
}

// churn publishes in rounds. In each of them a worker ends with events in hand, by turns with and without a goodbye,
// and another one comes.
func (c *crew) churn(t *testing.T, n int, hands []*hand) {
	const rounds = 15
	held := 0
	for round := range rounds {
		h := hands[round%crewSize]
		h.idle()
		c.publish(t, n*(round+1)/rounds-n*round/rounds)
		var cause error
		if round%2 == 0 {
			cause = autobus.ErrReaderDied
		}
		h.end(t, cause)
		held += len(h.got)
		hands[round%crewSize] = c.join(t)
		c.begin(t, hands[round%crewSize])
	}
	if held == 0 {
		t.Error("no worker ended with anything in hand: the run shows nothing")
	}
}

// judge holds the history against the log.
func (c *crew) judge(t *testing.T, n int) {
	t.Helper()
	c.history.Read(slices.DeleteFunc(c.suite.log(t, c.suite.types.Work), func(r kafka.Record) bool {
		return r.Offset < c.group.From[r.TP] // of other parts of the suite
	}))
	c.group.Dead(c.suite.deadLetters(t, c.sub.Name))
	r := c.history.Check()
	for i, f := range r.Faults {
		if i == 20 {
			t.Errorf("and %d more", len(r.Faults)-i)
			break
		}
		t.Error(f)
	}
	if r.Records != n || r.Done+r.Dead != n || r.Dead != int(c.rejected.Load()) {
		t.Errorf("%d events were published: the log has %d, %d were done, %d of %d became dead letters", n, r.Records, r.Done,
			r.Dead, c.rejected.Load())
	}
	t.Logf("%d deliveries of %d events, %d of them dead letters", r.Delivered, r.Records, r.Dead)
}

func (c *crew) publish(t *testing.T, n int) {
	t.Helper()
	prefix := c.suite.unique("crew")
	for from := 0; from < n; from += 100 {
		b := &autobus.Batch{}
		var attempts []*Attempt
		for i := from; i < min(n, from+100); i++ {
			key := fmt.Sprintf("%s-%d", prefix, i%crewKeys)
			e := c.suite.event(c.suite.types.Work, key)
			b.Events = append(b.Events, e)
			attempts = append(attempts, c.history.Begin("", e, key))
		}
		rs := c.suite.send(t, b)
		written(t, rs)
		for i, r := range rs {
			attempts[i].End(r)
		}
	}
}

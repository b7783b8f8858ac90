// SPDX-License-Identifier: Apache-2.0

package conformance

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/bus"
	"github.com/autobus-io/autobus/internal/bustest"
)

// TestHandover moves a subscription's partitions between instances under load: another one joins, one goes while some
// of its workers do not answer. The history has to show every event done, none twice, none of a key out of order.
func TestHandover(t *testing.T) {
	t.Run("embedded", func(t *testing.T) { handover(t, bustest.Embedded(t), true) })
	t.Run("kafka", func(t *testing.T) { handover(t, bustest.Cluster(t), false) })
}

func handover(t *testing.T, k *bustest.Kafka, embedded bool) {
	types := bustest.NewTypes(bustest.Prefix())
	first, target := instance(t, k, "first", embedded)
	target.Push(t, types.Specs())
	second, _ := instance(t, k, "second", embedded)

	l := newLoad(types.Work)
	var publishing sync.WaitGroup
	halting, halt := context.WithCancel(as(context.Background()))
	t.Cleanup(func() {
		halt()
		publishing.Wait()
		l.fire()
	})
	l.hire(t, first, 5)
	publishing.Go(func() { l.publish(halting, t, first) })
	bustest.Eventually(t, "work on the first instance", func(context.Context) bool { return l.count(first) > 100 })

	l.hire(t, second, 0)
	bustest.Eventually(t, "work on both instances", func(context.Context) bool { return l.count(second) > 100 })

	ctx, cancel := context.WithTimeout(t.Context(), bustest.Patience)
	defer cancel()
	first.DrainDeliveries(ctx)
	from := l.count(second)
	bustest.Eventually(t, "work on the second one alone", func(context.Context) bool { return l.count(second) > from+500 })

	third, _ := instance(t, k, "third", embedded)
	l.hire(t, third, 0)
	bustest.Eventually(t, "work on one that came later", func(context.Context) bool { return l.count(third) > 100 })
	halt()
	publishing.Wait()
	bustest.Eventually(t, "the end of the work", func(context.Context) bool { return l.done.Load() == l.written.Load() })
	l.fire()

	l.history.Read(bustest.ReadAll(t, target.Log, types.Work))
	r := l.history.Check()
	for _, f := range r.Faults[:min(len(r.Faults), 20)] {
		t.Error(f)
	}
	if r.Done != int(l.written.Load()) {
		t.Errorf("%d events were written, %d done", l.written.Load(), r.Done)
	}
	if r.Delivered <= r.Done {
		t.Errorf("%d deliveries of %d events: nothing was in hand when partitions moved", r.Delivered, r.Done)
	}
	t.Logf("%d deliveries of %d events: %d, %d and %d by instance", r.Delivered, r.Records, l.count(first),
		l.count(second), l.count(third))
}

// load is a subscription's workers on several instances, and what is published for them.
type load struct {
	history       *bustest.History
	group         *bustest.Group
	typ           string
	sub           autobus.Subscription
	written, done atomic.Int64
	finished      sync.Map // partition/offset of what is done
	byBus         sync.Map // *bus.Bus -> *atomic.Int64, deliveries
	stops         []func()
	working       sync.WaitGroup
}

func newLoad(typ string) *load {
	p := autobus.Policy{Types: []string{typ}, Start: autobus.Start{Earliest: true}}
	l := &load{history: bustest.NewHistory(), typ: typ, sub: autobus.Subscription{Name: bustest.Prefix(), Create: &p}}
	l.group = l.history.Group(l.sub.Name, p)
	return l
}

func (l *load) count(b *bus.Bus) int64 {
	n, _ := l.byBus.LoadOrStore(b, &atomic.Int64{})
	return n.(*atomic.Int64).Load()
}

// as gives a context in which everything is allowed.
func as(ctx context.Context) context.Context {
	return autobus.WithPrincipal(ctx, autobus.Principal{Name: "handover", Grants: []autobus.Grant{
		{Verb: autobus.VerbPublish, Pattern: "*"}, {Verb: autobus.VerbSubscribe, Pattern: "*"},
		{Verb: autobus.VerbManage, Pattern: "*"}}})
}

// hire starts workers on an instance, which leave some events unanswered.
func (l *load) hire(t *testing.T, b *bus.Bus, unanswered int64) {
	n, _ := l.byBus.LoadOrStore(b, &atomic.Int64{})
	var left atomic.Int64
	left.Store(unanswered)
	for range 4 {
		got := make(chan autobus.Delivery, 1000) // more than the window
		session := l.group.Open(false)
		ctx, stop := context.WithCancel(as(context.Background()))
		l.stops = append(l.stops, func() {
			session.Leave()
			stop()
		})
		sub := l.sub
		sub.Revoke = session.Revoked
		l.working.Go(func() {
			err := b.Subscribe(ctx, sub, func(_ context.Context, ds []autobus.Delivery) {
				session.Delivered(ds...)
				n.(*atomic.Int64).Add(int64(len(ds)))
				for _, d := range ds {
					got <- d
				}
			})
			session.Ended()
			close(got)
			if err != nil && !errors.Is(err, &autobus.Error{Reason: autobus.ReasonShuttingDown}) {
				t.Errorf("subscribe: %v", err)
			}
		})
		l.working.Go(func() {
			for d := range got {
				if left.Add(-1) >= 0 {
					continue
				}
				ss := []autobus.Settlement{{Lease: d.Lease, Outcome: autobus.Outcome{Kind: autobus.Ack}}}
				answered := l.history.Settle(ss)
				err := b.Settle(as(context.Background()), ss)
				answered(err)
				if err != nil || ss[0].Err != nil {
					continue
				}
				if _, twice := l.finished.LoadOrStore(fmt.Sprintf("%d/%d", d.Partition, d.Offset), true); !twice {
					l.done.Add(1)
				}
			}
		})
	}
}

// fire ends all workers.
func (l *load) fire() {
	for _, stop := range l.stops {
		stop()
	}
	l.working.Wait()
}

// publish goes on until ctx ends.
func (l *load) publish(ctx context.Context, t *testing.T, b *bus.Bus) {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for n := 0; ; {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		batch := &autobus.Batch{}
		var attempts []*bustest.Attempt
		for range 20 {
			key := fmt.Sprintf("key-%d", n%40)
			e := autobus.Event{ID: fmt.Sprint("id-", n), Type: l.typ, Data: fmt.Appendf(nil, `{"order":%q,"n":%d}`, key, n)}
			batch.Events = append(batch.Events, e)
			attempts = append(attempts, l.history.Begin("", e, key))
			n++
		}
		if err := b.Publish(ctx, batch); err != nil {
			t.Errorf("publish: %v", err)
			return
		}
		rs := batch.Wait(context.Background())
		for i, r := range rs {
			attempts[i].End(r)
		}
		l.written.Add(int64(len(rs)))
		if i := slices.IndexFunc(rs, func(r autobus.Receipt) bool { return r.Status != autobus.Written }); i >= 0 {
			t.Errorf("event %d is %s: %v", i, rs[i].Status, rs[i].Err)
			return
		}
	}
}

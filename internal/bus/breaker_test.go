// SPDX-License-Identifier: Apache-2.0

package bus_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/autobus-io/autobus"
)

// stateOf is what a subscription's state says.
func (f *fixture) stateOf(t *testing.T, name string) string {
	t.Helper()
	i, err := f.Describe(f.ctx, name)
	if err != nil {
		t.Fatal(err)
	}
	return i.State
}

func TestAFailingDependencyOpensTheBreaker(t *testing.T) {
	const events = 100
	f := open(t)
	p := earliest
	p.Retry.MaxAttempts = 3
	f.put(t, "shop", p)
	var keys []string
	for i := range events {
		keys = append(keys, fmt.Sprint("k", i))
	}
	w := f.worker(t, autobus.Subscription{Name: "shop", Window: &autobus.Window{Events: 10}})
	f.orders(t, events, keys...)
	began := time.Now()
	for f.stateOf(t, "shop") == "active" {
		w.settle(t, w.next(t), autobus.Outcome{Kind: autobus.Retry, Reason: "no database"})
	}
	i, err := f.Describe(f.ctx, "shop")
	if err != nil {
		t.Fatal(err)
	}
	if b := i.Instance.Breaker; i.State != "breaker" || b.Reason != "no database" || b.Since.Before(began) ||
		b.Probe.Before(b.Since) {
		t.Fatalf("%s, %+v", i.State, b)
	}
	open := i.Instance.Breaker.Since
	// What was in hand comes back as failed too, then one at a time.
	d, left := w.next(t), 0
	for ; time.Since(open) < time.Second; d = w.next(t) {
		if left++; left > 10 {
			t.Fatal("more came than was in hand")
		}
		w.settle(t, d, autobus.Outcome{Kind: autobus.Retry})
	}
	for range 2 {
		if d.Attempt > 3 {
			t.Errorf("attempt %d", d.Attempt)
		}
		if n := len(w.got); n > 0 {
			t.Errorf("%d more came beside the probe", n)
		}
		at := time.Now()
		w.settle(t, d, autobus.Outcome{Kind: autobus.Retry})
		if d = w.next(t); time.Since(at) < 2*time.Second {
			t.Errorf("the next probe came after %s", time.Since(at))
		}
	}
	w.ack(t, d) // it is back
	if s := f.stateOf(t, "shop"); s != "active" {
		t.Errorf("after a probe succeeded the state is %s", s)
	}
	for range events - 1 {
		w.ack(t, w.next(t))
	}
	until(t, "something is left", func() bool { parked, undone := f.parked(t, "shop"); return parked+undone == 0 })
	if n := len(f.records(t, "dlq.shop")); n > 0 {
		t.Errorf("%d dead letters", n)
	}
}

// Few events that fail, however often, are poison and end as such.
func TestPoisonOpensNoBreaker(t *testing.T) {
	f := open(t)
	p := earliest
	p.Retry.MaxAttempts = 10
	f.put(t, "shop", p)
	w := f.worker(t, autobus.Subscription{Name: "shop"})
	f.orders(t, 4, "a", "b", "c", "d")
	for range 40 {
		w.settle(t, w.next(t), autobus.Outcome{Kind: autobus.Retry})
		if s := f.stateOf(t, "shop"); s != "active" {
			t.Fatalf("the state is %s", s)
		}
	}
	until(t, "they are not dead", func() bool { return len(f.records(t, "dlq.shop")) == 4 })
}

func TestAQueueHasNoOrder(t *testing.T) {
	const wait = 300 * time.Millisecond
	f := open(t)
	f.SetMemory(time.Millisecond)
	p := earliest
	p.Queue = true
	f.put(t, "mails", p)
	w := f.worker(t, autobus.Subscription{Name: "mails"})
	f.orders(t, 4, "a")
	first := w.next(t)
	at := time.Now()
	w.settle(t, first, again(wait))
	for range 3 {
		w.ack(t, w.next(t))
	}
	if d := w.next(t); d.Offset != first.Offset || d.Attempt != 2 || time.Since(at) < wait {
		t.Errorf("offset %d, attempt %d came after %s", d.Offset, d.Attempt, time.Since(at))
	} else {
		w.ack(t, d)
	}
	p.Order = autobus.OrderKey
	if err := p.Check(); err == nil {
		t.Error("a queue in the order of keys was taken")
	}
}

// SPDX-License-Identifier: Apache-2.0

package bus_test

import (
	"testing"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/bus"
	"github.com/autobus-io/autobus/internal/control"
)

// A policy is changed while workers are connected: they stay, and what comes follows the new one.
func TestAChangedPolicyKeepsTheWorkers(t *testing.T) {
	f := open(t)
	p := earliest
	p.Filter = "data.total < 10.0"
	f.put(t, "shop", p)
	w := f.worker(t, autobus.Subscription{Name: "shop"})
	f.one(t, order("a", "1"))
	w.ack(t, w.next(t))
	p.Filter = "data.total >= 10.0"
	created, err := f.PutSubscription(f.ctx, "shop", p, bus.Audit{Actor: "test"})
	if created || err != nil {
		t.Fatal(created, err)
	}
	f.one(t, order("b", "2"))
	f.one(t, order("c", "20"))
	for {
		d := w.next(t)
		w.ack(t, d)
		if string(d.Key) == "c" {
			return
		}
		if string(d.Key) != "b" { // it may have been read before the change
			t.Fatalf("%s came", d.Key)
		}
	}
}

func TestAnotherStartIsRefusedAndTheSamePolicyChangesNothing(t *testing.T) {
	f := open(t)
	f.put(t, "shop", earliest)
	before, _ := f.control.Get(control.KindSubscription, "shop")
	f.put(t, "shop", earliest)
	if after, _ := f.control.Get(control.KindSubscription, "shop"); after.Offset != before.Offset {
		t.Error("the same policy was written again")
	}
	p := earliest
	p.Start = autobus.Start{}
	if _, err := f.PutSubscription(f.ctx, "shop", p, bus.Audit{}); reasonOf(err) != autobus.ReasonSubscriptionExists {
		t.Errorf("another start: %v", err)
	}
}

// After it was deleted a subscription of the same name is another one: it begins where it is told, not where its
// namesake stood.
func TestADeletedSubscriptionLeavesNothingBehind(t *testing.T) {
	f := open(t)
	f.orders(t, 3, "a")
	f.put(t, "shop", earliest)
	w := f.worker(t, autobus.Subscription{Name: "shop"})
	var first, last autobus.Delivery
	for i := range 3 {
		last = w.next(t)
		if i == 0 {
			first = last
		}
		w.ack(t, last)
	}
	if err := f.DeleteSubscription(f.ctx, "shop", bus.Audit{Actor: "test"}); err != nil {
		t.Fatal(err)
	}
	if <-w.ended; reasonOf(w.err) != autobus.ReasonSubscriptionUnknown {
		t.Errorf("its worker was told %v", w.err)
	}
	if err := f.DeleteSubscription(f.ctx, "shop", bus.Audit{}); reasonOf(err) != autobus.ReasonSubscriptionUnknown {
		t.Errorf("deleted again: %v", err)
	}
	f.put(t, "shop", earliest)
	w = f.worker(t, autobus.Subscription{Name: "shop"})
	if d := w.next(t); d.Offset != first.Offset {
		t.Errorf("the new one begins at %d, want %d", d.Offset, first.Offset)
	}
	if err := f.settle(t, last.Lease, autobus.Outcome{Kind: autobus.Ack}); err == nil {
		t.Error("a lease of the deleted one counts")
	}
}

// SPDX-License-Identifier: Apache-2.0

package autobustest_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/autobustest"
)

func TestPublishedIsInOrder(t *testing.T) {
	bus := withSpecs(t, autobustest.Partitions(4))
	for _, key := range []string{"a", "b", "a", "c"} {
		publish(t, bus, placed, order(key))
	}
	publish(t, bus, "shipping.parcel.sent.v1", `{"order_id":"a"}`)
	keys := ""
	for _, e := range bus.Published("orders.*") {
		keys += string(e.Key)
		e.Data[0] = 'x' // what a test does to an event stays with it
	}
	if keys != "abac" || len(bus.Published()) != 5 || len(bus.Published("orders.*", "shipping.*")) != 5 {
		t.Errorf("keys %s, %d events in all", keys, len(bus.Published()))
	}
	if e := bus.Published("orders.*")[0]; e.Data[0] != '{' || e.Source != "/test" || e.ID == "" || e.Time.IsZero() {
		t.Errorf("the first is %+v", e)
	}
}

func TestAwaitPublishedWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus := withSpecs(t)
		go func() {
			time.Sleep(24 * time.Hour)
			publish(t, bus, placed, order("o-1"))
		}()
		if got := bus.AwaitPublished(placed, 1); len(got) != 1 || string(got[0].Key) != "o-1" {
			t.Errorf("got %+v", got)
		}
	})
}

func TestWhatDoesNotComeFailsTheTest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		said := failing(func(tb testing.TB) {
			bus := autobustest.New(tb, autobustest.Specs(specsDir))
			publish(t, bus, "shipping.parcel.sent.v1", `{"order_id":"o-7"}`)
			bus.AwaitPublished(placed, 2)
		})
		says(t, said, "0 events of "+placed+" were published, want 2", `shipping.parcel.sent.v1`, `{"order_id":"o-7"}`)

		said = failing(func(tb testing.TB) {
			bus := autobustest.New(tb, autobustest.Specs(specsDir), autobustest.Clock(start))
			publish(t, bus, placed, order("retried"))
			w := work(t, bus, "shipping", nil)
			settle(t, bus, <-w.got, autobus.Outcome{Kind: autobus.Retry, Delay: time.Minute, Reason: "no parcel fits"})
			publish(t, bus, placed, order("held"))
			<-w.got
			publish(t, bus, placed, order("held"))
			bus.Idle("shipping")
		})
		says(t, said, "3 events to do, 1 sessions", `"retried", attempt 2: comes again in 1m0s, after "no parcel fits"`,
			`"held", attempt 1: a worker has it, for 30s more`, "waits for an earlier event of its key")

		said = failing(func(tb testing.TB) {
			bus := autobustest.New(tb, autobustest.Specs(specsDir))
			publish(t, bus, placed, order("o-1"))
			bus.Idle("shipping")
		})
		says(t, said, "nobody is subscribed")
	})
}

func TestAHandlerThatHangsFailsTheTest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hang := make(chan struct{})
		said := failing(func(tb testing.TB) {
			bus := autobustest.New(tb, autobustest.Specs(specsDir))
			publish(t, bus, placed, order("o-1"))
			taken := make(chan struct{})
			go func() {
				_ = bus.Subscribe(t.Context(), autobus.Subscription{Name: "shipping"},
					func(context.Context, []autobus.Delivery) {
						close(taken)
						<-hang
					})
			}()
			<-taken
		})
		close(hang)
		says(t, said, "have not returned from their handlers", "a session of shipping")
	})
}

func TestTheNameOfASubscriptionHasToExist(t *testing.T) {
	for name, use := range map[string]func(*autobustest.Bus){
		"Settled":     func(b *autobustest.Bus) { b.Settled("shippin") },
		"DeadLetters": func(b *autobustest.Bus) { b.DeadLetters("shippin") },
		"Deliver":     func(b *autobustest.Bus) { b.Deliver("shippin") },
	} {
		t.Run(name, func(t *testing.T) {
			says(t, failing(func(t testing.TB) { use(autobustest.New(t, autobustest.Specs(specsDir))) }),
				`no subscription "shippin"`, "Did you mean shipping?")
		})
	}
}

// TestIdleWaitsForTheSubscription: a service that brings its policy along makes the subscription when it is started, a
// moment after the test went on.
func TestIdleWaitsForTheSubscription(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus := withSpecs(t)
		publish(t, bus, placed, order("o-1"))
		w := autobus.Worker{Bus: bus, Subscription: "billing",
			Create: &autobus.Policy{Types: []string{placed}, Start: autobus.Start{Earliest: true}},
			Handle: func(context.Context, *autobus.Delivery) error { return nil }}
		go func() {
			time.Sleep(time.Second)
			_ = w.Run(t.Context())
		}()
		bus.Idle("billing")
		if n := len(bus.Settled("billing")); n != 1 {
			t.Errorf("%d events were handled before it was idle, want 1", n)
		}
		said := failing(func(t testing.TB) { autobustest.New(t, autobustest.Specs(specsDir)).Idle("shippin") })
		says(t, said, `no subscription "shippin"`, "Did you mean shipping?")
		said = failing(func(t testing.TB) { autobustest.New(t).Idle("billing") })
		says(t, said, `no subscription "billing"`, "Bus.Subscription")
	})
}

func TestDeliverReachesOneSubscription(t *testing.T) {
	bus := withSpecs(t)
	bus.Subscription("other", autobus.Policy{Types: []string{"orders.*"}})
	w, other := work(t, bus, "shipping", nil), work(t, bus, "other", nil)
	bus.Deliver("shipping", autobus.Event{Type: placed, Key: []byte("k"), Data: []byte("no JSON")})
	d := <-w.got
	if string(d.Data) != "no JSON" || string(d.Key) != "k" || d.ID == "" || d.Lease == "" {
		t.Errorf("got %+v", d)
	}
	ack(t, bus, d)
	publish(t, bus, placed, order("o-1"))
	if d := <-other.got; string(d.Key) != "o-1" || d.Offset != 1 {
		t.Errorf("the other subscription got %+v", d)
	}
	if n := len(bus.Published()); n != 1 {
		t.Errorf("%d events were published, want 1", n)
	}
	says(t, failing(func(t testing.TB) {
		autobustest.New(t, autobustest.Specs(specsDir)).Deliver("shipping", autobus.Event{Type: "a.b.v1"})
	}), `shipping reads orders.order.placed.v1, not "a.b.v1"`)
}

// SPDX-License-Identifier: Apache-2.0

package autobustest_test

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/autobustest"
)

// In these examples t is the *testing.T of a test, and Shipping a service: it publishes an event for each parcel, and
// reads orders as the subscription "shipping".

func Example() {
	t := &standIn{}
	defer t.end()

	bus := autobustest.New(t, autobustest.Specs("testdata/specs"))
	service := &Shipping{Bus: bus}
	if err := service.Ship(context.Background(), "o-1"); err != nil {
		fmt.Println(err)
	}
	// What is not as the spec says is refused, as the real bus would.
	fmt.Println(service.Ship(context.Background(), strings.Repeat("o", 65)))

	for _, e := range bus.Published("shipping.*") {
		fmt.Printf("%s %s\n", e.ID, e.Data)
	}
	// Output:
	// data_invalid: the data does not match shipping.parcel.sent.v1: /order_id must have at most 64 characters
	// sent-o-1 {"order_id":"o-1"}
}

func ExampleBus_FailPublish() {
	t := &standIn{}
	defer t.end()

	bus := autobustest.New(t, autobustest.Specs("testdata/specs"))
	service := &Shipping{Bus: bus}
	bus.FailPublish(nil, autobustest.Refuse(autobus.ReasonCapacity).Times(1))
	bus.FailPublish(nil, autobustest.LoseAnswer().Times(1))
	for range 3 {
		fmt.Println(service.Ship(context.Background(), "o-1"))
	}
	fmt.Println(len(bus.Published()), "events")
	// Output:
	// capacity: the test says so
	// outcome_unknown: the test lost the answer
	// <nil>
	// 2 events
}

func ExampleBus_Advance() {
	t := &standIn{}
	defer t.end()
	ctx, stop := context.WithCancel(context.Background())
	defer stop()

	bus := autobustest.New(t, autobustest.Specs("testdata/specs"),
		autobustest.Clock(time.Date(2026, 11, 20, 10, 0, 0, 0, time.UTC)))
	attempts := make(chan int)
	go func() {
		_ = bus.Subscribe(ctx, autobus.Subscription{Name: "shipping"}, func(ctx context.Context, ds []autobus.Delivery) {
			for _, d := range ds {
				_ = bus.Settle(ctx, []autobus.Settlement{{Lease: d.Lease,
					Outcome: autobus.Outcome{Kind: autobus.Retry, Reason: "the printer is out of paper"}}})
				attempts <- d.Attempt
			}
		})
	}()
	bus.Deliver("shipping", autobus.Event{Type: "orders.order.placed.v1", Data: []byte(`{"order_id":"o-1","total":1}`)})
	for _, backoff := range []time.Duration{0, time.Second, 10 * time.Second} {
		bus.Advance(backoff)
		fmt.Println("attempt", <-attempts)
	}
	bus.Idle("shipping")
	for _, dead := range bus.DeadLetters("shipping") {
		fmt.Printf("dead: %s after %s\n", dead.Reason, dead.Last.Sub(dead.First))
	}
	// Output:
	// attempt 1
	// attempt 2
	// attempt 3
	// dead: the printer is out of paper after 11s
}

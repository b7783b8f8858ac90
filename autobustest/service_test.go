// SPDX-License-Identifier: Apache-2.0

package autobustest_test

import (
	"context"
	"testing"
	"testing/synctest"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/autobustest"
)

// This file is a service and its tests. docs/howto/test-a-service.md shows parts of it as they stand here.

// Shipping sends a parcel for each order and tells so.
type Shipping struct {
	Bus autobus.Bus
}

// Order is what the service reads of an order.
type Order struct {
	ID    string  `json:"order_id"`
	Total float64 `json:"total"`
}

// Ship sends the parcel of an order. The id of what it publishes makes it safe to do it again.
func (s *Shipping) Ship(ctx context.Context, order string) error {
	_, err := autobus.Send(ctx, s.Bus, "shipping.parcel.sent.v1", map[string]string{"order_id": order},
		autobus.WithID("sent-"+order))
	return err
}

// Run ships what is ordered until ctx ends.
func (s *Shipping) Run(ctx context.Context) error {
	return autobus.Work(ctx, s.Bus, "shipping", autobus.Typed(s.handle))
}

func (s *Shipping) handle(ctx context.Context, o Order, _ *autobus.Delivery) error {
	return s.Ship(ctx, o.ID)
}

func TestShipTellsOfTheParcel(t *testing.T) {
	bus := autobustest.New(t, autobustest.Specs("testdata/specs"))
	shipping := &Shipping{Bus: bus}
	if err := shipping.Ship(t.Context(), "o-1"); err != nil {
		t.Fatal(err)
	}
	sent := bus.Published("shipping.parcel.sent.v1")
	if len(sent) != 1 || string(sent[0].Key) != "o-1" {
		t.Errorf("published: %+v", sent)
	}
}

func TestShipMayBeRepeated(t *testing.T) {
	bus := autobustest.New(t, autobustest.Specs("testdata/specs"))
	shipping := &Shipping{Bus: bus}
	bus.FailPublish(nil, autobustest.LoseRequest().Times(1))
	if err := shipping.Ship(t.Context(), "o-1"); err == nil {
		t.Error("an event whose outcome is unknown counts as published")
	}
	for range 2 {
		if err := shipping.Ship(t.Context(), "o-1"); err != nil {
			t.Error(err)
		}
	}
	if sent := bus.Published("shipping.parcel.sent.v1"); len(sent) != 1 {
		t.Errorf("%d parcels are told of, want 1", len(sent))
	}
}

func TestEveryOrderIsShipped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus := autobustest.New(t, autobustest.Specs("testdata/specs"))
		shipping := &Shipping{Bus: bus}
		go shipping.Run(t.Context())
		// What has to be shipped cannot be told of for a while.
		bus.FailPublish(func(e *autobus.Event) bool { return e.Type == "shipping.parcel.sent.v1" },
			autobustest.Refuse(autobus.ReasonCapacity).Times(2))

		if _, err := autobus.Send(t.Context(), bus, "orders.order.placed.v1", Order{"o-1", 10}); err != nil {
			t.Fatal(err)
		}
		bus.AwaitPublished("shipping.parcel.sent.v1", 1) // after 11 s, which pass at once
		bus.Idle("shipping")
		if n := len(bus.Settled("shipping")); n != 3 {
			t.Errorf("it took %d attempts, want 3", n)
		}
	})
}

func TestAnOrderThatCannotBeReadIsSetAside(t *testing.T) {
	bus := autobustest.New(t, autobustest.Specs("testdata/specs"))
	shipping := &Shipping{Bus: bus}
	go shipping.Run(t.Context())
	bus.Deliver("shipping", autobus.Event{Type: "orders.order.placed.v1", Data: []byte(`not JSON`)})
	bus.Idle("shipping")
	if dead := bus.DeadLetters("shipping"); len(dead) != 1 || dead[0].Attempts != 1 {
		t.Errorf("dead letters: %+v", dead)
	}
}

// publish writes one event of somebody else's.
func publish(t *testing.T, bus autobus.Bus, typ, data string) autobus.Receipt {
	t.Helper()
	b := &autobus.Batch{Events: []autobus.Event{{Type: typ, Data: []byte(data)}}}
	if err := bus.Publish(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	r := b.Wait(t.Context())[0]
	if r.Status != autobus.Written {
		t.Fatalf("%s is %s: %v", data, r.Status, r.Err)
	}
	return r
}

// SPDX-License-Identifier: Apache-2.0

package autobustest_test

import (
	"context"
	"encoding/json"
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

// Ship sends the parcel of an order. An error means that the parcel may not be known of.
func (s *Shipping) Ship(ctx context.Context, order string) error {
	data, err := json.Marshal(map[string]string{"order_id": order})
	if err != nil {
		return err
	}
	// The id makes it safe to publish again.
	b := &autobus.Batch{Events: []autobus.Event{{ID: "sent-" + order, Type: "shipping.parcel.sent.v1", Data: data}}}
	if err := s.Bus.Publish(ctx, b); err != nil {
		return err
	}
	if r := b.Wait(ctx)[0]; r.Status != autobus.Written {
		return r.Err
	}
	return nil
}

// Run ships what is ordered until ctx ends.
func (s *Shipping) Run(ctx context.Context) error {
	return s.Bus.Subscribe(ctx, autobus.Subscription{Name: "shipping"}, func(ctx context.Context, ds []autobus.Delivery) {
		for _, d := range ds {
			go s.handle(ctx, d)
		}
	})
}

func (s *Shipping) handle(ctx context.Context, d autobus.Delivery) {
	var order struct {
		ID string `json:"order_id"`
	}
	outcome := autobus.Outcome{Kind: autobus.Ack}
	if err := json.Unmarshal(d.Data, &order); err != nil {
		outcome = autobus.Outcome{Kind: autobus.Reject, Reason: err.Error()}
	} else if err := s.Ship(ctx, order.ID); err != nil {
		outcome = autobus.Outcome{Kind: autobus.Retry, Reason: err.Error()}
	}
	_ = s.Bus.Settle(ctx, []autobus.Settlement{{Lease: d.Lease, Outcome: outcome}}) // else the event comes again
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

		publish(t, bus, "orders.order.placed.v1", `{"order_id":"o-1","total":10}`)
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

// SPDX-License-Identifier: Apache-2.0

package autobus_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/autobus-io/autobus"
)

// The examples run on a bus in memory; a client of a gateway is used alike.

type order struct {
	ID    string `json:"id"`
	Total int    `json:"total"`
}

func ExampleSend() {
	ctx, bus := context.Background(), newFakeBus()
	receipt, err := autobus.Send(ctx, bus, "orders.order.placed.v1", order{"o-1", 7}, autobus.WithKey("o-1"))
	fmt.Println(receipt.Status, err)
	// Output: written <nil>
}

// An event whose outcome is unknown is sent again under the same id: the bus writes it once.
func ExamplePublishOne() {
	ctx, bus := context.Background(), newFakeBus()
	placed, err := autobus.NewEvent("orders.order.placed.v1", order{"o-1", 7})
	if err != nil {
		fmt.Println(err)
		return
	}
	for range 3 {
		if _, err = autobus.PublishOne(ctx, bus, placed); !errors.Is(err, autobus.ErrUnknown) {
			break
		}
	}
	fmt.Println(err)
	// Output: <nil>
}

func ExampleSendAsync() {
	ctx, bus := context.Background(), newFakeBus()
	var sent []*autobus.Promise
	for n := range 3 {
		sent = append(sent, autobus.SendAsync(ctx, bus, "orders.order.placed.v1", order{fmt.Sprint("o-", n), n}))
	}
	for _, p := range sent {
		if _, err := p.Wait(ctx); err != nil {
			fmt.Println("send again:", p.Event.ID, err)
		}
	}
	// Output:
}

func ExampleWork() {
	ctx, stop := context.WithCancel(context.Background())
	bus := newFakeBus()
	bus.deliver(1)
	err := autobus.Work(ctx, bus, "billing", func(_ context.Context, d *autobus.Delivery) error {
		fmt.Printf("%s, attempt %d: %s\n", d.Type, d.Attempt, d.Data)
		stop() // a service ends its context when it is told to stop
		return nil
	})
	fmt.Println(err)
	// Output:
	// a.b.v1, attempt 1: 1
	// <nil>
}

func ExampleTyped() {
	ctx, stop := context.WithCancel(context.Background())
	bus := newFakeBus()
	bus.deliver(1, func(d *autobus.Delivery) { d.Data = []byte(`{"id":"o-1","total":7}`) })
	handle := autobus.Typed(func(ctx context.Context, o order, d *autobus.Delivery) error {
		defer stop()
		fmt.Println("bill", o.ID, o.Total)
		_, err := autobus.Send(ctx, bus, "billing.invoice.sent.v1", o, autobus.CausedBy(&d.Event))
		return err // of any error the event comes again
	})
	if err := autobus.Work(ctx, bus, "billing", handle); err != nil {
		fmt.Println(err)
	}
	// Output: bill o-1 7
}

func ExampleMux() {
	ctx, stop := context.WithCancel(context.Background())
	bus := newFakeBus()
	bus.deliver(1, func(d *autobus.Delivery) { d.Type, d.Data = "orders.order.placed.v1", []byte(`{"id":"o-1"}`) })
	var m autobus.Mux
	m.On("orders.order.placed.v1", autobus.Typed(func(_ context.Context, o order, _ *autobus.Delivery) error {
		defer stop()
		fmt.Println("placed", o.ID)
		return nil
	}))
	m.On("orders.*", func(context.Context, *autobus.Delivery) error { return autobus.Skipped("not for billing") })
	if err := autobus.Work(ctx, bus, "billing", m.Handle); err != nil {
		fmt.Println(err)
	}
	// Output: placed o-1
}

func ExampleWorker_batch() {
	ctx, stop := context.WithCancel(context.Background())
	bus := newFakeBus()
	bus.deliver(3)
	w := autobus.Worker{Bus: bus, Subscription: "report", Workers: 1,
		Limits: autobus.BatchLimits{Events: 3},
		HandleBatch: func(_ context.Context, ds []*autobus.Delivery) error {
			defer stop()
			errs := make(autobus.Errors, len(ds))
			for i, d := range ds {
				if d.ID == "e2" {
					errs[i] = autobus.Rejected(errors.New("no such article"))
				}
			}
			return errs
		},
		Hooks: []autobus.Hooks{{After: func(_ context.Context, d *autobus.Delivery, o autobus.Outcome) {
			fmt.Println(d.ID, o.Kind)
		}}},
	}
	if err := w.Run(ctx); err != nil {
		fmt.Println(err)
	}
	// Output:
	// e1 ack
	// e2 reject
	// e3 ack
}

// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/autobustest"
	"github.com/autobus-io/autobus/examples/refund/desk"
	"github.com/autobus-io/autobus/ipc"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// rig is Refund Tool's database and a bus in memory, with a Payment whose cards of RU-2 are closed.
type rig struct {
	*desk.Desk
	bus      *autobustest.Bus
	asked    chan struct{} // Payment has a command
	answer   chan struct{} // closed = it answers
	mu       sync.Mutex
	payments map[int64]int // it was asked to make, by refund
}

func newRig(t *testing.T) *rig {
	t.Helper()
	bus := autobustest.New(t, autobustest.Specs("../../lamoda-specs"))
	d, err := desk.Open(t.Context(), filepath.Join(t.TempDir(), "db"), schema)
	if err != nil {
		t.Fatal(err)
	}
	d.Bus = bus
	r := &rig{Desk: d, bus: bus, asked: make(chan struct{}, 10), answer: make(chan struct{}), payments: map[int64]int{}}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		d.Relay(ctx)
	}()
	served := make(chan error)
	go func() { served <- ipc.Serve(ctx, bus, "payment", (&ipc.Once{}).Do(r.pay)) }()
	t.Cleanup(func() {
		cancel()
		<-ended
		if err := <-served; err != nil {
			t.Error(err)
		}
		_ = d.DB.Close() // nothing is left to be written
	})
	return r
}

func (r *rig) pay(_ context.Context, q *ipc.Request) (any, error) {
	var c refund
	if err := json.Unmarshal(q.Data, &c); err != nil {
		return nil, err
	}
	r.mu.Lock()
	r.payments[c.RefundID]++
	r.mu.Unlock()
	r.asked <- struct{}{}
	<-r.answer
	if c.OrderID == "RU-2" {
		return nil, &ipc.Error{Name: "rejected", Data: map[string]any{"code": -32010, "message": "the card is closed"}}
	}
	return map[string]string{"paymentId": autobus.NewID(time.Now()), "acceptedAt": "2026-01-31T12:00:00Z"}, nil
}

func (r *rig) status(t *testing.T, id int64) (status string) {
	t.Helper()
	if err := r.DB.QueryRowContext(t.Context(), `SELECT status FROM refunds WHERE id = ?`, id).Scan(&status); err != nil {
		t.Fatal(err)
	}
	return status
}

func publish(t *testing.T, bus autobus.Bus, typ, data string) {
	t.Helper()
	if _, err := autobus.Send(t.Context(), bus, typ, []byte(data)); err != nil {
		t.Fatal(err)
	}
}

func TestARefundGoesToItsEnd(t *testing.T) {
	r := newRig(t)
	close(r.answer)
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error)
	go func() { served <- serve(ctx, r.Desk) }()
	for _, order := range []string{"RU-1", "RU-2"} {
		publish(t, r.bus, "refunds.refund.requested.v1", `{"orderId": "`+order+`", "country": "ru",
			"requestedAt": "2026-01-31T12:00:00Z", "items": [{"itemId": 7, "reason": "defect"}],
			"requestedBy": {"role": "customer"}}`)
	}
	r.bus.AwaitPublished("refunds.refund.rejected.v1", 1)
	publish(t, r.bus, "payments.money.refunded.v1", `{"paymentId": "0190e2d8-7c3a-7c3a-8c3a-0190e2d87c3a", "refundId": 1,
		"orderId": "RU-1", "country": "ru", "refundedAt": "2026-01-31T12:00:00Z", "method": "card",
		"money": {"amount": "699.00", "currency": "RUB"}}`)
	r.bus.AwaitPublished("refunds.refund.created.v1", 2)
	r.bus.Idle("refund-tool")
	cancel()
	if err := <-served; err != nil {
		t.Error(err)
	}
	if one, two := r.status(t, 1), r.status(t, 2); one != "refunded" || two != "rejected" {
		t.Errorf("RU-1 is %s, RU-2 is %s", one, two)
	}
}

// The service dies while it waits for Payment. Its successor asks again, and the money goes once.
func TestAnAnswerThatWasMissedIsAskedForAgain(t *testing.T) {
	r := newRig(t)
	request := requested{OrderID: "RU-2", Country: "ru"}
	d := &autobus.Delivery{Event: autobus.Event{ID: "1", Source: "/bob-ru"}}
	life := func(ctx context.Context) error {
		caller, err := ipc.Open(ctx, r.bus)
		if err != nil {
			return err
		}
		defer caller.Close()
		return tool{r.Desk, caller}.requested(ctx, request, d)
	}
	ctx, kill := context.WithCancel(t.Context())
	died := make(chan error)
	go func() { died <- life(ctx) }()
	<-r.asked
	kill()
	if err := <-died; err == nil {
		t.Fatal("it did not die")
	}
	close(r.answer) // nobody hears it
	for range 2 {
		if err := life(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	r.bus.AwaitPublished("refunds.refund.rejected.v1", 1)
	created, rejected := r.bus.Published("refunds.refund.created.v1"), r.bus.Published("refunds.refund.rejected.v1")
	if r.payments[2] != 1 || len(created) != 1 || len(rejected) != 1 || r.status(t, 2) != "rejected" {
		t.Errorf("Payment worked %d times; %d created, %d rejected", r.payments[2], len(created), len(rejected))
	}
}

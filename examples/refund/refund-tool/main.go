// SPDX-License-Identifier: Apache-2.0

// Command refund-tool makes refunds of requests, has Payment send the money, and follows each refund to its end.
package main

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/examples/refund/desk"
	"github.com/autobus-io/autobus/ipc"
)

//go:embed schema.sql
var schema string

//go:embed wide.sql
var wide string

// requested is what Refund Tool needs of refunds.refund.requested.v1.
type requested struct {
	OrderID string `json:"orderId"`
	Country string `json:"country"`
	Items   []struct {
		ItemID int64 `json:"itemId"`
	} `json:"items"`
}

// refund is what the command payments.money.refund.v1 and the events refunds.refund.*.v1 have in common.
type refund struct {
	RefundID int64  `json:"refundId"`
	OrderID  string `json:"orderId"`
	Country  string `json:"country"`
	Money    *money `json:"money,omitempty"`
}

type money struct {
	Amount   string `json:"amount"`
	Currency string `json:"currency"`
}

type created struct {
	refund
	CreatedAt time.Time `json:"createdAt"`
}

type rejected struct {
	refund
	RejectedAt time.Time `json:"rejectedAt"`
	Code       int       `json:"code"`
	Reason     string    `json:"reason"`
}

// refunded is what Refund Tool needs of payments.money.refunded.v1.
type refunded struct {
	RefundID  int64  `json:"refundId"`
	PaymentID string `json:"paymentId"`
}

func main() { desk.Service{Schema: schema, Widen: wide, Serve: serve}.Main() }

func serve(ctx context.Context, d *desk.Desk) error {
	caller, err := ipc.Open(ctx, d.Bus)
	if err != nil {
		return err
	}
	t := tool{d, caller}
	var m autobus.Mux
	m.On("refunds.refund.requested.v1", autobus.Typed(t.requested))
	m.On("payments.money.refunded.v1", autobus.Typed(t.refunded))
	return autobus.Work(ctx, d.Bus, "refund-tool", m.Handle)
}

type tool struct {
	*desk.Desk
	caller *ipc.Caller
}

// requested makes a refund, once for each event, and then has it paid, as often as it takes.
func (t tool) requested(ctx context.Context, req requested, d *autobus.Delivery) error {
	r, err := refundOf(req)
	if err != nil {
		return autobus.Rejected(err)
	}
	err = t.Once(ctx, &d.Event, func(tx *desk.Tx) error {
		_, err := tx.Do(`INSERT INTO refunds (id, order_id, country, amount, status) VALUES (?, ?, ?, ?, 'created')`,
			r.RefundID, r.OrderID, r.Country, r.Money.Amount)
		if err != nil {
			return err
		}
		return tx.Publish("refunds.refund.created.v1", created{r, time.Now().UTC()}, autobus.CausedBy(&d.Event))
	})
	if err != nil {
		return err
	}
	return t.pay(ctx, r, d)
}

// replyWithin is what the spec of the command says.
const replyWithin = 5 * time.Minute

// pay sends the command and takes the answer. The id of the command is always the same: Payment answers it once more
// when this service died before it had the answer.
func (t tool) pay(ctx context.Context, r refund, d *autobus.Delivery) error {
	asking, cancel := context.WithTimeout(ctx, replyWithin)
	defer cancel()
	_, err := t.caller.Call(asking, "payments.money.refund.v1", r,
		autobus.WithID(fmt.Sprintf("refund-%d", r.RefundID)), autobus.CausedBy(&d.Event))
	answered, no := errors.AsType[*ipc.ErrorReply](err)
	if !no {
		return err // nil: the event payments.money.refunded.v1 comes and says the rest
	}
	e := rejected{refund: refund{r.RefundID, r.OrderID, r.Country, nil}, RejectedAt: time.Now().UTC()}
	var why struct {
		Code    int    `json:"code"`
		Message string `json:"message"`
	}
	if err := answered.Reply.Decode(&why); err != nil {
		return err
	}
	e.Code, e.Reason = why.Code, why.Message
	return t.Change(ctx, func(tx *desk.Tx) error {
		first, err := tx.Do(`UPDATE refunds SET status = 'rejected', reason = ? WHERE id = ? AND status = 'created'`,
			e.Reason, r.RefundID)
		if err != nil || !first {
			return err
		}
		return tx.Publish("refunds.refund.rejected.v1", e, autobus.CausedBy(&d.Event))
	})
}

func (t tool) refunded(ctx context.Context, m refunded, d *autobus.Delivery) error {
	return t.Once(ctx, &d.Event, func(tx *desk.Tx) error {
		known, err := tx.Do(`UPDATE refunds SET status = 'refunded', payment_id = ? WHERE id = ?`, m.PaymentID, m.RefundID)
		if err == nil && !known {
			err = fmt.Errorf("there is no refund %d", m.RefundID)
		}
		return err
	})
}

// refundOf makes a refund of a request. Its id is the number of the order; what the items cost, somebody else would
// know outside an example.
func refundOf(req requested) (refund, error) {
	country, number, _ := strings.Cut(req.OrderID, "-")
	id, err := strconv.ParseInt(number, 10, 64)
	currency := map[string]string{"RU": "RUB", "KZ": "KZT", "UA": "UAH", "BY": "BYN"}[country]
	if err != nil || currency == "" {
		return refund{}, fmt.Errorf("%q is no order", req.OrderID)
	}
	var sum int64
	for _, item := range req.Items {
		sum += 100*item.ItemID - 1
	}
	return refund{id, req.OrderID, req.Country, &money{fmt.Sprintf("%d.00", sum), currency}}, nil
}

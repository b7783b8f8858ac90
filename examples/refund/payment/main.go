// SPDX-License-Identifier: Apache-2.0

// Command payment answers the command payments.money.refund.v1: it sends the money, or says that the card is closed.
package main

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"flag"
	"strings"
	"time"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/examples/refund/desk"
	"github.com/autobus-io/autobus/ipc"
)

const schema = `
CREATE TABLE IF NOT EXISTS payments (
	refund_id  INTEGER PRIMARY KEY,
	payment_id TEXT NOT NULL UNIQUE,
	order_id   TEXT NOT NULL,
	amount     TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS closed_cards (order_id TEXT PRIMARY KEY);
CREATE TABLE IF NOT EXISTS answers (key TEXT PRIMARY KEY, answer BLOB NOT NULL, times INTEGER NOT NULL) WITHOUT ROWID;
`

// command is the data of payments.money.refund.v1.
type command struct {
	RefundID int64  `json:"refundId"`
	OrderID  string `json:"orderId"`
	Country  string `json:"country"`
	Money    money  `json:"money"`
}

type money struct {
	Amount   string `json:"amount"`
	Currency string `json:"currency"`
}

// accepted and rejected are its answers.
type accepted struct {
	PaymentID  string    `json:"paymentId"`
	AcceptedAt time.Time `json:"acceptedAt"`
}

type rejected struct {
	Code    int    `json:"code"`
	Message string `json:"message"`
}

// refunded is payments.money.refunded.v1.
type refunded struct {
	PaymentID  string    `json:"paymentId"`
	RefundID   int64     `json:"refundId"`
	OrderID    string    `json:"orderId"`
	Country    string    `json:"country"`
	RefundedAt time.Time `json:"refundedAt"`
	Money      money     `json:"money"`
	Method     string    `json:"method"`
}

func main() {
	closed := flag.String("closed", "", "orders whose card is closed, separated by commas")
	desk.Service{Schema: schema, Serve: func(ctx context.Context, d *desk.Desk) error {
		p := payment{d}
		for order := range strings.SplitSeq(*closed, ",") {
			if _, err := d.DB.ExecContext(ctx, `INSERT OR IGNORE INTO closed_cards VALUES (?)`, order); err != nil {
				return err
			}
		}
		once := &ipc.Once{Load: p.load, Save: saved}
		return ipc.Serve(ctx, d.Bus, "payment", once.Do(p.refund))
	}}.Main()
}

type payment struct{ *desk.Desk }

// refund is one transaction: the payment, the event that tells of it, and the answer. A command that comes again is
// answered as before and does not get here.
func (p payment) refund(ctx context.Context, r *ipc.Request) (answer any, err error) {
	var c command
	if err := json.Unmarshal(r.Data, &c); err != nil {
		return nil, err
	}
	var no error
	err = p.Change(ctx, func(tx *desk.Tx) error {
		var closed bool
		err := tx.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM closed_cards WHERE order_id = ?)`, c.OrderID).
			Scan(&closed)
		switch {
		case err != nil:
			return err
		case closed:
			no = &ipc.Error{Name: "rejected", Data: rejected{-32010, "the card is closed"}}
		default:
			now := time.Now().UTC()
			paid := refunded{autobus.NewID(now), c.RefundID, c.OrderID, c.Country, now, c.Money, "card"}
			answer = accepted{paid.PaymentID, now}
			if err := p.pay(tx, paid, r); err != nil {
				return err
			}
		}
		kept, err := ipc.Answered(answer, no)
		if err != nil {
			return err
		}
		_, err = tx.Do(`INSERT INTO answers (key, answer, times) VALUES (?, ?, 1)`, ipc.Key(r), kept)
		return err
	})
	if err != nil {
		return nil, autobus.RetryAfter(0, err) // the caller waits on
	}
	return answer, no
}

func (p payment) pay(tx *desk.Tx, paid refunded, r *ipc.Request) error {
	_, err := tx.Do(`INSERT INTO payments (refund_id, payment_id, order_id, amount) VALUES (?, ?, ?, ?)`,
		paid.RefundID, paid.PaymentID, paid.OrderID, paid.Money.Amount)
	if err != nil {
		return err
	}
	return tx.Publish("payments.money.refunded.v1", paid, autobus.CausedBy(&r.Event))
}

// load gives the answer that a command got before.
func (p payment) load(ctx context.Context, key string) (answer []byte, found bool, err error) {
	const query = `UPDATE answers SET times = times + 1 WHERE key = ? RETURNING answer`
	err = p.DB.QueryRowContext(ctx, query, key).Scan(&answer)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, false, nil
	}
	return answer, err == nil, err
}

// saved has nothing to do: the answer is saved with the payment.
func saved(context.Context, string, []byte) error { return nil }

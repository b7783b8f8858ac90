// SPDX-License-Identifier: Apache-2.0

// Command fiscalization registers a receipt for all money that goes back.
package main

import (
	"context"
	"fmt"
	"hash/crc32"
	"time"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/examples/refund/desk"
)

const schema = `CREATE TABLE IF NOT EXISTS receipts (
	refund_id  INTEGER PRIMARY KEY,
	receipt_id TEXT NOT NULL UNIQUE,
	order_id   TEXT NOT NULL,
	amount     TEXT NOT NULL,
	sign       TEXT NOT NULL
)`

// refunded is what fiscalization needs of payments.money.refunded.v1.
type refunded struct {
	RefundID int64  `json:"refundId"`
	OrderID  string `json:"orderId"`
	Country  string `json:"country"`
	Money    struct {
		Amount   string `json:"amount"`
		Currency string `json:"currency"`
	} `json:"money"`
}

// receipt is fiscal.receipt.issued.v1.
type receipt struct {
	ReceiptID string    `json:"receiptId"`
	RefundID  int64     `json:"refundId"`
	OrderID   string    `json:"orderId"`
	Country   string    `json:"country"`
	IssuedAt  time.Time `json:"issuedAt"`
	Sign      string    `json:"sign"`
}

func main() {
	desk.Service{Schema: schema, Serve: func(ctx context.Context, d *desk.Desk) error {
		f := fiscalization{d}
		return autobus.Work(ctx, d.Bus, "fiscalization", autobus.Typed(f.refunded))
	}}.Main()
}

type fiscalization struct{ *desk.Desk }

// refunded registers a receipt and tells of it, once for each event. A second receipt of a refund violates the primary
// key.
func (f fiscalization) refunded(ctx context.Context, m refunded, d *autobus.Delivery) error {
	return f.Once(ctx, &d.Event, func(tx *desk.Tx) error {
		r := receipt{fmt.Sprintf("F-%d", m.RefundID), m.RefundID, m.OrderID, m.Country, time.Now().UTC(),
			sign(m.OrderID, m.Money.Amount)}
		_, err := tx.Do(`INSERT INTO receipts (refund_id, receipt_id, order_id, amount, sign) VALUES (?, ?, ?, ?, ?)`,
			r.RefundID, r.ReceiptID, r.OrderID, m.Money.Amount, r.Sign)
		if err != nil {
			return err
		}
		return tx.Publish("fiscal.receipt.issued.v1", r, autobus.CausedBy(&d.Event))
	})
}

// sign stands for what the tax authority answers.
func sign(order, amount string) string {
	return fmt.Sprint(crc32.ChecksumIEEE([]byte(order + " " + amount)))
}

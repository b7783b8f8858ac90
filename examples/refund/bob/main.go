// SPDX-License-Identifier: Apache-2.0

// Command bob is the shop's back office of one country: it takes requests for refunds by HTTP and keeps what became of
// them. That comes by the subscription of its country, bob-ru for example, which passes over the events of the others.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/examples/refund/desk"
)

// What is known of a refund is its history. Events of different types may come in any order, so the status is that of
// the greatest step, and not what came last.
const schema = `
CREATE TABLE IF NOT EXISTS refunds (order_id TEXT PRIMARY KEY, refund_id INTEGER);
CREATE TABLE IF NOT EXISTS history (
	order_id TEXT NOT NULL REFERENCES refunds,
	status   TEXT NOT NULL,
	step     INTEGER NOT NULL,
	PRIMARY KEY (order_id, status)
);
CREATE VIEW IF NOT EXISTS statuses AS SELECT order_id, status, max(step) FROM history GROUP BY order_id;
`

// requested is refunds.refund.requested.v1.
type requested struct {
	OrderID     string    `json:"orderId"`
	Country     string    `json:"country"`
	RequestedAt time.Time `json:"requestedAt"`
	Items       []item    `json:"items"`
	RequestedBy by        `json:"requestedBy"`
}

type item struct {
	ItemID int64  `json:"itemId"`
	Reason string `json:"reason"`
}

type by struct {
	Role string `json:"role"`
}

// news is what BOB needs of the events that tell of a refund.
type news struct {
	OrderID  string `json:"orderId"`
	RefundID int64  `json:"refundId"`
}

func main() {
	country := flag.String("country", "ru", "whose back office it is")
	listen := flag.String("listen", "127.0.0.1:0", "address of the API; where it is, the first line says")
	desk.Service{Schema: schema, Serve: func(ctx context.Context, d *desk.Desk) error {
		b := bob{d, *country}
		var m autobus.Mux
		m.On("refunds.refund.created.v1", b.learn("created", 1))
		m.On("refunds.refund.rejected.v1", b.learn("rejected", 2))
		m.On("payments.money.refunded.v1", b.learn("refunded", 3))
		m.On("fiscal.receipt.issued.v1", b.learn("receipt", 4))
		return b.serve(ctx, *listen, func() error { return autobus.Work(ctx, d.Bus, "bob-"+*country, m.Handle) })
	}}.Main()
}

type bob struct {
	*desk.Desk
	country string
}

// learn handles the events of one type: a refund is a step further.
func (b bob) learn(status string, step int) autobus.HandleFunc {
	return autobus.Typed(func(ctx context.Context, n news, d *autobus.Delivery) error {
		return b.Once(ctx, &d.Event, func(tx *desk.Tx) error {
			if _, err := tx.Do(`UPDATE refunds SET refund_id = ? WHERE order_id = ?`, n.RefundID, n.OrderID); err != nil {
				return err
			}
			_, err := tx.Do(`INSERT INTO history (order_id, status, step) VALUES (?, ?, ?)`, n.OrderID, status, step)
			return err
		})
	})
}

// request is PUT /refunds/{order}, with the items. It may be repeated: 201 the first time, then 200.
func (b bob) request(w http.ResponseWriter, r *http.Request) {
	q := requested{OrderID: r.PathValue("order"), Country: b.country, RequestedAt: time.Now().UTC(),
		RequestedBy: by{"customer"}}
	if err := json.NewDecoder(r.Body).Decode(&q.Items); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	status := http.StatusOK
	err := b.Change(r.Context(), func(tx *desk.Tx) error {
		if first, err := tx.Do(`INSERT OR IGNORE INTO refunds (order_id) VALUES (?)`, q.OrderID); err != nil || !first {
			return err
		}
		status = http.StatusCreated
		if _, err := tx.Do(`INSERT INTO history (order_id, status, step) VALUES (?, 'requested', 0)`, q.OrderID); err != nil {
			return err
		}
		return tx.Publish("refunds.refund.requested.v1", q, autobus.WithExtension(autobus.ExtCorrelationID, q.OrderID))
	})
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.WriteHeader(status)
}

// serve answers by HTTP while it works.
func (b bob) serve(ctx context.Context, listen string, work func() error) error {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", listen)
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("PUT /refunds/{order}", b.request)
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	fmt.Printf("http://%s\n", l.Addr())
	err = work()
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	err = errors.Join(err, server.Shutdown(end))
	if e := <-served; !errors.Is(e, http.ErrServerClosed) {
		err = errors.Join(err, e)
	}
	return err
}

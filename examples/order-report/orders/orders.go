// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"database/sql"
	"encoding/json"
	"net/http"
	"time"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/outbox"
)

type service struct {
	db     *sql.DB
	outbox bool
	spent  spent
}

// order is what a client sends and gets. As event it is orders.order.placed.v1.
type order struct {
	ID       string    `json:"order_id"`
	Version  int       `json:"version"`
	Merchant string    `json:"merchant"`
	Day      string    `json:"day"`
	Total    int       `json:"total"`
	PlacedAt time.Time `json:"placed_at"`
	Status   string    `json:"status,omitempty"` // not in the event, whose type says it
}

// closed is the event of an order that is completed or cancelled.
type closed struct {
	ID      string    `json:"order_id"`
	Version int       `json:"version"`
	At      time.Time `json:"at"`
}

func (s *service) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /orders", s.place)
	mux.HandleFunc("POST /orders/{id}/{status}", s.end)
	mux.HandleFunc("GET /orders/{id}", s.show)
	mux.HandleFunc("GET /report", s.report)
	mux.HandleFunc("GET /spent", s.spent.serve)
	return mux
}

func (s *service) place(w http.ResponseWriter, r *http.Request) {
	o := order{}
	if err := json.NewDecoder(r.Body).Decode(&o); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	o.Version, o.Status, o.PlacedAt = 1, "", time.Now().UTC().Truncate(time.Microsecond)
	err := s.change(r.Context(), "orders.order.placed.v1", o.ID, o, func(ctx context.Context, tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `INSERT INTO orders (id, merchant, day, total, placed_at)
			VALUES ($1, $2, $3::text::date, $4, $5)`, o.ID, o.Merchant, o.Day, o.Total, o.PlacedAt)
		if err != nil {
			return err
		}
		return note(ctx, tx, o.ID, o.Version, "placed", o.PlacedAt)
	})
	answer(w, http.StatusCreated, err)
}

func (s *service) end(w http.ResponseWriter, r *http.Request) {
	status := r.PathValue("status")
	if status != "completed" && status != "cancelled" {
		http.NotFound(w, r)
		return
	}
	c := closed{ID: r.PathValue("id"), Version: 2, At: time.Now().UTC().Truncate(time.Microsecond)}
	err := s.change(r.Context(), "orders.order."+status+".v1", c.ID, c, func(ctx context.Context, tx *sql.Tx) error {
		return note(ctx, tx, c.ID, c.Version, status, c.At) // a second end violates the primary key
	})
	answer(w, http.StatusOK, err)
}

// change is one transaction: the change and, where there is an outbox, the event that tells of it.
func (s *service) change(
	ctx context.Context, typ, key string, event any, change func(context.Context, *sql.Tx) error,
) error {
	defer s.spent.since("write", time.Now())
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // it fails after the commit, as it should
	if err := change(ctx, tx); err != nil {
		return err
	}
	if s.outbox {
		if _, err := outbox.PublishTx(ctx, tx, typ, event, autobus.WithKey(key)); err != nil {
			return err
		}
	}
	return tx.Commit()
}

func note(ctx context.Context, tx *sql.Tx, id string, version int, status string, at time.Time) error {
	_, err := tx.ExecContext(ctx, `INSERT INTO order_changes (order_id, version, status, at) VALUES ($1, $2, $3, $4)`,
		id, version, status, at)
	return err
}

func (s *service) show(w http.ResponseWriter, r *http.Request) {
	defer s.spent.since("read", time.Now())
	o := order{ID: r.PathValue("id")}
	err := s.db.QueryRowContext(r.Context(), `SELECT merchant, day::text, total, placed_at, version, status
		FROM orders JOIN order_changes ON order_id = id WHERE id = $1 ORDER BY version DESC LIMIT 1`, o.ID).
		Scan(&o.Merchant, &o.Day, &o.Total, &o.PlacedAt, &o.Version, &o.Status)
	if err != nil {
		answer(w, 0, err)
		return
	}
	_ = json.NewEncoder(w).Encode(o) // whoever asked may be gone
}

// answer ends a call. What the database said stays here, in an example that nobody else reads.
func answer(w http.ResponseWriter, status int, err error) {
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.WriteHeader(status)
}

// SPDX-License-Identifier: Apache-2.0

// Package desk is what the services of the example share: a database of SQLite in which a change, the event that caused
// it and the events that it causes are one transaction.
//
// The event that caused it is noted in the table seen: when it comes again, nothing is done again. The events that the
// change causes are rows of the table outbox until a loop in the service, Desk.Relay, has brought them to the bus, each
// under its own id. So a service may be killed at any moment, and neither forgets an event nor tells of one twice.
//
// It owns these two tables and nothing of the service's own. With PostgreSQL the package outbox and the command
// autobus outbox take the place of the second one.
package desk

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	_ "modernc.org/sqlite" // the driver sqlite

	"github.com/autobus-io/autobus"
)

// Desk is a service's database and its bus.
type Desk struct {
	DB   *sql.DB
	Bus  autobus.Bus
	Pace time.Duration // a wait after each step: what is fast is hardly ever killed in between
	more chan struct{} // holds a token when there may be something to relay
}

const schema = `
CREATE TABLE IF NOT EXISTS seen (
	source TEXT NOT NULL,
	id     TEXT NOT NULL,
	type   TEXT NOT NULL,
	times  INTEGER NOT NULL, -- how often it came
	PRIMARY KEY (source, id)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS outbox (
	seq        INTEGER PRIMARY KEY AUTOINCREMENT,
	id         TEXT NOT NULL UNIQUE,
	type       TEXT NOT NULL,
	data       TEXT NOT NULL,
	extensions TEXT NOT NULL,
	written    INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX IF NOT EXISTS outbox_pending ON outbox (seq) WHERE written = 0;
`

// Open opens the database in a file and makes the tables, the service's own too, unless they are there. The bus is to
// be set before anything is relayed.
func Open(ctx context.Context, file, own string) (*Desk, error) {
	// A transaction takes the lock when it begins: one that reads first could not get it any more when it writes.
	db, err := sql.Open("sqlite", "file:"+file+
		"?_txlock=immediate&_pragma=busy_timeout(10000)&_pragma=journal_mode(WAL)&_pragma=synchronous(NORMAL)")
	if err != nil {
		return nil, err
	}
	if _, err := db.ExecContext(ctx, schema+own); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", file, err), db.Close())
	}
	return &Desk{DB: db, more: make(chan struct{}, 1)}, nil
}

// Tx is a transaction of a service.
type Tx struct {
	*sql.Tx
	ctx     context.Context //nolint:containedctx // of the one call that the transaction lives for
	publish bool
}

// Change is one transaction. When the function fails nothing has happened.
func (d *Desk) Change(ctx context.Context, change func(*Tx) error) error {
	tx, err := d.DB.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // it fails after the commit, as it should
	t := &Tx{Tx: tx, ctx: ctx}
	if err := change(t); err != nil {
		return err
	}
	if err := tx.Commit(); err != nil {
		return err
	}
	if t.publish {
		d.wake()
	}
	d.pause(ctx)
	return nil
}

// Once is Change for an event: when that was handled before, nothing happens.
func (d *Desk) Once(ctx context.Context, e *autobus.Event, change func(*Tx) error) error {
	return d.Change(ctx, func(tx *Tx) error {
		var times int
		err := tx.QueryRowContext(ctx, `INSERT INTO seen (source, id, type, times) VALUES (?, ?, ?, 1)
			ON CONFLICT DO UPDATE SET times = times + 1 RETURNING times`, e.Source, e.ID, e.Type).Scan(&times)
		if err != nil || times > 1 {
			return err
		}
		return change(tx)
	})
}

// pause waits for the pace.
func (d *Desk) pause(ctx context.Context) {
	select {
	case <-ctx.Done():
	case <-time.After(d.Pace):
	}
}

// Do executes a statement and tells whether it changed anything.
func (t *Tx) Do(statement string, args ...any) (changed bool, err error) {
	res, err := t.ExecContext(t.ctx, statement, args...)
	if err != nil {
		return false, err
	}
	n, err := res.RowsAffected()
	return n > 0, err
}

// Publish makes an event as autobus.NewEvent does. It is published if the transaction is committed, and after it.
func (t *Tx) Publish(typ string, data any, opts ...autobus.EventOption) error {
	e, err := autobus.NewEvent(typ, data, opts...)
	if err != nil {
		return err
	}
	extensions, err := json.Marshal(e.Extensions)
	if err != nil {
		return err
	}
	t.publish = true
	_, err = t.Do(`INSERT INTO outbox (id, type, data, extensions) VALUES (?, ?, ?, ?)`,
		e.ID, e.Type, string(e.Data), string(extensions))
	return err
}

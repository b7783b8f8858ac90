// SPDX-License-Identifier: Apache-2.0

// Package store is what sinks do in an SQL database, whatever its make: tables for positions, bad rows and deletions,
// the transaction that writes rows and all of these together, the shape of tables, and the swap of a rebuilt one.
//
//	autobus_sink          one row a sink: which table is its own, and which process writes it
//	autobus_sink_offset   how far each partition was written
//	autobus_sink_error    events that do not fit, with SQLSTATE and reason
//	autobus_sink_deleted  the version up to which the rows of a key are deleted, so that late events do not revive them
//
// Who writes holds the row of its sink in autobus_sink locked while it does; a process whose name no longer stands
// there writes nothing, however late it wakes up. That is the fence; the clock only decides when another one may take
// over.
//
// What it owns: the SQL. What it refuses to know: drivers and dialects, which the folders beside it bring as a Dialect,
// and Kafka.
package store

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/sink"
)

// Dialect is what differs from database to database.
type Dialect struct {
	Name    string
	Open    func(dsn string) (*sql.DB, error)
	Number  bool                                                     // parameters are $1, $2 and not ?
	Session string                                                   // readies a connection; "" = nothing to do
	Begin   string                                                   // begins a transaction that writes
	Now     string                                                   // an expression: the database's clock in milliseconds
	Bytes   string                                                   // the type of bytes
	Version string                                                   // the type of text that is compared byte by byte
	Type    func(sink.Type) string                                   // of a column
	Temp    func(name, columns string) string                        // makes a temporary table unless it is there
	Columns func(context.Context, Querier, string) ([]Column, error) // of a table; none = there is no such table
	// Schema tells whether there is a schema; nil = the database has none.
	Schema func(ctx context.Context, q Querier, name string) (bool, error)
	// Missing lists those of some rights on a table that the user does not have; nil = there are no users.
	Missing func(ctx context.Context, q Querier, table string, rights ...string) ([]string, error)
	// Load adds rows to a table by the fastest way there is.
	Load  func(ctx context.Context, c *sql.Conn, table string, columns []string, rows [][]any) error
	Fresh bool // rows that are new are put in much quicker by an INSERT without ON CONFLICT
	// State gives the SQLSTATE of an error; "" = it is none of the database.
	State func(error) string
	// Swap lists the statements that put a rebuilt table in the place of the live one.
	Swap func(ctx context.Context, q Querier, live, built string) ([]string, error)
	// Like makes a table like another one, with its indexes, defaults and checks; nil = the database cannot.
	Like func(table, like string) string
	// Widen is the statement that changes the type of a column; nil = columns take what comes.
	Widen func(table, column, typ string) string
	// Hide hides the secret in a DSN.
	Hide func(dsn string) string
}

// Column is a column of a table as it is.
type Column struct {
	Name      string
	Type      sink.Type
	Raw       string // the database's own word for the type
	Known     bool   // Type is one that sinks know
	NotNull   bool
	Default   bool
	Generated bool // nobody can write it
	Key       bool // it belongs to the primary key
}

// Querier is a connection that is asked; sql.Conn and sql.DB are.
type Querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
}

// Store is a database. It is a sink.Target; what the commands need beside that works whether it is open or not.
type Store struct {
	dialect Dialect
	dsn     string
	db      *sql.DB
	name    string // under which this process writes

	plan  *sink.Plan
	conn  *sql.Conn
	sql   statements
	guess guess
}

// New opens nothing: the first use connects.
func New(d Dialect, dsn string) (*Store, error) {
	db, err := d.Open(dsn)
	if err != nil {
		return nil, autobus.NewError(autobus.ReasonSinkInvalid, "dsn: %v", err).
			WithHint("Write it as postgres://user@host/database or sqlite:FILE.")
	}
	b := make([]byte, 8)
	_, _ = rand.Read(b) // never fails
	return &Store{dialect: d, dsn: dsn, db: db, name: hex.EncodeToString(b)}, nil
}

// End closes all connections.
func (s *Store) End() error { return s.db.Close() }

// Address is the DSN without its secret.
func (s *Store) Address() string { return s.dialect.Hide(s.dsn) }

// bind writes parameters as the dialect wants them.
func (s *Store) bind(query string) string {
	if !s.dialect.Number {
		return query
	}
	var b strings.Builder
	n := 0
	for part := range strings.SplitSeq(query, "?") {
		if n > 0 {
			fmt.Fprintf(&b, "$%d", n)
		}
		b.WriteString(part)
		n++
	}
	return b.String()
}

func (s *Store) exec(ctx context.Context, q Querier, query string, args ...any) (int64, error) {
	done, err := q.ExecContext(ctx, s.bind(query), args...)
	if err != nil {
		return 0, err
	}
	return done.RowsAffected()
}

// query calls row for each row of an answer.
func (s *Store) query(ctx context.Context, q Querier, row func(*sql.Rows) error, query string, args ...any) error {
	rows, err := q.QueryContext(ctx, s.bind(query), args...)
	if err != nil {
		return err
	}
	defer rows.Close() //nolint:errcheck // what went wrong is told by Err
	for rows.Next() {
		if err := row(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}

// unreachable tells a database that is away from one that refuses.
func (s *Store) unreachable(err error) error {
	if err == nil {
		return nil
	}
	var known *autobus.Error
	if errors.As(err, &known) || errors.Is(err, sink.ErrBusy) || errors.Is(err, context.Canceled) {
		return err
	}
	return autobus.NewError(autobus.ReasonDatabaseUnreachable, "%s at %s: %v", s.dialect.Name, s.Address(), err).
		WithCause(err)
}

// quote writes a name, or schema.name.
func quote(name string) string {
	parts := strings.Split(name, ".")
	for i, p := range parts {
		parts[i] = `"` + p + `"`
	}
	return strings.Join(parts, ".")
}

func quoteAll(names []string) []string {
	out := make([]string, len(names))
	for i, n := range names {
		out[i] = quote(n)
	}
	return out
}

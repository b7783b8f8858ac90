// SPDX-License-Identifier: Apache-2.0

// Package sqlite is SQLite as the target of sinks: a file beside the process, for development and small services.
//
// Its columns are declared by PostgreSQL's words, which it reads as its own kinds. What it would change silently is
// refused here, so that the same sink gives the same rows.
//
// It refuses to know what is written and when; that is internal/sink and internal/sink/store.
package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"modernc.org/sqlite"

	"github.com/autobus-io/autobus/internal/sink"
	"github.com/autobus-io/autobus/internal/sink/store"
)

// Scheme begins the DSNs of SQLite.
const Scheme = "sqlite:"

// New makes a target of a DSN, sqlite:FILE. It opens the file, and makes it, at its first use.
func New(dsn string) (*store.Store, error) {
	return store.New(store.Dialect{
		Name: "SQLite", Open: open, Begin: "BEGIN IMMEDIATE",
		Now:     "CAST((julianday('now') - 2440587.5) * 86400000 AS integer)",
		Bytes:   "blob",
		Version: "text",
		Type:    func(t sink.Type) string { return t.String() },
		Temp: func(name, columns string) string {
			return "CREATE TEMPORARY TABLE IF NOT EXISTS " + name + " (" + columns + ")"
		},
		Columns: columns, Load: load, State: state, Swap: swap,
		Hide: func(dsn string) string { return dsn },
	}, dsn)
}

func open(dsn string) (*sql.DB, error) {
	file := strings.TrimPrefix(strings.TrimPrefix(dsn, Scheme), "//")
	if file == "" || file == ":memory:" {
		return nil, errors.New("it names no file")
	}
	return sql.Open("sqlite", "file:"+(&url.URL{Path: file}).EscapedPath()+
		"?_pragma=busy_timeout(5000)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)")
}

// Codes of SQLite's results that sinks tell apart.
const (
	resultError      = 1
	resultTooBig     = 18
	resultConstraint = 19
	resultMismatch   = 20
)

// state gives the SQLSTATE that PostgreSQL would have given.
func state(err error) string {
	if e, ok := errors.AsType[*refused](err); ok {
		return e.state
	}
	e, ok := errors.AsType[*sqlite.Error](err)
	if !ok {
		return ""
	}
	switch e.Code() & 0xff {
	case resultConstraint:
		return "23000"
	case resultTooBig:
		return "22001"
	case resultMismatch:
		return "22P02"
	case resultError:
		return "42000"
	}
	return ""
}

func columns(ctx context.Context, q store.Querier, table string) (out []store.Column, err error) {
	rows, err := q.QueryContext(ctx, `SELECT name, type, "notnull", dflt_value IS NOT NULL, pk > 0 FROM `+
		`pragma_table_info(?)`,
		bare(table))
	if err != nil {
		return nil, err
	}
	defer rows.Close() //nolint:errcheck // what went wrong is told by Err
	for rows.Next() {
		var c store.Column
		if err := rows.Scan(&c.Name, &c.Raw, &c.NotNull, &c.Default, &c.Key); err != nil {
			return nil, err
		}
		c.Raw = strings.ToLower(c.Raw) // SQLite writes the words that it knows as it likes
		c.Type, c.Known = sink.ParseType(c.Raw)
		out = append(out, c)
	}
	return out, rows.Err()
}

// bare is a table's name without its schema.
func bare(table string) string { return table[strings.LastIndex(table, ".")+1:] }

// load adds rows one by one, which within a transaction is what SQLite is fast at.
func load(ctx context.Context, c *sql.Conn, table string, columns []string, rows [][]any) error {
	marks := strings.TrimSuffix(strings.Repeat("?, ", len(columns)), ", ")
	//nolint:gosec // the names are those of a plan, which were checked
	query := "INSERT INTO " + table + ` ("` + strings.Join(columns, `", "`) + `") VALUES (` + marks + ")"
	insert, err := c.PrepareContext(ctx, query)
	if err != nil {
		return err
	}
	defer insert.Close() //nolint:errcheck // a statement that is given back
	args := make([]any, len(columns))
	for _, row := range rows {
		for i, v := range row {
			if args[i], err = value(v); err != nil {
				return err
			}
		}
		if _, err := insert.ExecContext(ctx, args...); err != nil {
			return err
		}
	}
	return nil
}

// refused is a value that SQLite would take and change.
type refused struct{ state, reason string }

func (e *refused) Error() string { return e.reason }

// exactDigits is how many digits of a decimal SQLite keeps.
const exactDigits = 15

func value(v any) (any, error) {
	switch v := v.(type) {
	case time.Time: // as SQLite's own functions read it, all of one length so that they sort
		return v.UTC().Format("2006-01-02 15:04:05.000000"), nil
	case sink.Decimal:
		digits := strings.Trim(strings.NewReplacer("-", "", ".", "").Replace(string(v)), "0")
		if len(digits) > exactDigits || strings.ContainsAny(string(v), "eE") {
			return nil, &refused{"22003", fmt.Sprintf("%s has more digits than SQLite keeps, %d", v, exactDigits)}
		}
		return string(v), nil
	case json.RawMessage:
		return string(v), nil
	}
	return v, nil
}

// swap drops the live table, gives its name to the built one, and makes its indexes again.
func swap(ctx context.Context, q store.Querier, live, built string) ([]string, error) {
	rows, err := q.QueryContext(ctx, `SELECT sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL AND `+
		`tbl_name = ?`,
		bare(live))
	if err != nil {
		return nil, err
	}
	defer rows.Close() //nolint:errcheck // what went wrong is told by Err
	steps := []string{`DROP TABLE "` + live + `"`, `ALTER TABLE "` + built + `" RENAME TO "` + live + `"`}
	for rows.Next() {
		var index string
		if err := rows.Scan(&index); err != nil {
			return nil, err
		}
		steps = append(steps, index)
	}
	return steps, rows.Err()
}

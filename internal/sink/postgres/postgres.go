// SPDX-License-Identifier: Apache-2.0

// Package postgres is PostgreSQL as the target of sinks: its dialect, COPY, and how tables are swapped there.
//
// It refuses to know what is written and when; that is internal/sink and internal/sink/store.
package postgres

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/autobus-io/autobus/internal/sink"
	"github.com/autobus-io/autobus/internal/sink/store"
)

// Scheme begins the DSNs of PostgreSQL.
const Scheme = "postgres://"

// New makes a target of a DSN, postgres://user@host/database. It connects at its first use.
func New(dsn string) (*store.Store, error) {
	return store.New(store.Dialect{
		Name: "PostgreSQL", Open: open, Number: true, Fresh: true,
		// A process that stands still, or whose machine is gone, must not keep the lock of its sink from others.
		Session: "SET idle_in_transaction_session_timeout = '10s'; SET statement_timeout = '60s'; " +
			"SET tcp_keepalives_idle = 10; SET tcp_keepalives_interval = 5; SET tcp_keepalives_count = 3",
		// Constraints that are checked at the end would fail a whole batch, and name no row.
		Begin:   "BEGIN; SET CONSTRAINTS ALL IMMEDIATE; SET LOCAL lock_timeout = '5s'",
		Now:     "CAST(extract(epoch FROM clock_timestamp()) * 1000 AS bigint)",
		Bytes:   "bytea",
		Version: `text COLLATE "C"`,
		Type:    func(t sink.Type) string { return t.String() },
		Temp: func(name, columns string) string {
			return "CREATE TEMPORARY TABLE IF NOT EXISTS " + name + " (" + columns + ") ON COMMIT DELETE ROWS"
		},
		Schema: schema, Missing: missing, Columns: columns, Load: load, State: state, Swap: swap,
		Like: func(table, like string) string { return "CREATE TABLE " + table + " (LIKE " + like + " INCLUDING ALL)" },
		Widen: func(table, column, typ string) string {
			return "ALTER TABLE " + table + " ALTER COLUMN " + column + " TYPE " + typ
		},
		Hide: hide,
	}, dsn)
}

func open(dsn string) (*sql.DB, error) {
	cfg, err := pgx.ParseConfig(dsn)
	if err != nil {
		return nil, errors.New(strings.ReplaceAll(err.Error(), dsn, "it"))
	}
	if cfg.RuntimeParams["application_name"] == "" {
		cfg.RuntimeParams["application_name"] = "autobus"
	}
	cfg.RuntimeParams["timezone"] = "UTC"
	cfg.OnNotice = func(*pgconn.PgConn, *pgconn.Notice) {} // such as that a temporary table is there already
	return stdlib.OpenDB(*cfg), nil
}

func hide(dsn string) string {
	cfg, err := pgx.ParseConfig(dsn)
	if err != nil {
		return "postgres"
	}
	return fmt.Sprintf("postgres://%s@%s:%d/%s", cfg.User, cfg.Host, cfg.Port, cfg.Database)
}

// state gives the SQLSTATE.
func state(err error) string {
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		return e.Code
	}
	return ""
}

// columns describes a table.
func columns(ctx context.Context, q store.Querier, table string) (out []store.Column, err error) {
	rows, err := q.QueryContext(ctx, `SELECT a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull,
		a.atthasdef OR a.attidentity <> '', a.attgenerated <> '' OR a.attidentity = 'a',
		COALESCE(i.indisprimary AND i.indimmediate, false)
		FROM pg_attribute a LEFT JOIN pg_index i ON i.indrelid = a.attrelid AND i.indisprimary AND a.attnum = ANY (i.indkey)
		WHERE a.attrelid = to_regclass($1) AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum`, quote(table))
	if err != nil {
		return nil, err
	}
	defer rows.Close() //nolint:errcheck // what went wrong is told by Err
	for rows.Next() {
		var c store.Column
		if err := rows.Scan(&c.Name, &c.Raw, &c.NotNull, &c.Default, &c.Generated, &c.Key); err != nil {
			return nil, err
		}
		c.Type, c.Known = sink.ParseType(c.Raw)
		out = append(out, c)
	}
	return out, rows.Err()
}

func schema(ctx context.Context, q store.Querier, name string) (there bool, err error) {
	found, err := texts(ctx, q, `SELECT nspname::text FROM pg_namespace WHERE nspname = $1`, name)
	return len(found) > 0, err
}

// missing lists the rights that the user has on no column of a table. TEMPORARY is one on the database.
func missing(ctx context.Context, q store.Querier, table string, rights ...string) ([]string, error) {
	return texts(ctx, q, `SELECT r FROM unnest(CAST($2 AS text[])) r WHERE NOT CASE r
		WHEN 'TEMPORARY' THEN has_database_privilege(current_database(), r)
		WHEN 'DELETE' THEN has_table_privilege(to_regclass($1), r)
		ELSE has_any_column_privilege(to_regclass($1), r) END`, quote(table), rights)
}

// texts gives the answer to a query of one column.
func texts(ctx context.Context, q store.Querier, query string, args ...any) (out []string, err error) {
	rows, err := q.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close() //nolint:errcheck // what went wrong is told by Err
	for rows.Next() {
		var s string
		if err := rows.Scan(&s); err != nil {
			return nil, err
		}
		out = append(out, s)
	}
	return out, rows.Err()
}

// swap drops the live table and gives its name, rights and index names to the built one.
func swap(ctx context.Context, q store.Querier, live, built string) (steps []string, err error) {
	ask := func(query string, row func(a, b string)) error {
		rows, err := q.QueryContext(ctx, query, quote(built), quote(live))
		if err != nil {
			return err
		}
		defer rows.Close() //nolint:errcheck // what went wrong is told by Err
		for rows.Next() {
			var a, b string
			if err := rows.Scan(&a, &b); err != nil {
				return err
			}
			row(a, b)
		}
		return rows.Err()
	}
	if err := ask(`SELECT privilege_type, CASE WHEN grantee = 0 THEN 'PUBLIC' ELSE `+
		`quote_ident(pg_get_userbyid(grantee)) END
		FROM pg_class c, aclexplode(c.relacl) WHERE c.oid = to_regclass($2) AND to_regclass($1) IS NOT NULL
		AND grantee <> c.relowner`, func(right, who string) {
		steps = append(steps, "GRANT "+right+" ON "+quote(built)+" TO "+who)
	}); err != nil {
		return nil, err
	}
	steps = append(steps, "DROP TABLE "+quote(live))
	_, name := cut(live)
	schema, old := cut(built)
	if err := ask(`SELECT c.relname, '' FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
		WHERE i.indrelid = to_regclass($1) AND $2 <> ''`, func(index, _ string) {
		if rest, ok := strings.CutPrefix(index, old); ok {
			steps = append(steps, `ALTER INDEX `+schema+`"`+index+`" RENAME TO "`+name+rest+`"`)
		}
	}); err != nil {
		return nil, err
	}
	return append(steps, "ALTER TABLE "+quote(built)+" RENAME TO \""+name+`"`), nil
}

// quote writes a name, or schema.name.
func quote(table string) string { return `"` + strings.ReplaceAll(table, ".", `"."`) + `"` }

// cut parts a name into its schema, with the dot, and the rest.
func cut(table string) (schema, name string) {
	if i := strings.LastIndex(table, "."); i >= 0 {
		return table[:i+1], table[i+1:]
	}
	return "", table
}

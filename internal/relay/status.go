// SPDX-License-Identifier: Apache-2.0

package relay

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/outbox"
)

// Backlog is what is left to do.
type Backlog struct {
	Pending int64         // rows that wait, counted up to maxCounted
	Lag     time.Duration // age of the oldest of them, by the database's clock
	Refused int64         // rows set aside
}

const maxCounted = 1_000_000

func (s *session) backlog(ctx context.Context) (b Backlog, err error) {
	ctx, cancel := context.WithTimeout(ctx, databaseTime)
	defer cancel()
	err = s.conn.QueryRow(ctx, `SELECT
		(SELECT count(*) FROM (SELECT FROM `+s.table+` WHERE sent_at IS NULL AND refused_at IS NULL LIMIT $1) w),
		coalesce(greatest(clock_timestamp() - (SELECT created_at FROM `+s.table+`
			WHERE sent_at IS NULL AND refused_at IS NULL ORDER BY seq LIMIT 1), interval '0'), interval '0'),
		(SELECT count(*) FROM `+s.table+` WHERE refused_at IS NOT NULL)`, maxCounted).Scan(&b.Pending, &b.Lag, &b.Refused)
	return b, databaseError(err)
}

// Table is an outbox as an operator sees it; close it.
type Table struct{ s *session }

// OpenTable connects to the database. Errors are as those of Relay.Run.
func OpenTable(ctx context.Context, database *pgx.ConnConfig, table outbox.Table) (*Table, error) {
	s, err := open(ctx, database, table)
	if err != nil {
		return nil, err
	}
	return &Table{s}, nil
}

// Close ends the connection.
func (t *Table) Close() { t.s.close() }

// Status is how an outbox is.
type Status struct {
	Backlog
	Held   int64   // pending rows behind a refused one of their type and key
	Groups []Group // of rows that failed, most first
	Worker *Worker // the relay at work, nil = none is
}

// Group counts rows that failed alike.
type Group struct {
	Type    string
	Reason  autobus.Reason
	Refused bool // set aside; else they are tried again by themselves
	Rows    int64
}

// Worker is a relay's session.
type Worker struct {
	PID     int32
	Address string     // of the client; empty where it is local, or not to be seen
	Since   *time.Time // nil where it is not to be seen
}

// Status looks at the table and who works on it.
func (t *Table) Status(ctx context.Context) (st Status, err error) {
	if st.Backlog, err = t.s.backlog(ctx); err != nil {
		return st, err
	}
	err = t.s.conn.QueryRow(ctx, `SELECT count(*) FROM `+t.s.table+` o WHERE sent_at IS NULL AND refused_at IS NULL
		AND EXISTS (SELECT FROM `+t.s.table+` r WHERE r.refused_at IS NOT NULL AND r.type = o.type AND r.key = o.key
			AND r.seq < o.seq)`).Scan(&st.Held)
	if err != nil {
		return st, databaseError(err)
	}
	rows, err := t.s.conn.Query(ctx, `SELECT type, reason, refused_at IS NOT NULL, count(*) FROM `+t.s.table+`
		WHERE (sent_at IS NULL AND refused_at IS NULL OR refused_at IS NOT NULL) AND reason IS NOT NULL
		GROUP BY 1, 2, 3 ORDER BY 4 DESC, 1, 2, 3`)
	if err != nil {
		return st, databaseError(err)
	}
	if st.Groups, err = pgx.CollectRows(rows, pgx.RowToStructByPos[Group]); err != nil {
		return st, databaseError(err)
	}
	rows, err = t.s.conn.Query(ctx, `SELECT l.pid, coalesce(host(a.client_addr), ''), a.backend_start
		FROM pg_locks l JOIN pg_database d ON d.oid = l.database AND d.datname = current_database()
		LEFT JOIN pg_stat_activity a ON a.pid = l.pid
		WHERE l.locktype = 'advisory' AND l.classid = $1 AND l.objid = $2 AND l.objsubid = 1 AND l.granted`,
		uint32(workClass), t.s.oid)
	if err != nil {
		return st, databaseError(err)
	}
	workers, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Worker])
	if err != nil {
		return st, databaseError(err)
	}
	if len(workers) > 0 {
		st.Worker = &workers[0]
	}
	return st, nil
}

// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/sink"
)

// Open implements sink.Target.
func (s *Store) Open(ctx context.Context, p *sink.Plan) (positions map[sink.TP]sink.Position, err error) {
	s.plan, s.sql = p, s.statementsOf(p)
	if s.conn, err = s.db.Conn(ctx); err != nil {
		return nil, s.unreachable(err)
	}
	if s.dialect.Session != "" {
		if _, err := s.conn.ExecContext(ctx, s.dialect.Session); err != nil {
			return nil, s.unreachable(err)
		}
	}
	if err := s.take(ctx); err != nil {
		return nil, err
	}
	for _, stage := range s.sql.stages {
		if _, err := s.conn.ExecContext(ctx, stage); err != nil {
			return nil, s.unreachable(err)
		}
	}
	positions, err = s.positions(ctx, s.conn, p.Name)
	return positions, s.unreachable(err)
}

// take makes this process the one that writes. One whose file is not that for which the tables were made, such as after
// a rebuild, would judge by another version than the rows have, or leave columns empty.
func (s *Store) take(ctx context.Context) error {
	layout, err := json.Marshal(s.plan.Layout())
	if err != nil {
		return err
	}
	n, err := s.exec(ctx, s.conn, `UPDATE autobus_sink SET writer = ?, beat = `+s.dialect.Now+
		` WHERE name = ? AND layout = ? AND (writer IS NULL OR writer = ? OR beat < `+s.dialect.Now+` - ?)`,
		s.name, s.plan.Name, string(layout), s.name, s.plan.File.Lease.Milliseconds())
	if err != nil {
		return s.told(err)
	}
	if n > 0 {
		return nil
	}
	had := ""
	if err := s.query(ctx, s.conn, func(rows *sql.Rows) error { return rows.Scan(&had) },
		`SELECT layout FROM autobus_sink WHERE name = ?`, s.plan.Name); err != nil {
		return s.told(err)
	}
	if had != string(layout) {
		return autobus.NewError(autobus.ReasonSinkInvalid,
			"the table %s was made anew, or changed, for a sink %s of other columns or another version than this process read "+
				"from %s", s.plan.Table, s.plan.Name, s.plan.File.Path).
			WithHint("Start the sink again: then it reads the file anew. If it says so again, look at autobus sink plan.")
	}
	return sink.ErrBusy
}

func (s *Store) positions(ctx context.Context, q Querier, name string) (map[sink.TP]sink.Position, error) {
	out := map[sink.TP]sink.Position{}
	err := s.query(ctx, q, func(rows *sql.Rows) error {
		var tp sink.TP
		var p sink.Position
		err := rows.Scan(&tp.Topic, &tp.Partition, &p.TopicID, &p.Next)
		out[tp] = p
		return err
	}, `SELECT topic, partition, topic_id, next_offset FROM autobus_sink_offset WHERE sink = ?`, name)
	return out, err
}

// Write implements sink.Target.
func (s *Store) Write(ctx context.Context, c *sink.Chunk) (w sink.Written, err error) {
	if _, err := s.conn.ExecContext(ctx, s.dialect.Begin); err != nil {
		return w, s.told(err)
	}
	// Without a COMMIT nothing counts, and the connection is given up: see Close.
	n, err := s.exec(ctx, s.conn, `UPDATE autobus_sink SET beat = `+s.dialect.Now+` WHERE name = ? AND writer = ?`,
		s.plan.Name, s.name)
	if err != nil {
		return w, s.told(err)
	}
	if n == 0 {
		return w, sink.ErrBusy
	}
	if w, err = s.fill(ctx, c); err != nil {
		return sink.Written{}, err
	}
	if _, err := s.conn.ExecContext(ctx, "COMMIT"); err != nil {
		return sink.Written{}, s.told(err)
	}
	return w, nil
}

// fill does within the transaction what a chunk asks for.
func (s *Store) fill(ctx context.Context, c *sink.Chunk) (w sink.Written, err error) {
	for tp, p := range c.Begin {
		if _, err := s.exec(ctx, s.conn, `INSERT INTO autobus_sink_offset (sink, topic, partition, topic_id, next_offset) `+
			`VALUES (?, ?, ?, ?, ?)`, s.plan.Name, tp.Topic, tp.Partition, p.TopicID, p.Next); err != nil {
			return w, s.told(err)
		}
	}
	if w, err = s.rows(ctx, c.Rows); err != nil {
		return w, err
	}
	for _, row := range w.Bad {
		if err := s.setAside(ctx, row); err != nil {
			return w, s.told(err)
		}
	}
	return w, s.move(ctx, c)
}

// movesAtOnce bounds the parameters of one statement.
const movesAtOnce = 1000

// move moves the positions of a chunk.
func (s *Store) move(ctx context.Context, c *sink.Chunk) error {
	for tps := range slices.Chunk(slices.Collect(maps.Keys(c.To)), movesAtOnce) {
		var args []any
		for _, tp := range tps {
			args = append(args, tp.Topic, tp.Partition, c.From[tp], c.To[tp])
		}
		const place = `(CAST(? AS text), CAST(? AS integer), CAST(? AS bigint), CAST(? AS bigint))`
		n, err := s.exec(ctx, s.conn, `WITH v (topic, partition, was, next) AS (VALUES `+
			strings.Repeat(place+", ", len(tps)-1)+place+`) UPDATE autobus_sink_offset AS o SET next_offset = v.next FROM v `+
			`WHERE o.sink = CAST(? AS text) AND o.topic = v.topic AND o.partition = v.partition AND o.next_offset = v.was`,
			append(args, s.plan.Name)...)
		if err != nil {
			return s.told(err)
		}
		if n != int64(len(tps)) { // somebody moved one, such as a rebuild
			return sink.ErrBusy
		}
	}
	return nil
}

// rows writes those that can be written and tells the others.
func (s *Store) rows(ctx context.Context, rows []sink.Row) (w sink.Written, err error) {
	good := make([]sink.Row, 0, len(rows))
	for _, row := range rows {
		if row.Bad != nil {
			w.Bad = append(w.Bad, row)
		} else {
			good = append(good, row)
		}
	}
	if err := sink.CheckShare(w.Bad, len(rows)); err != nil {
		return w, err
	}
	found, err := sink.Bisect(good, len(w.Bad), func(part []sink.Row) error { return s.try(ctx, part) })
	w.Rows, w.Bad = len(good)-len(found), append(w.Bad, found...)
	return w, err
}

// try writes rows, or leaves nothing of them.
func (s *Store) try(ctx context.Context, rows []sink.Row) error {
	if _, err := s.conn.ExecContext(ctx, "SAVEPOINT rows"+s.sql.clear); err != nil {
		return s.told(err)
	}
	put := s.append
	if s.plan.Upsert {
		put = s.upsert
	}
	err := put(ctx, rows)
	if err == nil {
		_, err = s.conn.ExecContext(ctx, "RELEASE SAVEPOINT rows")
		return err
	}
	if err = s.told(err); !isData(err) {
		return err
	}
	if _, undone := s.conn.ExecContext(ctx, "ROLLBACK TO SAVEPOINT rows; RELEASE SAVEPOINT rows"); undone != nil {
		return s.told(undone)
	}
	return err
}

func isData(err error) bool {
	_, ok := errors.AsType[*sink.DataError](err)
	return ok
}

// told sorts an error of the database: rows at fault, a table that is not as it was, or a database that is away.
func (s *Store) told(err error) error {
	state := s.dialect.State(err)
	switch {
	case ofRows(state):
		return &sink.DataError{Bad: sink.Bad{State: state, Reason: err.Error()}, Cause: err}
	case strings.HasPrefix(state, "42"):
		return autobus.NewError(autobus.ReasonSinkDrift, "the tables are not as the sink needs them: %v", err).WithCause(err)
	}
	return s.unreachable(err)
}

// ofRows reports whether an SQLSTATE says that rows are at fault: their values, a constraint, a limit such as that of
// what an index can hold, a trigger that refuses. 21 is two keys of a batch that only the database holds for the same.
func ofRows(state string) bool {
	for _, class := range []string{"21", "22", "23", "54", "P0"} {
		if strings.HasPrefix(state, class) {
			return true
		}
	}
	return false
}

// append adds a row for each event.
func (s *Store) append(ctx context.Context, rows []sink.Row) error {
	for i, table := range s.plan.Tables() {
		var values [][]any
		for r := range rows {
			place := []any{rows[r].Record.Topic, int64(rows[r].Record.Partition), rows[r].Record.Offset}
			if i == 0 {
				values = append(values, append(place, rows[r].Values...))
				continue
			}
			for n, item := range childOf(&rows[r], i-1) {
				values = append(values, append(append(place[:3:3], int64(n)), item...))
			}
		}
		if len(values) == 0 {
			continue
		}
		if err := s.dialect.Load(ctx, s.conn, quote(table.Name), columnsOf(table), values); err != nil {
			return err
		}
	}
	return nil
}

func childOf(row *sink.Row, i int) [][]any {
	if row.Children == nil {
		return nil
	}
	return row.Children[i]
}

func columnsOf(t sink.Table) []string {
	out := make([]string, len(t.Columns))
	for i, c := range t.Columns {
		out[i] = c.Name
	}
	return out
}

// setAside keeps an event that cannot be written.
func (s *Store) setAside(ctx context.Context, row sink.Row) error {
	rec := row.Record
	headers, err := headersOf(rec)
	if err != nil {
		return err
	}
	_, err = s.exec(ctx, s.conn, `INSERT INTO autobus_sink_error (sink, topic, partition, record_offset, type, sqlstate, `+
		`reason, record_time, key, value, headers, at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, `+s.dialect.Now+`) `+
		`ON CONFLICT (sink, topic, partition, record_offset) DO UPDATE SET sqlstate = excluded.sqlstate, `+
		`reason = excluded.reason, at = excluded.at`,
		s.plan.Name, rec.Topic, int64(rec.Partition), rec.Offset, row.Type, row.Bad.State,
		strings.ReplaceAll(strings.ToValidUTF8(row.Bad.Reason, "\uFFFD"), "\x00", "\uFFFD"), rec.Time.UnixMilli(),
		rec.Key, rec.Value, headers)
	return err
}

// releaseTimeout bounds what a process that goes spends on letting others take over at once.
const releaseTimeout = 2 * time.Second

// Close implements sink.Target. A transaction that is open, or whose end is unknown, goes with its connection.
func (s *Store) Close() error {
	if s.conn == nil {
		return nil
	}
	s.giveUp()
	ctx, cancel := context.WithTimeout(context.Background(), releaseTimeout)
	defer cancel()
	_, err := s.exec(ctx, s.db, `UPDATE autobus_sink SET writer = NULL WHERE name = ? AND writer = ?`, s.plan.Name, s.name)
	if err != nil {
		return fmt.Errorf("release the sink: %w", err)
	}
	return nil
}

// giveUp closes the connection, and does not give it back to the pool.
func (s *Store) giveUp() {
	_ = s.conn.Raw(func(any) error { return driver.ErrBadConn })
	_ = s.conn.Close()
	s.conn = nil
}

// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"time"

	"github.com/autobus-io/autobus/internal/sink"
)

// Aside is an event that was set aside.
type Aside struct {
	Topic     string    `json:"topic"`
	Partition int32     `json:"partition"`
	Offset    int64     `json:"offset"`
	Type      string    `json:"type"`
	State     string    `json:"sqlstate"`
	Reason    string    `json:"reason"`
	At        time.Time `json:"at"`
	ID        string    `json:"id,omitempty"`
	Key       string    `json:"key,omitempty"`
	Data      string    `json:"data,omitempty"`

	record sink.Record
}

type storedHeader struct {
	Key   string `json:"key"`
	Value []byte `json:"value"`
}

func headersOf(rec *sink.Record) (string, error) {
	headers := make([]storedHeader, len(rec.Headers))
	for i, h := range rec.Headers {
		headers[i] = storedHeader{h.Key, h.Value}
	}
	raw, err := json.Marshal(headers)
	return string(raw), err
}

// Asides lists events that were set aside, the oldest first; limit 0 is all.
func (s *Store) Asides(ctx context.Context, name string, limit int) (out []Aside, err error) {
	out, err = s.asides(ctx, s.db, name, limit)
	return out, s.unreachable(err)
}

func (s *Store) asides(ctx context.Context, q Querier, name string, limit int) (out []Aside, err error) {
	err = s.query(ctx, q, func(rows *sql.Rows) error {
		var a Aside
		var at, recorded int64
		var headers string
		if err := rows.Scan(&a.Topic, &a.Partition, &a.Offset, &a.Type, &a.State, &a.Reason, &recorded, &a.record.Key,
			&a.record.Value, &headers, &at); err != nil {
			return err
		}
		var stored []storedHeader
		if err := json.Unmarshal([]byte(headers), &stored); err != nil {
			return err
		}
		a.record.TP, a.record.Offset = sink.TP{Topic: a.Topic, Partition: a.Partition}, a.Offset
		a.record.Time = time.UnixMilli(recorded).UTC()
		for _, h := range stored {
			a.record.Headers = append(a.record.Headers, sink.Header{Key: h.Key, Value: h.Value})
			if h.Key == "ce_id" {
				a.ID = string(h.Value)
			}
		}
		a.At, a.Key, a.Data = time.UnixMilli(at).UTC(), string(a.record.Key), string(a.record.Value)
		if limit == 0 || len(out) < limit {
			out = append(out, a)
		}
		return nil
	}, `SELECT topic, partition, record_offset, type, sqlstate, reason, record_time, key, value, headers, at FROM `+
		`autobus_sink_error WHERE sink = ? ORDER BY at, topic, partition, record_offset`, name)
	return out, err
}

// Replay writes events that were set aside, those that pick takes, after something was repaired: the table, the sink's
// file, or the data, which repair may replace; nil leaves it as it is. What still does not fit stays aside, with its
// new reason.
func (s *Store) Replay(ctx context.Context, p *sink.Plan, pick func(Aside) bool, repair func(Aside) []byte) (
	w sink.Written, err error,
) {
	r := &Store{dialect: s.dialect, dsn: s.dsn, db: s.db, name: s.name, plan: p}
	r.sql = r.statementsOf(p)
	if r.conn, err = s.db.Conn(ctx); err != nil {
		return w, s.unreachable(err)
	}
	defer r.giveUp()
	for _, stage := range r.sql.stages {
		if _, err := r.conn.ExecContext(ctx, stage); err != nil {
			return w, s.unreachable(err)
		}
	}
	if _, err := r.conn.ExecContext(ctx, s.dialect.Begin); err != nil {
		return w, s.unreachable(err)
	}
	// A sink that runs waits, as for another writer: what it deletes meanwhile must not come back.
	if _, err := r.exec(ctx, r.conn, `UPDATE autobus_sink SET name = name WHERE name = ?`, p.Name); err != nil {
		return w, s.unreachable(err)
	}
	aside, err := r.asides(ctx, r.conn, p.Name, 0)
	if err != nil {
		return w, s.unreachable(err)
	}
	var rows []sink.Row
	for _, a := range aside {
		if !pick(a) || !p.Reads(a.Topic) {
			continue
		}
		rec := a.record
		if data := repair(a); data != nil {
			rec.Value = data
		}
		row, err := p.Row(&rec)
		if err != nil {
			return w, err
		}
		rows = append(rows, row)
	}
	if w, err = r.replay(ctx, rows); err != nil {
		return sink.Written{}, err
	}
	if _, err := r.conn.ExecContext(ctx, "COMMIT"); err != nil {
		return sink.Written{}, s.told(err)
	}
	return w, nil
}

// replay writes rows one by one: each was found bad before, so none is likely to pass with the others.
func (s *Store) replay(ctx context.Context, rows []sink.Row) (w sink.Written, err error) {
	for i := range rows {
		one, err := s.rows(ctx, rows[i:i+1])
		if err != nil {
			return w, err
		}
		w.Rows += one.Rows
		w.Bad = append(w.Bad, one.Bad...)
		rec := rows[i].Record
		if len(one.Bad) > 0 {
			if err := s.setAside(ctx, one.Bad[0]); err != nil {
				return w, s.told(err)
			}
			continue
		}
		if _, err := s.exec(ctx, s.conn, `DELETE FROM autobus_sink_error WHERE sink = ? AND topic = ? AND partition = ? AND `+
			`record_offset = ?`, s.plan.Name, rec.Topic, int64(rec.Partition), rec.Offset); err != nil {
			return w, s.told(err)
		}
	}
	return w, nil
}

// Status is what the database says of a sink.
type Status struct {
	Target    string
	Writer    string // "" = no process has it
	Silent    time.Duration
	Aside     int
	Positions map[sink.TP]sink.Position
}

// Status tells how far a sink is; ok is false where the database has no such sink.
func (s *Store) Status(ctx context.Context, name string) (st Status, ok bool, err error) {
	there, err := s.dialect.Columns(ctx, s.db, "autobus_sink")
	if err != nil || there == nil {
		return st, false, s.unreachable(err)
	}
	err = s.query(ctx, s.db, func(rows *sql.Rows) error {
		var writer sql.NullString
		var silent int64
		ok = true
		err := rows.Scan(&st.Target, &writer, &silent, &st.Aside)
		st.Writer, st.Silent = writer.String, time.Duration(silent)*time.Millisecond
		return err
	}, `SELECT target, writer, `+s.dialect.Now+` - beat, (SELECT count(*) FROM autobus_sink_error e WHERE e.sink = `+
		`s.name) `+
		`FROM autobus_sink s WHERE name = ?`, name)
	if err == nil {
		st.Positions, err = s.positions(ctx, s.db, name)
	}
	return st, ok, s.unreachable(err)
}

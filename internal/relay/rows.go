// SPDX-License-Identifier: Apache-2.0

package relay

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/autobus-io/autobus"
)

// row is one row that waits.
type row struct {
	seq   int64
	lane  lane
	event autobus.Event
	fault *autobus.Error // why it cannot even be sent
}

// nextRows reads the oldest waiting rows. Of a type or a lane that waits ($3 to $5) none is read, nor of a lane behind
// a row that was refused (%[2]s). The inner window bounds by what the rows take on disk, which costs nothing to know;
// what they take unpacked is bounded by the reader.
const nextRows = `
SELECT seq, id, type, key, source, subject, coalesce(time, created_at), content_type, attributes::text,
	coalesce(octet_length(data::text), octet_length(data_bytes), 0) AS size,
	CASE WHEN octet_length(data::text) <= $6 THEN data::text END,
	CASE WHEN octet_length(data_bytes) <= $6 THEN data_bytes END
FROM (
	SELECT *, sum(stored) OVER (ORDER BY seq) - stored AS before
	FROM (
		SELECT *, coalesce(pg_column_size(data), 0) + coalesce(pg_column_size(data_bytes), 0) AS stored
		FROM %[1]s o
		WHERE sent_at IS NULL AND refused_at IS NULL AND type <> ALL ($3::text[])
			AND NOT EXISTS (SELECT FROM unnest($4::text[], $5::text[]) AS w(type, key)
				WHERE w.type = o.type AND w.key IS NOT DISTINCT FROM o.key)%[2]s
		ORDER BY seq LIMIT $1
	) oldest
) bounded
WHERE before < $2
ORDER BY seq`

// behindRefused leaves away what stands behind a refused row of its lane. Rows without a key have no order to keep.
const behindRefused = `
			AND NOT EXISTS (SELECT FROM %[1]s r
				WHERE r.refused_at IS NOT NULL AND r.type = o.type AND r.key = o.key AND r.seq < o.seq)`

// batchBytes is about how much one batch holds; a row always fits.
const batchBytes = 4 << 20

// next reads at most limit rows in order. full says that there may be more.
func (s *session) next(ctx context.Context, limit int, hold bool, p *pauses) (out []row, full bool, err error) {
	behind := ""
	if hold {
		behind = fmt.Sprintf(behindRefused, s.table)
	}
	types, laneTypes, laneKeys, _ := p.waiting(time.Now())
	ctx, cancel := context.WithTimeout(ctx, databaseTime)
	defer cancel()
	found, err := s.conn.Query(ctx, fmt.Sprintf(nextRows, s.table, behind), limit, batchBytes, types, laneTypes, laneKeys,
		autobus.MaxEventBytes)
	if err != nil {
		return nil, false, databaseError(err)
	}
	defer found.Close()
	size := 0
	for found.Next() {
		r, err := scan(found)
		if err != nil {
			return nil, false, databaseError(err)
		}
		if size += r.event.Size(); size > batchBytes && len(out) > 0 {
			full = true // what is left is read again
			break
		}
		out = append(out, r)
	}
	found.Close()
	return out, full || len(out) == limit, databaseError(found.Err())
}

func scan(from pgx.Rows) (r row, err error) {
	var (
		key, source, subject, contentType, attributes *string
		text, raw                                     []byte
		size                                          int
	)
	e := &r.event
	if err := from.Scan(&r.seq, &e.ID, &e.Type, &key, &source, &subject, &e.Time, &contentType, &attributes, &size,
		&text, &raw); err != nil {
		return r, err
	}
	r.lane = lane{typ: e.Type}
	e.Source, e.Subject, e.ContentType = deref(source), deref(subject), deref(contentType)
	if e.Data = text; raw != nil {
		e.Data = raw
	}
	r.fault = setAttributes(e, attributes)
	if key != nil {
		r.lane.key, r.lane.keyed = *key, true
		e.SetExt(autobus.ExtPartitionKey, *key)
	}
	if e.ID == "" { // the bus would make one up, another at each attempt
		r.fault = autobus.NewError(autobus.ReasonEventInvalid, "the row has an empty id")
	}
	if size > autobus.MaxEventBytes {
		r.fault = autobus.NewError(autobus.ReasonEventTooLarge, "the data has %d bytes, at most %d are allowed", size,
			autobus.MaxEventBytes)
	}
	return r, nil
}

func deref(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// setAttributes reads the column attributes: an object whose values are text, numbers or booleans.
func setAttributes(e *autobus.Event, object *string) *autobus.Error {
	if object == nil {
		return nil
	}
	d := json.NewDecoder(bytes.NewReader([]byte(*object)))
	d.UseNumber()
	var all map[string]any
	if err := d.Decode(&all); err != nil {
		return autobus.NewError(autobus.ReasonEventInvalid, "the column attributes is no JSON object")
	}
	for _, name := range slices.Sorted(maps.Keys(all)) {
		switch v := all[name].(type) {
		case string:
			if name == "dataschema" {
				e.DataSchema = v
			} else {
				e.SetExt(name, v)
			}
		case json.Number, bool:
			e.SetExt(name, fmt.Sprint(v))
		case nil: // absent
		default:
			return autobus.NewError(autobus.ReasonEventInvalid, "the attribute %q is neither text, number nor boolean", name)
		}
	}
	return nil
}

// verdict is what became of a row that was not written.
type verdict struct {
	row     *row
	refused bool // for good
	first   bool // of those that failed alike
	reason  autobus.Reason
	detail  string
}

// settle writes down what became of a batch, in one transaction: rows of written events are marked or deleted, those
// refused set aside, and those that wait say why.
func (s *session) settle(ctx context.Context, written []int64, others []verdict, remove bool) error {
	ctx, cancel := context.WithTimeout(ctx, databaseTime)
	defer cancel()
	var b pgx.Batch
	if len(written) > 0 && remove {
		b.Queue("DELETE FROM "+s.table+" WHERE seq = ANY ($1)", written)
	} else if len(written) > 0 {
		b.Queue("UPDATE "+s.table+" SET sent_at = clock_timestamp(), reason = NULL, detail = NULL WHERE seq = ANY ($1)",
			written)
	}
	if len(others) > 0 {
		var seqs []int64
		var refused []bool
		var reasons, details []string
		for _, v := range others {
			seqs, refused = append(seqs, v.row.seq), append(refused, v.refused)
			reasons, details = append(reasons, string(v.reason)), append(details, v.detail)
		}
		b.Queue("UPDATE "+s.table+` t SET reason = v.reason, detail = v.detail,
			refused_at = CASE WHEN v.refused THEN clock_timestamp() END
			FROM unnest($1::bigint[], $2::bool[], $3::text[], $4::text[]) AS v(seq, refused, reason, detail)
			WHERE t.seq = v.seq AND t.sent_at IS NULL AND (v.refused OR t.reason IS DISTINCT FROM v.reason)`,
			seqs, refused, reasons, details)
	}
	if b.Len() == 0 {
		return nil
	}
	return databaseError(s.conn.SendBatch(ctx, &b).Close())
}

// cleanPage is how many rows one step of cleaning looks at.
const cleanPage = 2000

// clean deletes rows that were sent longer ago than keep, among the oldest behind from. It gives where to go on, or 0
// when there is nothing older left.
func (s *session) clean(ctx context.Context, from int64, keep time.Duration) (next, deleted int64, err error) {
	ctx, cancel := context.WithTimeout(ctx, databaseTime)
	defer cancel()
	var last *int64
	var young *bool
	var seen int64
	err = s.conn.QueryRow(ctx, `WITH
		page AS (SELECT seq, sent_at FROM `+s.table+` WHERE seq > $1 ORDER BY seq LIMIT $2),
		gone AS (DELETE FROM `+s.table+` t USING page
			WHERE t.seq = page.seq AND page.sent_at < clock_timestamp() - $3::interval RETURNING 1)
		SELECT (SELECT count(*) FROM gone), count(*), max(seq), bool_or(sent_at >= clock_timestamp() - $3::interval)
		FROM page`,
		from, cleanPage, keep).Scan(&deleted, &seen, &last, &young)
	if err != nil {
		return 0, 0, databaseError(err)
	}
	if seen < cleanPage || young != nil && *young {
		return 0, deleted, nil
	}
	return *last, deleted, nil
}

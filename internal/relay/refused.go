// SPDX-License-Identifier: Apache-2.0

package relay

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/autobus-io/autobus"
)

// Refused is a row that was set aside.
type Refused struct {
	Seq     int64
	ID      string
	Type    string
	Key     *string
	Reason  autobus.Reason
	Detail  string
	Refused time.Time
	Held    int64 // rows that wait behind it
}

// Pick says which refused rows are meant: those of the numbers, or those of the reason and type where they are not
// empty. The zero value means all.
type Pick struct {
	Seqs   []int64
	Reason string
	Type   string
	Limit  int // at most; 0 = all
}

const picked = ` refused_at IS NOT NULL AND ($1::bigint[] IS NULL OR seq = ANY ($1)) AND ($2 = '' OR reason = $2)
	AND ($3 = '' OR type = $3)`

// Refused lists refused rows, oldest first.
func (t *Table) Refused(ctx context.Context, p Pick) ([]Refused, error) {
	limit := p.Limit
	if limit == 0 {
		limit = maxCounted
	}
	rows, err := t.s.conn.Query(ctx, `SELECT seq, id, type, key, coalesce(reason, ''), coalesce(detail, ''), refused_at,
		(SELECT count(*) FROM `+t.s.table+` w WHERE w.sent_at IS NULL AND w.refused_at IS NULL AND w.type = o.type
			AND w.key = o.key AND w.seq > o.seq)
		FROM `+t.s.table+` o WHERE`+picked+` ORDER BY seq LIMIT $4`, p.Seqs, p.Reason, p.Type, limit)
	if err != nil {
		return nil, databaseError(err)
	}
	out, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Refused])
	return out, databaseError(err)
}

// Retry lets the relay try refused rows again, in their old places. It gives how many there were.
func (t *Table) Retry(ctx context.Context, p Pick) (int64, error) {
	tag, err := t.s.conn.Exec(ctx, `UPDATE `+t.s.table+` SET refused_at = NULL, reason = NULL, detail = NULL WHERE`+picked,
		p.Seqs, p.Reason, p.Type)
	if err != nil {
		return 0, databaseError(err)
	}
	return tag.RowsAffected(), t.wake(ctx)
}

// Drop deletes refused rows: their events never reach the bus, and what waits behind them goes on. It gives how many
// there were.
func (t *Table) Drop(ctx context.Context, p Pick) (int64, error) {
	tag, err := t.s.conn.Exec(ctx, `DELETE FROM `+t.s.table+` WHERE`+picked, p.Seqs, p.Reason, p.Type)
	if err != nil {
		return 0, databaseError(err)
	}
	return tag.RowsAffected(), t.wake(ctx)
}

// wake has the relay look now.
func (t *Table) wake(ctx context.Context) error {
	_, err := t.s.exec(ctx, "SELECT pg_notify('autobus_outbox', '')")
	return err
}

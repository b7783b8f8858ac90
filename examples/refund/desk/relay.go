// SPDX-License-Identifier: Apache-2.0

package desk

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"time"

	"github.com/autobus-io/autobus"
)

const (
	relayRows  = 100         // at a time
	relayPause = time.Second // after what failed
)

// Relay publishes the rows of the outbox until ctx ends. Rows of one key are published in their order. A row whose
// outcome is not known, or that could not be marked because the process died, is published again, under the same id:
// the bus recognizes it as far back as it remembers, its readers always do.
func (d *Desk) Relay(ctx context.Context) {
	d.wake() // for what a predecessor left
	for {
		select {
		case <-ctx.Done():
			return
		case <-d.more:
		}
		more, err := d.relay(ctx)
		if err != nil && ctx.Err() == nil {
			slog.WarnContext(ctx, "the outbox waits", "error", err)
			time.AfterFunc(relayPause, d.wake)
		}
		if more && err == nil {
			d.wake()
		}
	}
}

// relay publishes the oldest rows and marks those that are written. more = there may be others.
func (d *Desk) relay(ctx context.Context) (more bool, err error) {
	seqs, events, err := d.pending(ctx)
	if err != nil || len(events) == 0 {
		return false, err
	}
	b := autobus.Batch{Mode: autobus.Ordered, Events: events} // what fails holds back later events of its key
	if err := d.Bus.Publish(ctx, &b); err != nil {
		return false, err
	}
	receipts := b.Wait(ctx)
	d.pause(ctx)
	var failed error
	err = d.Change(context.WithoutCancel(ctx), func(tx *Tx) error {
		for i, r := range receipts {
			if err := r.AsError(); err != nil {
				failed = err
				continue
			}
			if _, err := tx.Do(`UPDATE outbox SET written = 1 WHERE seq = ?`, seqs[i]); err != nil {
				return err
			}
		}
		return nil
	})
	return len(events) == relayRows, errors.Join(err, failed)
}

func (d *Desk) pending(ctx context.Context) (seqs []int64, events []autobus.Event, err error) {
	rows, err := d.DB.QueryContext(ctx,
		`SELECT seq, id, type, data, extensions FROM outbox WHERE written = 0 ORDER BY seq LIMIT ?`, relayRows)
	if err != nil {
		return nil, nil, err
	}
	defer func() { _ = rows.Close() }() // it failed before where it fails
	for rows.Next() {
		var seq int64
		var e autobus.Event
		var extensions string
		if err := rows.Scan(&seq, &e.ID, &e.Type, &e.Data, &extensions); err != nil {
			return nil, nil, err
		}
		if err := json.Unmarshal([]byte(extensions), &e.Extensions); err != nil {
			return nil, nil, err
		}
		seqs, events = append(seqs, seq), append(events, e)
	}
	return seqs, events, rows.Err()
}

func (d *Desk) wake() {
	select {
	case d.more <- struct{}{}:
	default:
	}
}

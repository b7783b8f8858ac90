// SPDX-License-Identifier: Apache-2.0

package delay

import (
	"context"

	"github.com/autobus-io/autobus/internal/kafka"
)

// Each shows the records that are being kept, in no order, as long as f wants more. One that hops meanwhile may be
// shown twice. It reads all that is kept.
func (k *Keeper) Each(ctx context.Context, f func(Entry) bool) error {
	if k.topics.Load() == nil {
		if t, err := k.look(ctx); err != nil || t == nil {
			return err
		}
	}
	var names []string
	for _, t := range k.cfg.tiers() {
		names = append(names, t.topic)
	}
	commits, err := k.cfg.Log.Committed(ctx, k.cfg.Name)
	if err != nil {
		return err
	}
	bounds, err := k.cfg.Log.Bounds(ctx, names...)
	if err != nil {
		return err
	}
	from, last, done := map[kafka.TP]int64{}, map[kafka.TP]int64{}, map[kafka.TP]marks{}
	for tp, b := range bounds {
		at := marks{base: b.First}
		if c, ok := commits[tp]; ok && c.Offset <= b.End && c.Offset >= b.First {
			at, _ = decodeMarks(c.Offset, c.Metadata)
		}
		if at.base < b.End {
			from[tp], last[tp], done[tp] = at.base, b.End-1, at
		}
	}
	if len(from) == 0 {
		return nil
	}
	reader, err := k.cfg.Log.Follow(from)
	if err != nil {
		return err
	}
	defer reader.Close()
	for len(last) > 0 {
		records, err := reader.Poll(ctx)
		if err != nil {
			return err
		}
		for i := range records {
			r := &records[i]
			end, reading := last[r.TP]
			if !reading {
				continue
			}
			at := done[r.TP]
			if r.Offset <= end && !at.has(r.Offset) {
				if e, ours, err := parse(r); ours && err == nil && !f(e) {
					return nil
				}
			}
			if r.Offset >= end {
				delete(last, r.TP)
			}
		}
	}
	return nil
}

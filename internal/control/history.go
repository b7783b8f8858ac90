// SPDX-License-Identifier: Apache-2.0

package control

import (
	"context"

	"github.com/autobus-io/autobus/internal/kafka"
)

// History returns every record that a thing was after the one at an offset, None for all, removals included, the oldest
// first. It reads the log again, as far as it has been applied here, so it is for what people do, not for what events
// do.
func (l *Log) History(ctx context.Context, kind, name string, after int64) ([]Record, error) {
	if r, _ := l.Get(kind, name); r.Offset <= after {
		return nil, nil
	}
	end := l.End()
	reader, err := l.log.Follow(map[kafka.TP]int64{partition: after + 1})
	if err != nil {
		return nil, err
	}
	defer reader.Close()
	var out []Record
	current := after
	for next := after + 1; next < end; {
		records, err := reader.Poll(ctx)
		if err != nil {
			return nil, err
		}
		for _, raw := range records {
			if next = raw.Offset + 1; raw.Marker || raw.Offset >= end {
				continue
			}
			r, _, err := decode(raw.Offset, raw.Value)
			if err != nil || r.Kind != kind || r.Name != name || r.Prev != current {
				continue // it did not count: see applyRecord
			}
			current = r.Offset
			out = append(out, r)
		}
	}
	return out, nil
}

// SPDX-License-Identifier: Apache-2.0

package kafka

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
)

// Starts returns the first offset that each partition of the topics still has.
func (l *Log) Starts(ctx context.Context, topics ...string) (map[TP]int64, error) {
	return l.listed(l.admin.ListStartOffsets(ctx, topics...))
}

// Ends returns the offset that the next record of each partition will get. Everything acknowledged before the call
// lies below it.
func (l *Log) Ends(ctx context.Context, topics ...string) (map[TP]int64, error) {
	return l.listed(l.admin.ListEndOffsets(ctx, topics...))
}

// At returns for each partition the offset of the first record whose timestamp is not before t, or its end.
func (l *Log) At(ctx context.Context, t time.Time, topics ...string) (map[TP]int64, error) {
	return l.listed(l.admin.ListOffsetsAfterMilli(ctx, t.UnixMilli(), topics...))
}

// listed takes the whole answer or none: a start position guessed for one partition would lose its events.
func (l *Log) listed(offsets kadm.ListedOffsets, err error) (map[TP]int64, error) {
	var missing error
	out := map[TP]int64{}
	offsets.Each(func(o kadm.ListedOffset) {
		switch {
		case errors.Is(o.Err, kerr.UnknownTopicOrPartition):
		case o.Err != nil:
			missing = fmt.Errorf("offsets of partition %d of %s: %w", o.Partition, o.Topic, o.Err)
		default:
			out[TP{o.Topic, o.Partition}] = o.Offset
		}
	})
	if missing == nil {
		missing = err
	}
	if missing != nil {
		return nil, unreachable(l.cfg, missing)
	}
	return out, nil
}

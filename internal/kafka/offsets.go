// SPDX-License-Identifier: Apache-2.0

package kafka

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
)

// Starts returns the first offset that each partition of the topics still has. Topics that do not exist, or that the
// bus has no right to look at, are absent, here and below.
func (l *Log) Starts(ctx context.Context, topics ...string) (map[TP]int64, error) {
	return l.list(ctx, l.admin.ListStartOffsets, topics...)
}

// Ends returns the offset that the next record of each partition will get. Everything acknowledged before the call
// lies below it.
func (l *Log) Ends(ctx context.Context, topics ...string) (map[TP]int64, error) {
	return l.list(ctx, l.admin.ListEndOffsets, topics...)
}

// At returns for each partition the offset of the first record whose timestamp is not before t, or its end.
func (l *Log) At(ctx context.Context, t time.Time, topics ...string) (map[TP]int64, error) {
	return l.list(ctx, func(ctx context.Context, topics ...string) (kadm.ListedOffsets, error) {
		return l.admin.ListOffsetsAfterMilli(ctx, t.UnixMilli(), topics...)
	}, topics...)
}

// list asks for offsets. The client answers for all topics or for none when a right is missing for one, so then they
// are asked for one by one.
func (l *Log) list(ctx context.Context, ask func(context.Context, ...string) (kadm.ListedOffsets, error),
	topics ...string) (map[TP]int64, error) {
	offsets, err := untilLed(ctx, func() (kadm.ListedOffsets, error) { return ask(ctx, topics...) })
	if _, denied := errors.AsType[*kadm.AuthError](err); !denied {
		return l.listed(offsets, err)
	}
	out := map[TP]int64{}
	if len(topics) == 1 {
		return out, nil
	}
	for _, topic := range topics {
		some, err := l.list(ctx, ask, topic)
		if err != nil {
			return nil, err
		}
		maps.Copy(out, some)
	}
	return out, nil
}

// Bounds are the first offset of a partition and the one that its next record will get.
type Bounds struct{ First, End int64 }

// Bounds returns those of the partitions that answer; others, such as one without a leader, are absent. It fails when
// none does.
func (l *Log) Bounds(ctx context.Context, topics ...string) (map[TP]Bounds, error) {
	starts, err := untilLed(ctx, func() (kadm.ListedOffsets, error) {
		return l.admin.ListStartOffsets(ctx, topics...)
	})
	if !ofSome(err) {
		return nil, unreachable(l.cfg, err)
	}
	ends, err := untilLed(ctx, func() (kadm.ListedOffsets, error) {
		return l.admin.ListEndOffsets(ctx, topics...)
	})
	if !ofSome(err) {
		return nil, unreachable(l.cfg, err)
	}
	return bounds(starts, ends), nil
}

// ofSome reports whether there is no error, or one of a part of the partitions.
func ofSome(err error) bool {
	shards, ok := errors.AsType[*kadm.ShardErrors](err)
	return err == nil || ok && !shards.AllFailed
}

func bounds(starts, ends kadm.ListedOffsets) map[TP]Bounds {
	out := map[TP]Bounds{}
	starts.Each(func(s kadm.ListedOffset) {
		if e, ok := ends.Lookup(s.Topic, s.Partition); ok && s.Err == nil && e.Err == nil {
			out[TP{s.Topic, s.Partition}] = Bounds{s.Offset, e.Offset}
		}
	})
	return out
}

// listed takes the whole answer or none: a start position guessed for one partition would lose its events.
func (l *Log) listed(offsets kadm.ListedOffsets, err error) (map[TP]int64, error) {
	var missing error
	out := map[TP]int64{}
	offsets.Each(func(o kadm.ListedOffset) {
		switch {
		case errors.Is(o.Err, kerr.UnknownTopicOrPartition), errors.Is(o.Err, kerr.UnknownTopicID),
			errors.Is(o.Err, kerr.InvalidTopicException), errors.Is(o.Err, kerr.TopicAuthorizationFailed):
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

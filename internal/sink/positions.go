// SPDX-License-Identifier: Apache-2.0

package sink

import (
	"context"
	"encoding/hex"
	"errors"
	"time"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/kafka"
)

// errGrown says that a topic has more partitions than are read, so that reading begins anew.
var errGrown = errors.New("a topic has more partitions now")

// grown reports whether there are partitions that are not read yet. Whether a cluster is away, the reader tells.
func (r *Runner) grown(ctx context.Context, next map[TP]int64) bool {
	topics, err := r.cfg.Log.Topics(ctx, r.cfg.Plan.Topics()...)
	if err != nil {
		return false
	}
	for _, tp := range partitions(r.cfg.Plan, topics) {
		if _, read := next[tp]; !read {
			r.cfg.Logger.Info("a topic has more partitions now", "topic", tp.Topic, "partitions", topics[tp.Topic].Partitions)
			return true
		}
	}
	return false
}

// partitions are those of the plan, and those that the topics got since it was made.
func partitions(p *Plan, topics map[string]kafka.Topic) []TP {
	out := p.TPs()
	for _, s := range p.Sources {
		for n := s.Partitions; n < topics[s.Topic].Partitions; n++ {
			out = append(out, TP{Topic: s.Topic, Partition: n})
		}
	}
	return out
}

// oldest is when the oldest of rows was written to the log.
func oldest(rows []Row) time.Time {
	t := rows[0].Record.Time
	for i := range rows {
		if rows[i].Record.Time.Before(t) {
			t = rows[i].Record.Time
		}
	}
	return t
}

// positions decides where each partition goes on: where the database says, for new ones where the file says. at is what
// the database says, which is less than from where a gap is accepted.
func (r *Runner) positions(ctx context.Context, have map[TP]Position) (begin map[TP]Position, from, at map[TP]int64,
	err error,
) {
	topics, err := r.cfg.Log.Topics(ctx, r.cfg.Plan.Topics()...)
	if err != nil {
		return nil, nil, nil, err
	}
	bounds, err := r.cfg.Log.Bounds(ctx, r.cfg.Plan.Topics()...)
	if err != nil {
		return nil, nil, nil, err
	}
	begin, from, at = map[TP]Position{}, map[TP]int64{}, map[TP]int64{}
	planned := map[string]int32{}
	for _, s := range r.cfg.Plan.Sources {
		planned[s.Topic] = s.Partitions
	}
	began := map[string]bool{} // topics that the sink has read before
	for tp := range have {
		began[tp.Topic] = true
	}
	for _, tp := range partitions(r.cfg.Plan, topics) {
		t, ok := topics[tp.Topic]
		b, led := bounds[tp]
		if grew := tp.Partition >= planned[tp.Topic]; grew && !led {
			continue // it is quite new, and found again at the next look
		}
		if !ok || t.Err != nil || !led {
			return nil, nil, nil, autobus.NewError(autobus.ReasonClusterUnreachable, "partition %d of topic %s does not answer",
				tp.Partition, tp.Topic)
		}
		id := hex.EncodeToString(t.ID[:])
		p, known := have[tp]
		switch {
		case !known:
			from[tp] = b.First
			// All that a partition holds came after the sink began, where the topic got it later.
			if r.cfg.Plan.File.Start == StartLatest && !began[tp.Topic] {
				from[tp] = b.End
			}
			begin[tp], at[tp] = Position{TopicID: id, Next: from[tp]}, from[tp]
			continue
		case p.TopicID != id:
			return nil, nil, nil, autobus.NewError(autobus.ReasonPositionLost,
				"topic %s was deleted and made again: offset %d of "+
					"partition %d is another place now", tp.Topic, p.Next, tp.Partition).
				WithHint("Run autobus sink rebuild: it fills the table from what the topic holds now.")
		case p.Next < b.First && !r.cfg.AcceptGap:
			return nil, nil, nil, gap(tp, p.Next, b.First)
		case p.Next > b.End:
			return nil, nil, nil, autobus.NewError(autobus.ReasonPositionLost,
				"partition %d of %s ends at %d, but %d offsets were "+
					"written already: the log was cut", tp.Partition, tp.Topic, b.End, p.Next).
				WithHint("Look what happened to the cluster, then run autobus sink rebuild.")
		}
		at[tp] = p.Next
		if from[tp] = p.Next; p.Next < b.First {
			r.cfg.Logger.Warn("events were deleted before they were written", "topic", tp.Topic, "partition", tp.Partition,
				"from", p.Next, "to", b.First)
			from[tp] = b.First
		}
	}
	return begin, from, at, nil
}

func gap(tp TP, next, first int64) error {
	return autobus.NewError(autobus.ReasonPositionLost,
		"retention deleted %d events of partition %d of %s, offsets %d to %d, "+
			"before they were written", first-next, tp.Partition, tp.Topic, next, first-1).
		WithHint("Go on without them by --accept-gap, or run autobus sink rebuild; raise the type's retention.")
}

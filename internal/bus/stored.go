// SPDX-License-Identifier: Apache-2.0

package bus

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/control"
	"github.com/autobus-io/autobus/internal/kafka"
	"github.com/autobus-io/autobus/internal/ledger"
)

// bounds is what a partition's log has now: [first, end).
type bounds struct{ first, end int64 }

// bounds asks the brokers about all partitions of topics.
func (b *Bus) bounds(ctx context.Context, topics map[string]string) (map[kafka.TP]bounds, error) {
	names := slices.Sorted(maps.Keys(topics))
	starts, err := b.cfg.Log.Starts(ctx, names...)
	if err != nil {
		return nil, err
	}
	ends, err := b.cfg.Log.Ends(ctx, names...)
	if err != nil {
		return nil, err
	}
	out := make(map[kafka.TP]bounds, len(ends))
	for tp, end := range ends {
		if first, ok := starts[tp]; ok {
			out[tp] = bounds{first, end}
		}
	}
	return out, nil
}

// topicsOf gives the topics of all types that match, each with its type.
func (b *Bus) topicsOf(patterns []string) map[string]string {
	table, _ := b.routes.all()
	out := map[string]string{}
	for name, r := range table {
		if r.Topic != "" && slices.ContainsFunc(patterns, func(p string) bool { return autobus.MatchType(p, name) }) {
			out[r.Topic] = name
		}
	}
	return out
}

// storedPosition is what is known of a subscription in a partition.
type storedPosition struct {
	ledger.Position
	incarnation uint32  // the highest ever
	newer       bool    // something is of a newer build: not to be guessed at
	doubts      []error // what could not be read
}

// stored is the rule of where a subscription stands: the greatest of the commit, its copy in the state log (Kafka
// forgets the commits of groups that are idle for long) and the subscription's own record. The first two count only if
// they were made under the seek epoch in force and can be read: then events come again, none is skipped.
func (b *Bus) stored(name string, v control.Subscription, tp kafka.TP, commit kafka.Commit, log bounds) storedPosition {
	at, recorded := v.Positions[tp.Topic][tp.Partition]
	out := storedPosition{Position: ledger.Position{Base: at, SeekEpoch: v.SeekEpoch}}
	doubt := func(err error) { out.doubts = append(out.doubts, err) }
	if commit.Offset >= 0 {
		pos, err := ledger.Decode(commit.Offset, commit.Metadata)
		if err == nil && pos.SeekEpoch == v.SeekEpoch && pos.End() > log.end {
			err = fmt.Errorf("%w: it knows of offsets that the log does not have", ledger.ErrDoubt)
		}
		switch {
		case err != nil:
			out.newer = errors.Is(err, ledger.ErrVersion)
			doubt(err)
		case pos.SeekEpoch == v.SeekEpoch && pos.Base >= out.Base:
			out.Position, recorded = pos, true
		}
		out.incarnation = pos.Incarnation
	}
	saved, ok, err := b.cfg.State.Position(name, tp.Topic, tp.Partition)
	if err != nil {
		out.newer = true
		doubt(err)
	}
	if ok {
		out.incarnation = max(out.incarnation, saved.Incarnation)
		if saved.SeekEpoch == v.SeekEpoch && saved.Offset > out.Base {
			out.Base, recorded = saved.Offset, true
		}
	}
	if !recorded {
		out.Base = max(out.Base, log.first) // nothing was promised of a topic that came later
	}
	return out
}

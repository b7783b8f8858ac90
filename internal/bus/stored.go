// SPDX-License-Identifier: Apache-2.0

package bus

import (
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/control"
	"github.com/autobus-io/autobus/internal/kafka"
	"github.com/autobus-io/autobus/internal/ledger"
)

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
	remade      bool    // the topic was deleted and made again: what is known is of another one
	doubts      []error // what could not be read
}

// stored is the rule of where a subscription stands: the greatest of the commit, its copy in the state log (Kafka
// forgets the commits of groups that are idle for long) and the subscription's own record. The first two count only if
// they were made under the seek epoch in force and can be read: then events come again, none is skipped.
func (b *Bus) stored(name string, v control.Subscription, tp kafka.TP, commit kafka.Commit, log kafka.Bounds) (
	out storedPosition) {
	at, recorded := v.Positions[tp.Topic][tp.Partition]
	epoch := v.Epoch(tp.Topic, tp.Partition)
	out.Position = ledger.Position{Base: at, SeekEpoch: epoch}
	id := hexID(commit.TopicID)
	out.remade = otherTopic(v.TopicIDs[tp.Topic], id)
	doubt := func(err error) { out.doubts = append(out.doubts, err) }
	if commit.Offset >= 0 {
		pos, err := ledger.Decode(commit.Offset, commit.Metadata)
		if err == nil && pos.SeekEpoch == epoch && pos.End() > log.End {
			err = fmt.Errorf("%w: it knows of offsets that the log does not have", ledger.ErrDoubt)
		}
		switch {
		case err != nil:
			out.newer = errors.Is(err, ledger.ErrVersion)
			doubt(err)
		case pos.SeekEpoch == epoch && pos.Base >= out.Base:
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
		if saved.SeekEpoch == epoch {
			out.remade = out.remade || otherTopic(saved.TopicID, id)
			if saved.Offset > out.Base {
				out.Base, recorded = saved.Offset, true
			}
		}
	}
	if !recorded {
		out.Base = max(out.Base, log.First) // nothing was promised of a topic that came later
	}
	return out
}

// lost reports whether reading cannot go on where the subscription stands: the place is gone, or it is one of another
// topic of the same name.
func (s *storedPosition) lost(log kafka.Bounds) bool {
	return s.remade || s.Base < log.First || s.Base > log.End
}

// everywhere are the bounds of a partition that does not tell them now: nothing is held against them. What is wrong
// with the position then shows when it is read.
var everywhere = kafka.Bounds{First: 0, End: math.MaxInt64}

// otherTopic reports whether two ids of a topic, as far as they are known, are different ones.
func otherTopic(then, now string) bool { return then != "" && now != "" && then != now }

// hexID writes a topic's id as it is stored; the empty text is none.
func hexID(id [16]byte) string {
	if id == [16]byte{} {
		return ""
	}
	return hex.EncodeToString(id[:])
}

// SPDX-License-Identifier: Apache-2.0

package kafka

import (
	"context"
	"maps"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// seekEvery is how often the client is asked again while it has not taken over a partition that it was just given.
const seekEvery = 10 * time.Millisecond

// Seek goes on with held partitions elsewhere, also with those that are paused: what Poll returns from then on is from
// there. Only who polls may call it, between two polls, when what the last one returned is out of its hands. It waits
// for partitions that are just being assigned; those that are not held are passed over.
func (m *Member) Seek(ctx context.Context, at map[TP]int64) {
	left := maps.Clone(at)
	m.mu.Lock()
	m.given = map[TP]struct{}{} // else an assignment would wait for the next Poll, and this for the assignment
	m.tell()
	m.mu.Unlock()
	for {
		m.mu.Lock()
		maps.DeleteFunc(left, func(tp TP, _ int64) bool { return m.held[tp] == nil })
		for tp, offset := range left {
			m.sought[tp] = &seek{at: offset}
		}
		m.mu.Unlock()
		if len(left) == 0 {
			return
		}
		m.setOffsets(left)
		taken := m.client.CommittedOffsets() // which here are no more than what was set
		maps.DeleteFunc(left, func(tp TP, offset int64) bool {
			was, ok := taken[tp.Topic][tp.Partition]
			return ok && was.Offset == offset
		})
		if len(left) == 0 {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-m.staying.Done():
			return
		case <-time.After(seekEvery):
		}
	}
}

func (m *Member) setOffsets(at map[TP]int64) {
	set := map[string]map[int32]kgo.EpochOffset{}
	for tp, offset := range at {
		if set[tp.Topic] == nil {
			set[tp.Topic] = map[int32]kgo.EpochOffset{}
		}
		set[tp.Topic][tp.Partition] = kgo.EpochOffset{Epoch: -1, Offset: offset}
		m.Resume(tp)
	}
	m.client.SetOffsets(set)
}

// seek is a place from which nothing came yet.
type seek struct {
	at      int64
	strayed bool // what came is from elsewhere
	again   bool // so it was asked for once more
}

// astray reports whether the first records after a Seek are others than they should be. The client passes over what it
// is told of a partition whose place it is still looking up, without a word. A log with holes looks the same, so they
// are dropped and asked for once more, which by then it takes. It is called with m.mu.
func (m *Member) astray(tp TP, records []*kgo.Record) bool {
	s := m.sought[tp]
	switch {
	case s == nil, len(records) == 0:
		return false
	case s.again, records[0].Offset == s.at:
		delete(m.sought, tp)
		return false
	}
	s.strayed = true
	return true
}

// seekAgain asks once more for what came from elsewhere.
func (m *Member) seekAgain() {
	m.mu.Lock()
	again := map[TP]int64{}
	for tp, s := range m.sought {
		if s.strayed && !s.again {
			s.again = true
			again[tp] = s.at
		}
	}
	m.mu.Unlock()
	if len(again) > 0 {
		m.setOffsets(again)
	}
}

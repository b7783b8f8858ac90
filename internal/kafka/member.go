// SPDX-License-Identifier: Apache-2.0

package kafka

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Member is a member of a consumer group. One goroutine polls; everything else is safe for concurrent use.
//
// A partition goes through: assigned (the group gave it), started (Start answered), gone (Revoked or Lost returned).
// Poll returns records of started partitions only, from the offset that Start gave, in order.
//
// A partition can go at any moment, also right after Poll returned records of it: they stay with the caller, who drops
// what it does not hold any more. When such a partition comes back, its Start waits until Poll is called again. So
// what Poll returned before Start belongs to the assignment before, and what it returns afterwards to the new one.
type Member struct {
	log    *Log
	group  Group
	times  Times
	client *kgo.Client
	logger *slog.Logger

	life    context.Context // of the client; its end cuts everything short
	kill    context.CancelFunc
	staying context.Context // until Leave
	leave   context.CancelFunc

	// Tokens: who has one may call the group's functions, or commit. They are no mutexes because who waits for one waits
	// for what the network does, which in a test in fake time has to look like waiting.
	callbacks, turn chan struct{}

	mu      sync.Mutex
	held    map[TP]*holding
	given   map[TP]struct{} // what the last Poll returned records of
	polls   int             // how often Poll asked the client
	polling bool
	wake    context.CancelFunc // ends the asking under way
	moved   chan struct{}      // closed and replaced when polls, polling or given change
	fenced  bool               // the group threw this member out while it was joining again
	sought  map[TP]*seek       // what Seek asked for and nothing came of yet
}

// holding is one assignment of a partition. Another one of the same partition is another holding.
type holding struct {
	member  string   // id under which the partition was assigned
	topic   [16]byte // id of the topic whose offsets these are
	started bool
}

func newMember(l *Log, g Group, t Times) *Member {
	m := &Member{log: l, group: g, times: t, logger: l.logger.With("group", g.ID), turn: make(chan struct{}, 1),
		callbacks: make(chan struct{}, 1), held: map[TP]*holding{}, sought: map[TP]*seek{}, moved: make(chan struct{}),
		wake: func() {}}
	m.life, m.kill = context.WithCancel(context.Background())
	m.staying, m.leave = context.WithCancel(m.life)
	return m
}

// PartitionFault says that a partition cannot be read on. It stands, as if paused, and the others go on; Resume tries
// it again. ReasonPositionLost is the usual one: either retention overtook the reader, and First is the first offset
// that the log still has (-1 = it could not be found out), or the brokers lost records, and what Resume reads are other
// records at offsets that were read before. A topic that cannot be read as a whole has Partition -1.
type PartitionFault struct {
	TP
	First int64
	Err   error
}

// Poll waits for records and returns them, with what is wrong with single partitions. The error is ctx's own; ErrLeft;
// or ErrFenced, when the member lost all it had in a way that it has to join anew: leave it then.
func (m *Member) Poll(ctx context.Context) ([]Record, []PartitionFault, error) {
	for {
		if err := ctx.Err(); err != nil {
			return nil, nil, err
		}
		asking, cancel := context.WithCancel(ctx)
		if err := m.ask(cancel); err != nil {
			cancel()
			return nil, nil, err
		}
		records, faults := m.take(m.client.PollRecords(asking, pollRecords))
		cancel()
		m.seekAgain()
		m.findFirst(ctx, faults)
		if len(records)+len(faults) > 0 { // also when ctx ended: the client does not return them twice
			return records, faults, nil
		}
	}
}

func (m *Member) ask(cancel context.CancelFunc) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case m.staying.Err() != nil:
		return ErrLeft
	case m.fenced:
		return ErrFenced
	}
	m.polls++
	m.polling, m.wake, m.given = true, cancel, map[TP]struct{}{}
	m.tell()
	return nil
}

// tell wakes who waits for the poller. It is called with m.mu.
func (m *Member) tell() {
	close(m.moved)
	m.moved = make(chan struct{})
}

// take keeps what belongs to started partitions. What was polled of one that went meanwhile is its next owner's.
func (m *Member) take(fetches kgo.Fetches) (records []Record, faults []PartitionFault) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.polling = false
	records = make([]Record, 0, fetches.NumRecords())
	fetches.EachPartition(func(p kgo.FetchTopicPartition) {
		tp := TP{p.Topic, p.Partition}
		whole := p.Topic != "" && p.Partition < 0
		if !whole && p.Topic != "" && !m.started(tp) {
			return
		}
		if m.astray(tp, p.Records) {
			return
		}
		for _, r := range p.Records {
			records = append(records, record(r))
		}
		if len(p.Records) > 0 {
			m.given[tp] = struct{}{}
		}
		switch {
		case p.Err == nil, errors.Is(p.Err, context.Canceled), errors.Is(p.Err, context.DeadlineExceeded),
			errors.Is(p.Err, kgo.ErrClientClosed):
		case p.Topic == "":
			m.logger.Warn("the group's member has trouble and goes on trying", "error", p.Err)
		default:
			faults = append(faults, PartitionFault{tp, -1, readError(kgo.FetchError{Topic: p.Topic,
				Partition: p.Partition, Err: p.Err})})
			if !whole {
				// The client would ask for it again at once, and fail again.
				m.client.PauseFetchPartitions(byTopic(tp))
			}
		}
	})
	m.tell()
	return records, faults
}

func (m *Member) started(tp TP) bool {
	h := m.held[tp]
	return h != nil && h.started
}

// findFirst completes faults of positions that are gone.
func (m *Member) findFirst(ctx context.Context, faults []PartitionFault) {
	for i := range faults {
		f := &faults[i]
		if !errors.Is(f.Err, kerr.OffsetOutOfRange) {
			continue
		}
		bounded, cancel := context.WithTimeout(ctx, connectTimeout)
		starts, err := m.log.Starts(bounded, f.Topic)
		cancel()
		if first, ok := starts[f.TP]; ok && err == nil {
			f.First = first
		}
	}
}

// Pause stops reading of partitions. What was read ahead is dropped and read again after Resume, so nothing is lost or
// reordered. A partition that is not held is passed over, and one that goes is no longer paused.
func (m *Member) Pause(tps ...TP) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, tp := range tps {
		if m.held[tp] != nil {
			m.client.PauseFetchPartitions(byTopic(tp))
		}
	}
}

// Resume goes on reading.
func (m *Member) Resume(tps ...TP) {
	if len(tps) > 0 {
		m.client.ResumeFetchPartitions(byTopic(tps...))
	}
}

// AddTopics reads further topics as well; they may not exist yet.
func (m *Member) AddTopics(topics ...string) { m.client.AddConsumeTopics(topics...) }

// Leave hands back what is held, by Revoked, leaves the group and closes the client. Poll ends at once. When ctx ends
// before all is done, the group will notice the absence by itself, after the session timeout. A second call does
// nothing.
func (m *Member) Leave(ctx context.Context) error {
	m.mu.Lock()
	again := m.staying.Err() != nil
	m.leave()
	m.wake()
	m.mu.Unlock()
	if again {
		return nil
	}
	// Before the client is told to leave, because from then on it sends no heartbeats.
	m.handBack(ctx, m.client, m.holds())
	// What still waits for a broker when the time is over ends there and then.
	release := context.AfterFunc(ctx, m.kill)
	defer release()
	err := m.client.LeaveGroupContext(ctx)
	m.client.Close()
	m.kill()
	m.turn <- struct{}{} // the last commit is settled; there will be no other
	<-m.turn
	switch {
	case err == nil, errors.Is(err, kerr.UnknownMemberID): // the brokers had removed it before
		return nil
	case ctx.Err() != nil:
		err = ctx.Err()
	}
	return fmt.Errorf("leave group %s: %w", m.group.ID, err)
}

func (m *Member) holds() []TP {
	m.mu.Lock()
	defer m.mu.Unlock()
	tps := make([]TP, 0, len(m.held))
	for tp := range m.held {
		tps = append(tps, tp)
	}
	return tps
}

func byTopic(tps ...TP) map[string][]int32 {
	out := map[string][]int32{}
	for _, tp := range tps {
		out[tp.Topic] = append(out[tp.Topic], tp.Partition)
	}
	return out
}

// SPDX-License-Identifier: Apache-2.0

package kafka

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// The client calls these from its own goroutines: onRevoked for what goes, onAssigned for what is new, then adjust for
// what is new and where it is to be read from, beside the heartbeats. An end of the session waits for adjust, after it
// ended adjust's context. The client may not have been returned yet by its constructor, so the callbacks use the one
// that they are given.

func (m *Member) onAssigned(_ context.Context, client *kgo.Client, added map[string][]int32) {
	id, _ := client.GroupMetadata()
	var lost []TP
	m.mu.Lock()
	for tp, h := range m.held {
		switch {
		case h.member == id:
		case h.started:
			lost = append(lost, tp)
		default:
			h.member = id
		}
	}
	for topic, partitions := range added {
		for _, p := range partitions {
			m.held[TP{topic, p}] = &holding{member: id}
		}
	}
	m.mu.Unlock()
	if len(lost) == 0 {
		return
	}
	// The group threw us out while we were joining again, and the client joined under another id without a word. It
	// goes on reading where it was, but meanwhile the partitions may have been somebody else's. Nothing in the client
	// makes it begin them anew, so the caller has to.
	m.takeAway(client, lost)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.fenced = true
	m.wake()
}

func (m *Member) onRevoked(ctx context.Context, client *kgo.Client, going map[string][]int32) {
	if len(going) > 0 { // the client also calls it at the end of a session in which nothing goes
		m.handBack(ctx, client, flat(going))
	}
}

func (m *Member) onLost(_ context.Context, client *kgo.Client, _ map[string][]int32) {
	m.takeAway(client, m.holds())
}

// handBack tells Revoked of partitions that go by agreement. Those that are held under another id than the member's
// were lost without notice.
func (m *Member) handBack(ctx context.Context, client *kgo.Client, tps []TP) {
	m.callbacks <- struct{}{}
	defer func() { <-m.callbacks }()
	id, _ := client.GroupMetadata()
	var going, lost []TP
	m.mu.Lock()
	for _, tp := range tps {
		switch h := m.held[tp]; {
		case h == nil || !h.started:
		case h.member == id:
			going = append(going, tp)
		default:
			lost = append(lost, tp)
		}
	}
	m.mu.Unlock()
	m.tellLost(client, lost)
	if len(going) > 0 && m.group.Revoked != nil {
		// A member that takes longer than the rebalance timeout is thrown out.
		bounded, cancel := context.WithTimeout(ctx, m.times.Rebalance*3/4)
		m.group.Revoked(bounded, going)
		cancel()
	}
	m.drop(client, tps)
}

// takeAway tells Lost of partitions that are gone already.
func (m *Member) takeAway(client *kgo.Client, tps []TP) {
	m.callbacks <- struct{}{}
	defer func() { <-m.callbacks }()
	var lost []TP
	m.mu.Lock()
	for _, tp := range tps {
		if m.started(tp) {
			lost = append(lost, tp)
		}
	}
	m.mu.Unlock()
	m.tellLost(client, lost)
	m.drop(client, tps)
}

// tellLost tells Lost, after the partitions are dropped: what waits to be committed ends there.
func (m *Member) tellLost(client *kgo.Client, tps []TP) {
	m.drop(client, tps)
	if len(tps) > 0 && m.group.Lost != nil {
		m.group.Lost(tps)
	}
}

// drop forgets partitions. They must not stay paused: the client would remember it if they came back.
func (m *Member) drop(client *kgo.Client, tps []TP) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, tp := range tps {
		delete(m.held, tp)
		delete(m.sought, tp)
	}
	if len(tps) > 0 {
		client.ResumeFetchPartitions(byTopic(tps...))
	}
}

// Pauses between two askings of Start.
const (
	startAgain    = 250 * time.Millisecond
	startAgainMax = 5 * time.Second
)

// adjust gives the client the offsets that Start says. It never answers with an error of its own: the client would
// give up everything that the member holds, and take a context's end for the wish to leave.
func (m *Member) adjust(ctx context.Context, _ map[string]map[int32]kgo.Offset) (
	map[string]map[int32]kgo.Offset, error,
) {
	working, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(m.staying, cancel)()
	tps := m.unstarted()
	if len(tps) == 0 {
		return nil, nil
	}
	if m.awaitPoller(working, tps) {
		for pause := startAgain; working.Err() == nil; pause = min(2*pause, startAgainMax) {
			from, err := m.start(working, tps)
			if err == nil {
				return offsets(from), nil
			}
			if working.Err() == nil {
				m.logger.Warn("where to begin is not known yet", "error", err)
			}
			select {
			case <-working.Done():
			case <-time.After(pause):
			}
		}
	}
	<-ctx.Done()
	return nil, ctx.Err()
}

// unstarted lists what was assigned and not started: what is new, and what an earlier session had no time for.
func (m *Member) unstarted() []TP {
	m.mu.Lock()
	defer m.mu.Unlock()
	var tps []TP
	for tp, h := range m.held {
		if !h.started {
			tps = append(tps, tp)
		}
	}
	return tps
}

// awaitPoller waits until records that the poller took under an earlier assignment of the partitions are out of its
// hands, and until it polled at all: by then the caller of Join has the member. False when ctx ended before.
func (m *Member) awaitPoller(ctx context.Context, tps []TP) bool {
	m.mu.Lock()
	since := m.polls
	m.wake() // what it gets from now on is new
	for {
		free := !m.fenced && (m.polls > since || m.polls > 0 && !m.polling && !m.gave(tps))
		moved := m.moved
		m.mu.Unlock()
		if free {
			return true
		}
		select {
		case <-ctx.Done():
			return false
		case <-moved:
		}
		m.mu.Lock()
	}
}

func (m *Member) gave(tps []TP) bool {
	return slices.ContainsFunc(tps, func(tp TP) bool { _, ok := m.given[tp]; return ok })
}

// start asks Start and lets the partitions begin.
func (m *Member) start(ctx context.Context, tps []TP) (map[TP]int64, error) {
	stored, err := fetchCommits(ctx, m.client, m.group.ID, tps)
	if err != nil {
		return nil, err
	}
	m.callbacks <- struct{}{}
	defer func() { <-m.callbacks }()
	commits := make(map[TP]Commit, len(tps))
	m.mu.Lock()
	for _, tp := range tps {
		s, ok := stored[tp]
		if h := m.held[tp]; ok && h != nil {
			h.topic = s.topic
			c := s.Commit
			c.TopicID = s.topic
			commits[tp] = c
		} else {
			m.logger.Warn("a topic that the group was given is gone", "topic", tp.Topic, "partition", tp.Partition)
		}
	}
	m.mu.Unlock()
	if len(commits) == 0 {
		return nil, nil
	}
	from, err := m.group.Start(ctx, commits)
	if err != nil {
		return nil, err
	}
	out := make(map[TP]int64, len(commits))
	for tp := range commits {
		at, ok := from[tp]
		if !ok || at < 0 {
			return nil, fmt.Errorf("no offset was given for partition %d of %s", tp.Partition, tp.Topic)
		}
		out[tp] = at
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for tp := range out {
		m.held[tp].started = true
	}
	return out, nil
}

func flat(byTopic map[string][]int32) []TP {
	var tps []TP
	for topic, partitions := range byTopic {
		for _, p := range partitions {
			tps = append(tps, TP{topic, p})
		}
	}
	return tps
}

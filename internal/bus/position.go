// SPDX-License-Identifier: Apache-2.0

package bus

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/control"
	"github.com/autobus-io/autobus/internal/kafka"
	"github.com/autobus-io/autobus/internal/ledger"
)

const (
	saveEvery   = time.Second
	saveTimeout = 5 * time.Second
	copyEvery   = time.Minute // of a base that moved
	readAgain   = time.Second // after the brokers gave an error for a partition
)

// assigned decides where reading begins. A position is the greatest of three: the commit, its copy in the state log
// (Kafka forgets the commits of groups that are idle for long), both only if made under the seek epoch in force, and
// the subscription's record. What cannot be read does not count: then events come again, none is skipped.
func (g *group) assigned(ctx context.Context, commits map[kafka.TP]kafka.Commit) (map[kafka.TP]int64, error) {
	// Who had a partition before may know of a move of it that was not yet heard of here.
	if err := g.bus.cfg.Control.Barrier(ctx); err != nil {
		return nil, err
	}
	if err := g.bus.cfg.State.Barrier(ctx); err != nil {
		return nil, err
	}
	topics := map[string]struct{}{}
	for tp := range commits {
		topics[tp.Topic] = struct{}{}
	}
	log, err := g.bus.cfg.Log.Bounds(ctx, slices.Collect(maps.Keys(topics))...)
	if err != nil {
		return nil, err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	from := map[kafka.TP]int64{}
	for tp, commit := range commits {
		if old := g.parts[tp]; old != nil {
			g.drop(old)
		}
		have, ok := log[tp]
		if !ok { // it has no leader, say; that must not keep the others from starting
			have = everywhere
		}
		p := g.begin(tp, commit, have, 0)
		from[tp] = p.ledger.Base()
		if p.lost != nil {
			g.tellLost(p)
		}
	}
	for s := range g.sessions {
		if len(s.links) > 0 { // its worker comes home
			s.call()
		}
	}
	g.saveNow() // opens them
	return from, nil
}

// begin makes the next incarnation of a partition. One that cannot go on (its position is lost, or a newer build wrote
// it) stands: it is never opened. Its number is above least.
func (g *group) begin(tp kafka.TP, commit kafka.Commit, log kafka.Bounds, least uint32) *partition {
	at := g.bus.stored(g.name, g.value, tp, commit, log)
	var newer error
	for _, err := range at.doubts {
		if at.newer {
			newer = err
		}
		g.bus.metrics.unreadable.Inc()
		g.bus.cfg.Logger.Error("stored position is not readable and does not count; events may come again",
			"subscription", g.name, "topic", tp.Topic, "partition", tp.Partition, "error", err)
	}
	incarnation := max(at.incarnation, least) + 1
	p := &partition{tp: tp, topicID: commit.TopicID, typ: g.topics[tp.Topic], incarnation: incarnation,
		epoch: at.SeekEpoch, nonce: newNonce(), stands: at.newer, newer: newer, skips: g.skipsOf(tp),
		ledger: ledger.Resume(at.Position, incarnation), position: at.Position,
		slots: map[int64]*slot{}, lanes: map[string][]*slot{}, lives: map[int64]int64{}, copied: -1}
	if !p.stands && at.lost(log) {
		p.stands = true
		p.lost = &autobus.PositionLost{Type: p.typ, Partition: tp.Partition, From: at.Base, To: log.First}
	}
	g.parts[tp] = p
	g.bus.leases.add(g, p)
	return p
}

// save commits what changed, every second and when somebody waits for it.
func (g *group) save(ctx context.Context, m *kafka.Member) {
	tick := time.NewTicker(saveEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			g.relieveAll()
		case <-g.commit:
		}
		bounded, cancel := context.WithTimeout(ctx, saveTimeout)
		g.mendGrave(bounded)
		err := g.saveParts(bounded, m, g.dirty())
		g.noteCommit(err)
		g.saveReplays(bounded, m, g.sideParts())
		if err != nil && ctx.Err() == nil {
			g.bus.metrics.commitErrors.Inc()
			g.bus.cfg.Logger.Warn("commit positions", "subscription", g.name, "error", err)
		}
		cancel()
	}
}

// dirty lists the partitions with something to commit.
func (g *group) dirty() []*partition {
	g.mu.Lock()
	defer g.mu.Unlock()
	var out []*partition
	for _, p := range g.parts {
		if p.phase == opening && !p.stands && !p.committed || p.phase == open && p.ledger.Dirty() {
			out = append(out, p)
		}
	}
	return out
}

// saving is a state of a partition on its way to the brokers.
type saving struct {
	part  *partition
	seq   uint64
	base  int64
	epoch uint32 // seek epoch
	copy  bool
	opens bool // the partition may not deliver before it is copied
}

// saveParts commits partitions and copies to the state log what has to be there: the incarnation before the first
// delivery, later the base once a minute. What could not be saved is tried again by the next tick.
func (g *group) saveParts(ctx context.Context, m *kafka.Member, parts []*partition) error {
	if len(parts) == 0 {
		return nil
	}
	// One at a time: an older state must not be committed after a newer one.
	g.saving.Lock()
	defer g.saving.Unlock()
	return g.commitParts(ctx, m, parts)
}

// commitParts is saveParts for who has the lock.
func (g *group) commitParts(ctx context.Context, m *kafka.Member, parts []*partition) error {
	commits := make(map[kafka.TP]kafka.Commit, len(parts))
	list := make([]saving, 0, len(parts))
	g.mu.Lock()
	for _, p := range parts {
		if p.phase == closed {
			continue // it went meanwhile; its successor knows better
		}
		base, metadata, seq := p.ledger.Encode()
		commits[p.tp] = kafka.Commit{Offset: base, Metadata: metadata}
		list = append(list, saving{part: p, seq: seq, base: base, epoch: p.epoch, opens: p.phase == opening,
			copy: p.phase != open || base != p.copied && time.Since(p.copiedAt) >= copyEvery})
	}
	g.mu.Unlock()
	if len(list) == 0 {
		return nil
	}
	err := m.Commit(ctx, commits)
	var refused kafka.CommitErrors
	if err != nil && !errors.As(err, &refused) {
		return err
	}
	for _, s := range list {
		if refused[s.part.tp] != nil {
			continue
		}
		copied := false
		if s.copy {
			if e := g.copyPosition(ctx, s); e != nil {
				err = errors.Join(err, e)
				if s.opens {
					continue
				}
			} else {
				copied = true
			}
		}
		g.confirm(s, copied)
	}
	return err
}

func (g *group) copyPosition(ctx context.Context, s saving) error {
	p := s.part
	err := g.bus.cfg.State.PutPosition(ctx, g.name, p.tp.Topic, p.tp.Partition, control.Position{Offset: s.base,
		SeekEpoch: s.epoch, Incarnation: p.incarnation, Time: time.Now().UTC(), TopicID: hexID(p.topicID)})
	if err != nil {
		return fmt.Errorf("copy position of %s/%d: %w", p.tp.Topic, p.tp.Partition, err)
	}
	return nil
}

// confirm takes note of what was committed: a partition that opens begins to deliver, and what waited for its attempt
// to be committed may come again.
func (g *group) confirm(s saving, copied bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	p := s.part
	if p.phase == closed {
		return
	}
	p.ledger.Saved(s.seq)
	if copied {
		p.copied, p.copiedAt = s.base, time.Now()
	}
	if p.phase == opening {
		p.committed = true
		signal(g.parking) // opens it when it knows what is parked
	}
	g.attemptsSaved(p, s.seq)
	g.dispatch()
}

// attemptsSaved lets go what waited for its attempt to be stored.
func (g *group) attemptsSaved(p *partition, seq uint64) {
	for sl := range g.unsaved {
		if sl.part == p && sl.saved <= seq {
			delete(g.unsaved, sl)
			sl.saved = 0
			if sl.state == ready {
				g.enqueue(sl)
			}
		}
	}
}

// fault takes note of a partition that cannot be read on.
func (g *group) fault(f kafka.PartitionFault) {
	g.mu.Lock()
	defer g.mu.Unlock()
	p := g.parts[f.TP]
	if p == nil && f.Partition >= 0 || p != nil && p.unsought {
		return // it went meanwhile, or is read elsewhere from now on
	}
	if p == nil || !errors.Is(f.Err, &autobus.Error{Reason: autobus.ReasonPositionLost}) {
		g.bus.cfg.Logger.Warn("read partition", "subscription", g.name, "topic", f.Topic, "partition", f.Partition,
			"error", f.Err)
		if p != nil {
			time.AfterFunc(readAgain, func() { g.readOn(p) })
		}
		return
	}
	if p.lost == nil {
		p.stands = true
		p.lost = &autobus.PositionLost{Type: p.typ, Partition: f.Partition, From: p.ledger.Next(), To: f.First}
		g.tellLost(p)
	}
}

// readOn goes on with a partition that could not be read.
func (g *group) readOn(p *partition) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if p.phase != closed && !p.paused && g.member != nil {
		g.member.Resume(p.tp)
	}
}

func (g *group) tellLost(p *partition) {
	g.bus.metrics.positionsLost.Inc()
	g.bus.cfg.Logger.Error("retention overtook the subscription; the partition stands until somebody acts",
		"subscription", g.name, "type", p.typ, "partition", p.tp.Partition, "from", p.lost.From, "to", p.lost.To)
	for s := range g.sessions {
		s.lost = append(s.lost, *p.lost)
		s.call()
	}
}

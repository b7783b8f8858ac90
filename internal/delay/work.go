// SPDX-License-Identifier: Apache-2.0

package delay

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/kafka"
)

const (
	again      = time.Second      // pause after what may pass
	leaveFor   = 10 * time.Second // for handing back what is held
	savedEvery = time.Minute
)

// Run works on what this instance gets of the delayed records until ctx or Drain ends it.
func (k *Keeper) Run(ctx context.Context) error {
	k.mu.Lock()
	if k.drained {
		k.mu.Unlock()
		return nil
	}
	ctx, k.stop = context.WithCancel(ctx)
	k.mu.Unlock()
	defer close(k.stopped)
	for ctx.Err() == nil && k.known(ctx) {
		if err := k.member(ctx); err != nil && ctx.Err() == nil {
			k.cfg.Logger.Warn("work on delayed events", "error", err)
		}
		pause(ctx, again)
	}
	return nil
}

// Drain ends the work, so that others take it over at once, and waits until it ended or ctx does.
func (k *Keeper) Drain(ctx context.Context) {
	k.mu.Lock()
	stop := k.stop
	k.drained = true
	k.mu.Unlock()
	if stop == nil {
		return
	}
	stop()
	select {
	case <-k.stopped:
	case <-ctx.Done():
	}
}

// membership is one time in the group.
type membership struct {
	keeper *Keeper
	member *kafka.Member
	life   context.Context //nolint:containedctx // of what works on the partitions, ends after they were handed back

	mu      sync.Mutex
	shelves map[kafka.TP]*shelf
}

// member joins the group and works until ctx ends or it has to join anew.
func (k *Keeper) member(ctx context.Context) error {
	life, kill := context.WithCancel(context.WithoutCancel(ctx))
	m := &membership{keeper: k, life: life, shelves: map[kafka.TP]*shelf{}}
	var names []string
	for _, t := range k.cfg.tiers() {
		names = append(names, t.topic)
	}
	member, err := k.cfg.Log.Join(ctx, kafka.Group{ID: k.cfg.Name, Topics: names, Start: m.start, Revoked: m.revoked,
		Lost: m.lost})
	if err != nil {
		kill()
		return err
	}
	m.member = member // nothing is started before the first Poll
	defer func() {
		leaving, cancel := context.WithTimeout(context.WithoutCancel(ctx), leaveFor)
		defer cancel()
		if err := member.Leave(leaving); err != nil {
			k.cfg.Logger.Warn("leave the group of delayed events", "error", err)
		}
		kill()
		m.lost(m.all())
	}()
	for {
		records, faults, err := member.Poll(ctx)
		for len(records) > 0 {
			tp, n := records[0].TP, 1
			for n < len(records) && records[n].TP == tp {
				n++
			}
			m.take(tp, records[:n])
			records = records[n:]
		}
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			return err
		case len(faults) > 0: // Start looks where it can go on
			return fmt.Errorf("partition %d of %s: %w", faults[0].Partition, faults[0].Topic, faults[0].Err)
		}
	}
}

func (m *membership) take(tp kafka.TP, records []kafka.Record) {
	m.mu.Lock()
	s := m.shelves[tp]
	m.mu.Unlock()
	if s != nil {
		s.take(records)
	}
}

// start says where partitions are read from, and has them worked on.
func (m *membership) start(ctx context.Context, commits map[kafka.TP]kafka.Commit) (map[kafka.TP]int64, error) {
	seen := map[string]bool{}
	var names []string
	for tp := range commits {
		if !seen[tp.Topic] {
			seen[tp.Topic], names = true, append(names, tp.Topic)
		}
	}
	bounds, err := m.keeper.cfg.Log.Bounds(ctx, names...)
	if err != nil {
		return nil, err
	}
	out := map[kafka.TP]int64{}
	shelves := map[kafka.TP]*shelf{}
	for tp, c := range commits {
		b, ok := bounds[tp]
		if !ok {
			return nil, fmt.Errorf("partition %d of %s does not tell its bounds", tp.Partition, tp.Topic)
		}
		marks := m.keeper.position(tp, c, b)
		out[tp] = marks.base
		shelves[tp] = newShelf(m, tp, c.TopicID, marks)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for tp, s := range shelves {
		m.shelves[tp] = s
		go s.run()
	}
	return out, nil
}

// position is where a partition stands: its commit, or the copy of it where that is further; what retention took is
// lost.
func (k *Keeper) position(tp kafka.TP, c kafka.Commit, log kafka.Bounds) marks {
	at := marks{base: log.First, next: log.First}
	known := false
	if c.Offset >= 0 && c.Offset <= log.End {
		m, err := decodeMarks(c.Offset, c.Metadata)
		if err != nil {
			k.cfg.Logger.Warn("a position among the delayed events cannot be read; some may be published again",
				"topic", tp.Topic, "partition", tp.Partition, "error", err)
		}
		at, known = m, true
	}
	if saved, ok := k.cfg.Saved(tp, c.TopicID); ok && saved <= log.End && (!known || saved > at.base) {
		at, known = marks{base: saved, next: saved}, true
	}
	if known && at.base < log.First {
		k.metrics.lost.Add(float64(log.First - at.base))
		k.cfg.Logger.Error("delayed events expired before anybody worked on them", "topic", tp.Topic, "partition",
			tp.Partition, "from", at.base, "to", log.First)
		at = marks{base: log.First, next: log.First}
	}
	return at
}

// revoked hands partitions back: what is under way is finished, and committed.
func (m *membership) revoked(ctx context.Context, tps []kafka.TP) {
	gone := m.drop(tps)
	for _, s := range gone {
		s.finish()
	}
	for _, s := range gone {
		select {
		case <-s.ended:
		case <-ctx.Done():
			s.cancel()
			<-s.ended
		}
	}
}

// lost ends the work on partitions that are somebody else's already.
func (m *membership) lost(tps []kafka.TP) {
	gone := m.drop(tps)
	for _, s := range gone {
		s.cancel()
	}
	for _, s := range gone {
		<-s.ended
	}
}

func (m *membership) drop(tps []kafka.TP) (gone []*shelf) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, tp := range tps {
		if s := m.shelves[tp]; s != nil {
			gone = append(gone, s)
			delete(m.shelves, tp)
		}
	}
	return gone
}

func (m *membership) all() (tps []kafka.TP) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for tp := range m.shelves {
		tps = append(tps, tp)
	}
	return tps
}

func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

// passing reports whether a refusal of an append is worth telling: that there is no room now is usual.
func passing(err error) bool {
	return errors.Is(err, &autobus.Error{Reason: autobus.ReasonCapacity})
}

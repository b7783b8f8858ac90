// SPDX-License-Identifier: Apache-2.0

package bus

import (
	"context"
	"fmt"
	"time"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/kafka"
	"github.com/autobus-io/autobus/internal/ledger"
)

// keepPark does what takes time for the park log: makes it, reads what it says of partitions that open, and reads the
// data of parked events whose turn has come.
func (g *group) keepPark(ctx context.Context) {
	again := time.NewTimer(0)
	defer again.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-again.C:
		case <-g.parking:
		}
		err := g.openPark(ctx)
		if err == nil {
			err = g.readParked(ctx)
		}
		if err != nil && ctx.Err() == nil {
			g.bus.cfg.Logger.Warn("parked events", "subscription", g.name, "error", err)
			again.Reset(parkAgain)
		}
	}
}

// openPark reads the park log for partitions that open, and makes it when there is something to be written.
func (g *group) openPark(ctx context.Context) error {
	g.mu.Lock()
	var opens, needs []*partition
	gone := g.noPark
	for p := range g.everyPart() {
		switch {
		case p.phase == opening && p.committed && !p.loaded:
			opens = append(opens, p)
		case p.phase != opening && !p.claimed && len(p.out) > 0:
			needs = append(needs, p)
		}
	}
	g.mu.Unlock()
	if len(opens)+len(needs) == 0 {
		return nil
	}
	name := park(g.name)
	topics, err := g.bus.cfg.Log.Topics(ctx, name)
	if err != nil {
		return err
	}
	t, exists := topics[name]
	switch {
	case t.Err != nil:
		return t.Err
	case !exists && len(needs) == 0:
		return g.adopt(opens, nil, 0)
	case !exists:
		if t.Partitions, err = g.createPark(ctx); err != nil {
			return err
		}
	}
	if gone {
		if !g.bus.cfg.Log.Renew(name) {
			return fmt.Errorf("topic %s was made anew, appends to the old one are not yet settled", name)
		}
		g.mu.Lock()
		g.noPark = false
		g.mu.Unlock()
	}
	g.bus.cfg.Log.UseInternal(name)
	parts := append(opens, needs...)
	shelves, err := g.replayPark(ctx, parts, t.Partitions)
	if err != nil {
		return err
	}
	return g.adopt(parts, shelves, t.Partitions)
}

// createPark makes the topic: as many partitions as the largest of the types has, now and for ever.
func (g *group) createPark(ctx context.Context) (partitions int32, err error) {
	table, _ := g.bus.routes.all()
	g.mu.Lock()
	for _, typ := range g.topics {
		if r, ok := table[typ]; ok {
			partitions = max(partitions, r.Partitions)
		}
	}
	g.mu.Unlock()
	partitions = max(1, partitions)
	_, err = g.bus.cfg.Log.CreateInternal(ctx, park(g.name), partitions, map[string]string{
		"cleanup.policy": "compact", "retention.ms": "-1", "segment.bytes": "67108864",
		"min.cleanable.dirty.ratio": "0.1", "min.compaction.lag.ms": "600000", "delete.retention.ms": "604800000"})
	if err != nil {
		return 0, err
	}
	topics, err := g.bus.cfg.Log.Topics(ctx, park(g.name)) // another instance may have made it, with other types in mind
	if err != nil {
		return 0, err
	}
	return topics[park(g.name)].Partitions, topics[park(g.name)].Err
}

// replayPark claims partitions and reads what the log says of them up to there.
func (g *group) replayPark(ctx context.Context, parts []*partition, partitions int32) (map[source]*shelf, error) {
	if partitions <= 0 {
		return nil, fmt.Errorf("topic %s has no partitions yet", park(g.name))
	}
	starts, err := g.bus.cfg.Log.Starts(ctx, park(g.name))
	if err != nil {
		return nil, err
	}
	out := map[source]*shelf{}
	upTo, from := map[kafka.TP]int64{}, map[kafka.TP]int64{}
	for _, p := range parts {
		src := g.source(p)
		r := claimRecord(src, p.incarnation)
		r.TP = kafka.TP{Topic: park(g.name), Partition: p.tp.Partition % partitions}
		at, err := g.bus.cfg.Log.Write(ctx, r)
		if err != nil {
			return nil, fmt.Errorf("claim partition %d of %s: %w", p.tp.Partition, p.tp.Topic, err)
		}
		start, ok := starts[r.TP]
		if !ok {
			return nil, fmt.Errorf("partition %d of %s does not tell where it begins", r.Partition, r.Topic)
		}
		out[src], from[r.TP], upTo[r.TP] = newShelf(), start, max(upTo[r.TP], at)
	}
	return out, g.bus.eachOwn(ctx, from, upTo, func(r *kafka.Record) error {
		f, ok, err := parseFact(r)
		sh := out[f.source]
		if _, ours := upTo[r.TP]; ok && sh == nil && ours && g.deadEpoch(f.source) {
			sh = newShelf()
			out[f.source] = sh
		}
		if ok && sh != nil {
			sh.apply(f)
		}
		return err
	})
}

// eachOwn reads partitions of a log of the bus's own, of parked events or dead letters, from some offsets up to others,
// unless each ends it by an error.
func (b *Bus) eachOwn(ctx context.Context, from, upTo map[kafka.TP]int64, each func(*kafka.Record) error) error {
	reader, err := b.cfg.Log.Follow(from)
	if err != nil {
		return err
	}
	defer reader.Close()
	for open := len(upTo); open > 0; {
		records, err := reader.Poll(ctx)
		if err != nil {
			return err
		}
		for i := range records {
			r := &records[i]
			last, ok := upTo[r.TP]
			if !ok {
				continue
			}
			if r.Offset <= last && !r.Marker {
				if err := each(r); err != nil {
					return err
				}
			}
			if r.Offset >= last {
				delete(upTo, r.TP)
				open--
			}
		}
	}
	return nil
}

// adopt takes over what the log says of partitions. With no log there is nothing to take over.
func (g *group) adopt(parts []*partition, shelves map[source]*shelf, partitions int32) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.sweep(parts, shelves)
	for _, p := range parts {
		if p.phase == closed {
			continue
		}
		if sh := shelves[g.source(p)]; sh != nil {
			if sh.claimed > p.incarnation {
				g.renumber(p, sh.claimed+1)
				continue
			}
			g.stock(p, sh)
			p.claimed, p.shelves = true, partitions
		}
		p.loaded = true
		g.open(p)
		g.flush(p)
	}
	g.dispatch()
	return nil
}

// renumber gives a partition that opens a higher incarnation, after the log showed a claim of one. Either this instance
// was expelled, then its commit is refused; or what was stored of the incarnation is lost, then the commit succeeds.
func (g *group) renumber(p *partition, incarnation uint32) {
	if p.replay != nil { // its fences and its progress are its partition's: only its claims have to be higher
		p.incarnation = incarnation
		signal(g.parking)
		return
	}
	if p.phase == opening {
		p.incarnation, p.committed = incarnation, false
		p.ledger = ledger.Resume(p.position, incarnation)
	}
	g.saveNow()
}

// stock puts the parked events of a partition into its lanes.
func (g *group) stock(p *partition, sh *shelf) {
	for _, f := range sh.inOrder() {
		p.recall = max(p.recall, f.offset+1)
		if sl := p.slots[f.offset]; sl != nil { // it came from its source before the log was known
			if sl.copy == nil {
				sl.copy = &copied{at: -1, size: f.size}
				p.parked++
				p.parkedBytes += f.size
			}
			sl.copy.ids = append(sl.copy.ids, f.copyID)
			continue
		}
		sl := &slot{part: p, index: -1, attempt: f.attempt, spent: f.spent, letter: f.letter, first: f.first,
			copy: &copied{at: f.at, ids: []copyID{f.copyID}, size: f.size, due: f.due, hollow: true}}
		sl.record.TP, sl.record.Offset = p.tp, f.offset
		if g.policy.OnExhausted == autobus.Hold { // else it is tried once more, and goes the way of the new policy
			sl.held, sl.failure = f.held, f.reason
		}
		sl.lane, sl.inLane = p.laneOf(g.policy.Order, f.key)
		p.slots[f.offset] = sl
		p.parked++
		p.kept++
		p.parkedBytes += f.size
		g.bus.metrics.parked.Inc()
		if sl.inLane && p.insert(sl) == 0 && len(p.lanes[sl.lane]) > 1 {
			lane := p.lanes[sl.lane] // the other one may be with a worker
			lane[0], lane[1] = lane[1], lane[0]
		}
	}
	p.ended = map[int64]struct{}{}
	for offset := range sh.ended {
		if _, live := sh.live[offset]; !live && offset >= p.ledger.Base() {
			p.ended[offset] = struct{}{}
			p.recall = max(p.recall, offset+1)
		}
	}
	for offset, letter := range sh.lives {
		p.lives[offset] = max(p.lives[offset], letter)
	}
	for _, of := range sh.voids() {
		p.out = append(p.out, outgoing{end: kindVoid, of: of, in: p.epoch})
	}
}

// open lets a partition deliver once its incarnation is committed and what is parked of it is known.
func (g *group) open(p *partition) {
	if p.phase == opening && p.committed && p.loaded {
		p.phase = open
		g.refill(p)
		signal(g.redriving)
		signal(g.replays)
	}
	if p.phase != open {
		return
	}
	for _, sl := range p.slots {
		if sl.parked() && sl.state == waiting && (!sl.inLane || p.lanes[sl.lane][0] == sl) {
			g.arise(sl)
		}
	}
	g.applySkips(p)
}

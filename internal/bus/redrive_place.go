// SPDX-License-Identifier: Apache-2.0

package bus

import (
	"context"
	"fmt"
	"slices"

	"github.com/autobus-io/autobus/internal/control"
	"github.com/autobus-io/autobus/internal/kafka"
)

// lot is a partition here that a job goes on with.
type lot struct {
	part     *partition
	progress *progress

	// Of the batch at hand.
	touched            bool
	redriven, repeated int64
	left               []int64
}

// redriven is a letter and the record of its event.
type redriven struct {
	DeadLetter
	record kafka.Record
}

// batch is letters that are redriven together.
type batch struct {
	group   *group
	mine    map[kafka.TP]*lot
	next    int64              // number up to which all letters are dealt with once it is saved
	sources map[kafka.TP]int64 // where the sources end
	taken   int
	full    bool // there was no room for more
	slots   []*slot
}

// maxLeft is how many letters one partition may leave alone: more are no exceptions, and the job stops there.
const maxLeft = 1000

// place makes slots of letters, which come to life when the park log has their copies.
func (g *group) place(letters []redriven, b *batch) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for i := range letters {
		l := &letters[i]
		to := b.mine[l.source()]
		if !to.takes(g, l, b) {
			b.next, b.full = l.Number, true
			break
		}
		b.taken++
		to.touched = true
	}
	for _, to := range b.mine {
		g.flush(to.part)
	}
}

// forgetSkips takes the skips of events that begin another life out of the subscription's record: they were of the one
// before, and would end this one too.
func (g *group) forgetSkips(ctx context.Context, letters []redriven) error {
	g.mu.Lock()
	old := map[control.Place]bool{}
	for _, l := range letters {
		p := g.parts[l.source()]
		if p == nil || p.phase != open || p.slots[l.Offset] != nil || p.lives[l.Offset] > l.life() ||
			l.Offset >= p.ledger.Next() || !p.skipped(l.Offset) {
			continue
		}
		old[p.skips[l.Offset]] = true
	}
	g.mu.Unlock()
	if len(old) == 0 {
		return nil
	}
	return g.bus.alter(ctx, g.name, Audit{Actor: stoppedBy, Reason: "redrive what was skipped before"},
		func(_ uint32, v *control.Subscription) (bool, error) {
			n := len(v.Skips)
			v.Skips = slices.DeleteFunc(v.Skips, func(s control.Place) bool { return old[s] })
			return len(v.Skips) < n, nil
		})
}

// takes deals with one letter; false = not now.
func (to *lot) takes(g *group, l *redriven, b *batch) bool {
	p := to.part
	lives := p.lives[l.Offset]
	switch {
	case p.phase != open:
		return false
	case lives == l.Number+1: // before an interruption
		to.redriven++
	case lives > l.life(): // another letter of the same end was
		to.repeated++
	case l.Offset >= b.sources[p.tp], !parkable(&l.record): // its topic was made anew; or it never came from the bus
		if len(to.left)+len(to.progress.Left) >= maxLeft {
			return false
		}
		to.left = append(to.left, l.Number)
	case l.Offset >= p.ledger.Next(): // whether it is still to come from its source is known once that was read
		return false
	case p.slots[l.Offset] != nil && p.slots[l.Offset].state == burying: // it is this letter that is not confirmed yet
		return false
	case p.slots[l.Offset] != nil: // it did not reach its end: it was given up, and that was not committed
		to.repeated++
	case p.parked >= maxParked || p.parkedBytes >= maxParkedBytes:
		return false
	case p.skipped(l.Offset): // forgetSkips was too early to know
		return false
	default:
		to.redriven++
		b.slots = append(b.slots, g.revive(p, l))
	}
	return true
}

// revive makes the slot of an event that is redriven.
func (g *group) revive(p *partition, l *redriven) *slot {
	e := decode(g.bus.cfg.Log.Name(), p.typ, &l.record)
	sl := &slot{part: p, record: l.record, event: e, size: e.Size(), index: -1, state: copying,
		attempt: l.Attempts + 1, spent: l.Attempts, letter: l.Number + 1, copy: &copied{at: -1, size: l.record.Size()}}
	sl.lane, sl.inLane = p.laneOf(g.policy.Order, sl.record.Key)
	p.lives[l.Offset] = sl.letter
	p.slots[l.Offset] = sl
	p.bytes += sl.record.Size()
	p.parked++
	p.parkedBytes += sl.copy.size
	g.write(sl)
	return sl
}

// join lets an event that is redriven take part, now that its copy is written. In its lane it stands where its source
// had it, but never before the one that may be with a worker.
func (g *group) join(sl *slot) {
	p := sl.part
	sl.state = waiting
	g.bus.metrics.redriven.Inc()
	signal(g.redriving)
	first := true
	if sl.inLane {
		lane := p.lanes[sl.lane]
		i := len(lane)
		for i > 1 && lane[i-1].record.Offset > sl.record.Offset {
			i--
		}
		p.lanes[sl.lane] = slices.Insert(lane, i, sl)
		first = i == 0
	}
	switch {
	case p.skipped(sl.record.Offset): // another instance saw the copy first, and an operator there the event
		g.skip(sl)
		return
	case !first || p.bytes >= parkBytes/2:
		g.empty(sl)
	}
	if first {
		g.arise(sl)
	}
}

// await waits until all that was placed is in the park log, or its partition went.
func (b *batch) await(ctx context.Context) error {
	for b.open() {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-b.group.redriving:
		}
	}
	return nil
}

func (b *batch) open() bool {
	b.group.mu.Lock()
	defer b.group.mu.Unlock()
	b.slots = slices.DeleteFunc(b.slots, func(sl *slot) bool { return sl.copy.at >= 0 || sl.part.phase == closed })
	return len(b.slots) > 0
}

// save stores how far the job is. What an owner says who was expelled must not count, for its copies do not: so it is
// committed first that the partitions are still ours. Then the copies stand before the claim of whoever comes after.
func (b *batch) save(ctx context.Context, m *kafka.Member, j *fated) error {
	var parts []*partition
	for _, to := range b.mine {
		if to.progress.unsaved || to.touched || b.next >= j.End {
			parts = append(parts, to.part)
			to.progress.unsaved = true
		}
	}
	if err := b.group.saveParts(ctx, m, parts); err != nil {
		return fmt.Errorf("commit before the progress of a job: %w", err)
	}
	for _, to := range b.mine {
		b.group.mu.Lock()
		gone := to.part.phase == closed
		b.group.mu.Unlock()
		if gone {
			continue
		}
		p := to.progress
		p.Next = max(p.Next, b.next)
		p.Redriven += to.redriven
		p.Repeated += to.repeated
		p.Left = append(p.Left, to.left...)
		to.redriven, to.repeated, to.left = 0, 0, nil
		if !p.unsaved {
			continue
		}
		if err := b.group.bus.cfg.State.PutJobProgress(ctx, j.id, p.JobProgress); err != nil {
			return err
		}
		p.unsaved = false
	}
	return nil
}

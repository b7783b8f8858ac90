// SPDX-License-Identifier: Apache-2.0

package bus

import (
	"context"
	"errors"
	"slices"
	"sync"

	"github.com/autobus-io/autobus/internal/control"
	"github.com/autobus-io/autobus/internal/kafka"
	"github.com/autobus-io/autobus/internal/ledger"
)

// A replay is worked through beside the main flow, by whoever has the partition: it is a partition of its own in all
// but the number of its incarnation and the counter of its frames, which it shares, so that fences grow over both. It
// has a ledger and lanes of its own, from its own reader, and is parked under its own epoch. What it has done stands in
// the state log. The rules are in docs/decisions/0020-a-replay-goes-beside.md.

// replay is what a partition is that is one.
type replay struct {
	main  *partition
	job   control.Replay
	until int64
	more  chan struct{} // one token: the reader should look whether to go on
	read  bool          // the whole slice was
	lost  bool          // retention overtook it, so it ends where it is
}

// keepReplays lets replays begin and reads them.
func (g *group) keepReplays(ctx context.Context) {
	var readers sync.WaitGroup
	defer readers.Wait()
	for {
		select {
		case <-ctx.Done():
			return
		case <-g.replays:
		}
		for _, p := range g.beginReplays() {
			readers.Go(func() { g.readReplay(ctx, p) })
		}
	}
}

// beginReplays makes the replays that the record names and open partitions do not have yet.
func (g *group) beginReplays() (begun []*partition) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, p := range g.parts {
		if p.phase != open {
			continue
		}
		for _, job := range g.value.Replays {
			from, until := job.From[p.tp.Topic][p.tp.Partition], job.To[p.tp.Topic][p.tp.Partition]
			if from >= until || p.replayed[job.Epoch] || p.sideOf(job.Epoch) != nil {
				continue
			}
			if side := g.beginReplay(p, job, from, until); side != nil {
				begun = append(begun, side)
			} else {
				set(&p.replayed, job.Epoch, true)
			}
		}
	}
	if len(begun) > 0 {
		signal(g.parking) // opens them
	}
	return begun
}

// beginReplay goes on with a replay where its progress says; nil = it is over, or a newer build has it.
func (g *group) beginReplay(p *partition, job control.Replay, from, until int64) *partition {
	done, err := g.bus.cfg.State.Progress(g.name, job.Epoch, p.tp.Topic, p.tp.Partition)
	at := ledger.Position{Base: max(from, done.Offset), SeekEpoch: job.Epoch}
	if err == nil && done.Metadata != "" {
		if known, bad := ledger.Decode(done.Offset, done.Metadata); bad == nil && known.SeekEpoch == job.Epoch {
			at = known
		}
	}
	if err != nil {
		g.bus.cfg.Logger.Error("replay stands", "subscription", g.name, "type", p.typ, "partition", p.tp.Partition,
			"error", err)
	}
	if err != nil || done.Done {
		return nil
	}
	side := &partition{tp: p.tp, topicID: p.topicID, typ: p.typ, incarnation: p.incarnation, epoch: job.Epoch,
		nonce: newNonce(), ledger: ledger.Resume(at, p.incarnation), position: at, committed: true,
		slots: map[int64]*slot{}, lanes: map[string][]*slot{}, copied: -1,
		replay: &replay{main: p, job: job, until: until, more: make(chan struct{}, 1)}}
	side.replay.read = at.Base >= until
	p.sides = append(p.sides, side)
	g.bus.leases.add(g, side)
	return side
}

func (p *partition) sideOf(epoch uint32) *partition {
	for _, side := range p.sides {
		if side.epoch == epoch {
			return side
		}
	}
	return nil
}

// over reports whether everything of a replay is done.
func (p *partition) over() bool {
	return p.replay.read && len(p.backlog) == 0 && p.ledger.Undone() == 0 && p.parked == 0 && !p.busy()
}

// dropCancelled ends the replays of a partition that the record no longer names.
func (g *group) dropCancelled(p *partition) {
	named := map[uint32]bool{}
	for _, job := range g.value.Replays {
		named[job.Epoch] = true
	}
	for _, side := range slices.Clone(p.sides) {
		if !named[side.epoch] {
			g.drop(side)
		}
	}
}

// sideParts lists the replays.
func (g *group) sideParts() (out []*partition) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for p := range g.everyPart() {
		if p.replay != nil {
			out = append(out, p)
		}
	}
	return out
}

// saveReplays stores how far replays are, and ends those that are over. What could not be stored is tried again by the
// next call.
//
// Nothing fences the state log. What an owner says who was expelled must not count, for the copies that it parked since
// do not, and who believed it would leave these events out. So the positions of the main flow are committed between the
// look at a replay and its being stored: then what is stored of it was so when the partition was still ours.
func (g *group) saveReplays(ctx context.Context, m *kafka.Member, parts []*partition) {
	// One at a time: an older state must not be stored after a newer one.
	g.saving.Lock()
	defer g.saving.Unlock()
	list, mains := g.dirtyReplays(parts)
	if len(list) == 0 {
		return
	}
	err := g.commitParts(ctx, m, mains)
	var refused kafka.CommitErrors
	if err != nil && ctx.Err() == nil {
		g.bus.cfg.Logger.Warn("commit before the progress of a replay", "subscription", g.name, "error", err)
	}
	if err != nil && !errors.As(err, &refused) {
		return
	}
	for _, s := range list {
		if refused[s.part.tp] == nil {
			g.storeReplay(ctx, s)
		}
	}
}

// replaySaving is a state of a replay on its way to the state log.
type replaySaving struct {
	control.Progress
	part *partition
	seq  uint64
}

// dirtyReplays gives the replays with something to store, and their partitions.
func (g *group) dirtyReplays(parts []*partition) (list []replaySaving, mains []*partition) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, p := range parts {
		if p.replay == nil || p.phase == closed || p.phase == opening || !p.over() && !p.ledger.Dirty() {
			continue
		}
		s := replaySaving{part: p}
		s.Done, s.Lost = p.over(), p.replay.lost
		s.Offset, s.Metadata, s.seq = p.ledger.Encode()
		if s.Done {
			s.Metadata = ""
		}
		list = append(list, s)
		if !slices.Contains(mains, p.replay.main) {
			mains = append(mains, p.replay.main)
		}
	}
	return list, mains
}

// storeReplay stores a state that was there before its partition was committed.
func (g *group) storeReplay(ctx context.Context, s replaySaving) {
	p := s.part
	g.mu.Lock()
	gone := p.phase == closed // maybe before the commit, which then left its partition out
	g.mu.Unlock()
	if gone {
		return
	}
	if err := g.bus.cfg.State.PutProgress(ctx, g.name, p.epoch, p.tp.Topic, p.tp.Partition, s.Progress); err != nil {
		if ctx.Err() == nil {
			g.bus.cfg.Logger.Warn("store how far a replay is", "subscription", g.name, "error", err)
		}
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if p.phase == closed {
		return
	}
	p.ledger.Saved(s.seq)
	g.attemptsSaved(p, s.seq)
	if s.Done {
		set(&p.replay.main.replayed, p.epoch, true)
		g.drop(p)
	}
	g.dispatch()
}

// endSide takes a replay that was dropped out of its partition.
func (g *group) endSide(p *partition) {
	main := p.replay.main
	for i, side := range main.sides {
		if side == p {
			main.sides = append(main.sides[:i:i], main.sides[i+1:]...)
			break
		}
	}
	signal(p.replay.more) // its reader ends
	for lane := range main.shadowed {
		g.freeLane(main, lane)
	}
}

// A key that a replay and the main flow both have goes one event at a time, as everywhere: while one is ready or with a
// worker, the other one stands in its shadow. They take turns.

// shadow reports whether a slot that is ready has to wait for another one of its key.
func (g *group) shadow(s *slot) bool {
	main := s.part.counters()
	if !s.inLane || len(main.sides) == 0 {
		return false
	}
	taken := s.part != main && main.taken(s.lane)
	for _, side := range main.sides {
		taken = taken || side != s.part && side.taken(s.lane)
	}
	if taken {
		s.shadow = true
		set(&main.shadowed, s.lane, append(main.shadowed[s.lane], s))
	}
	return taken
}

// taken reports whether the first event of a key is ready, and not in a shadow itself, or with a worker.
func (p *partition) taken(lane string) bool {
	slots := p.lanes[lane]
	if len(slots) == 0 || p.phase == closed {
		return false
	}
	s := slots[0]
	return s.state == leased || s.session != nil || s.state == ready && !s.shadow
}

// freeKey lets others of a key go when one had its turn.
func (g *group) freeKey(sl *slot) {
	if main := sl.part.counters(); len(main.shadowed) > 0 {
		g.freeLane(main, sl.lane)
	}
}

func (g *group) freeLane(main *partition, lane string) {
	slots := main.shadowed[lane]
	delete(main.shadowed, lane)
	for _, s := range slots {
		s.shadow = false
		if s.state == ready {
			g.enqueue(s)
		}
	}
}

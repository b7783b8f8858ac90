// SPDX-License-Identifier: Apache-2.0

package bus

import (
	"context"
	"iter"
	"slices"

	"github.com/autobus-io/autobus/internal/control"
	"github.com/autobus-io/autobus/internal/kafka"
)

// Surgery on a live group. Whatever an operator asks for is a change of the subscription's control record; each
// instance follows it in place: sessions stay, and so does the membership, for to leave a Kafka group and to join it
// again takes seconds. The rules are in docs/decisions/0019-surgery-in-place.md.

// operate follows a record that differs from the one before in nothing that a membership depends on.
func (g *group) operate() {
	for tp, p := range g.parts {
		if g.value.Epoch(tp.Topic, tp.Partition) != p.epoch {
			g.reseat(p)
			continue
		}
		p.skips = g.skipsOf(tp)
		g.applySkips(p)
		g.dropCancelled(p)
	}
	signal(g.replays)
	if g.paused() {
		g.takeBack()
	}
	g.dispatch()
}

// everyPart gives the partitions and the replays beside them.
func (g *group) everyPart() iter.Seq[*partition] {
	return func(yield func(*partition) bool) {
		for _, p := range g.parts {
			if !yield(p) {
				return
			}
			for _, side := range p.sides {
				if !yield(side) {
					return
				}
			}
		}
	}
}

// closeParts hands nothing out any more of what is open.
func (g *group) closeParts() {
	for p := range g.everyPart() {
		if p.phase == open {
			p.phase = closing
			g.withdraw(p)
		}
	}
}

// paused reports whether nothing is handed out.
func (g *group) paused() bool { return g.value.Paused != nil || g.halt != nil }

// takeBack takes from the sessions what was assigned to them and not handed out.
func (g *group) takeBack() {
	for s := range g.sessions {
		out := s.out
		s.out = nil
		for _, sl := range out {
			s.remove(sl)
			sl.session = nil
			g.enqueue(sl)
		}
	}
}

// reseat ends an incarnation whose partition was moved and begins the next one where the record says. One that goes to
// another member, or whose membership ends, has no next one here.
func (g *group) reseat(p *partition) {
	if p.phase == closing {
		g.drop(p)
		return
	}
	// Where the log begins and ends is not asked for under a lock: what is wrong with a place shows when it is read.
	next := g.begin(p.tp, kafka.Commit{Offset: -1, TopicID: p.topicID}, everywhere, p.incarnation)
	next.unsought = true
	g.drop(p)
	if g.unpoll != nil {
		g.unpoll()
	}
	g.saveNow() // opens it
}

// beforePoll tells the member, between two polls, where to go on with partitions that were moved, and the reader
// whether to. From then on what comes is theirs. cancel ends the poll that follows when another one is moved.
func (g *group) beforePoll(ctx context.Context, m *kafka.Member, cancel context.CancelFunc) (hungry bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.unpoll = cancel
	for {
		at, moved := map[kafka.TP]int64{}, map[kafka.TP]*partition{}
		for tp, p := range g.parts {
			if p.unsought {
				at[tp], moved[tp] = p.ledger.Base(), p
			}
		}
		if len(at) == 0 || ctx.Err() != nil {
			return g.hungry()
		}
		g.mu.Unlock()
		m.Seek(ctx, at)
		g.mu.Lock()
		for tp, was := range moved {
			if p := g.parts[tp]; p != nil {
				p.unsought = p != was || ctx.Err() != nil // else it was moved again, or went and came back
			}
		}
	}
}

// skipsOf lists what operators want done with events of a partition.
func (g *group) skipsOf(tp kafka.TP) map[int64]control.Place {
	var out map[int64]control.Place
	for _, s := range g.value.Skips {
		if s.Topic == tp.Topic && s.Partition == tp.Partition {
			if out == nil {
				out = map[int64]control.Place{}
			}
			out[s.Offset] = s
		}
	}
	return out
}

// skipped reports whether an event that was not handed out yet is to be passed over.
func (p *partition) skipped(offset int64) bool {
	s, ok := p.skips[offset]
	return ok && !s.Again
}

// deadEpoch reports whether a seek epoch of a partition is over for good. One that is newer than what is known here is
// not.
func (g *group) deadEpoch(s source) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if int64(s.epoch) > g.record.Offset || s.epoch == g.value.Epoch(s.Topic, s.Partition) {
		return false
	}
	return !slices.ContainsFunc(g.value.Replays, func(r control.Replay) bool { return r.Epoch == s.epoch })
}

// sweep makes void what the park log has of epochs that are over: it never counts again.
func (g *group) sweep(parts []*partition, shelves map[source]*shelf) {
	for s, sh := range shelves {
		i := slices.IndexFunc(parts, func(p *partition) bool { return p.tp == s.TP && p.phase != closed })
		alive := slices.ContainsFunc(parts, func(p *partition) bool { return p.tp == s.TP && p.epoch == s.epoch })
		if i < 0 || alive {
			continue
		}
		for _, of := range sh.everything() {
			parts[i].out = append(parts[i].out, outgoing{end: kindVoid, of: of, in: s.epoch})
		}
	}
}

// SPDX-License-Identifier: Apache-2.0

package bus

import (
	"slices"
	"time"

	"github.com/autobus-io/autobus/internal/control"
)

// applySkips does what operators want done with events that were read. Those that were not are passed over when they
// are.
func (g *group) applySkips(p *partition) {
	if p.phase != open {
		return // when it opens
	}
	for offset, s := range p.skips {
		switch sl := p.slots[offset]; {
		case sl != nil && sl.state == copying: // in no lane yet; join looks
		case sl != nil && s.Again:
			g.again(sl, s)
		case sl != nil:
			g.skip(sl)
		case !s.Again && p.newer != nil && p.newerAt == offset: // which is what it stands at
			p.newer = nil
			p.ledger.Done(offset)
			g.refill(p)
		}
	}
}

// skip ends an event, wherever it is: a worker that has it is told to stop.
func (g *group) skip(sl *slot) {
	p := sl.part
	g.ready.remove(sl)
	g.alone.remove(sl)
	g.wants = without(g.wants, sl)
	p.early = without(p.early, sl)
	delete(g.unsaved, sl)
	switch s := sl.session; {
	case sl.state == leased:
		if s != nil {
			s.revoked = append(s.revoked, g.leaseOf(sl).text())
			s.call()
		}
		g.unlease(sl)
	case s != nil: // assigned, and not handed out
		s.out = without(s.out, sl)
		s.remove(sl)
		sl.session = nil
	case sl.state == burying:
		p.burying--
	}
	g.timers.clear(sl)
	g.finish(sl, settledSkipped)
	p.rest()
}

func without(slots []*slot, sl *slot) []*slot {
	if i := slices.Index(slots, sl); i >= 0 {
		return slices.Delete(slots, i, i+1)
	}
	return slots
}

// remove takes a slot out, if it is there.
func (q *queue) remove(sl *slot) {
	if n := len(q.slots); n > 0 {
		if q.slots = without(q.slots, sl); len(q.slots) < n {
			q.bytes -= sl.size
		}
	}
}

// hold keeps an event without attempts left, and what comes after it of its key, until an operator acts. It knows by
// which record it was held: what that one says already, or one before, was said of an earlier hold.
func (g *group) hold(sl *slot) {
	sl.state, sl.held = holding, g.record.Offset
	g.freeKey(sl)
	if sl.parked() {
		sl.copy.due = time.Time{}
		g.write(sl)
	}
	g.shelve(sl)
	g.bus.cfg.Logger.Error("event held: it and its key wait until an operator acts", "subscription", g.name, "owner",
		g.policy.Owner, "type", sl.part.typ, "partition", sl.part.tp.Partition, "offset", sl.record.Offset, "reason",
		sl.failure)
	g.applySkips(sl.part) // an operator may have known before
}

// again tries an event once more that was held before the operator said so. The park log need not know: who takes over
// meanwhile finds the word of the operator where this instance did.
func (g *group) again(sl *slot, s control.Place) {
	if sl.state != holding || sl.held >= int64(s.Change) {
		return
	}
	sl.held = 0
	g.enqueue(sl)
}

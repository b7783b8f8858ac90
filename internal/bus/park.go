// SPDX-License-Identifier: Apache-2.0

package bus

import (
	"slices"
	"time"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/ledger"
)

// Parking moves events that fail for long, or that hold up the span of their partition, into the park log. There they
// stay with the owner of their partition: their slots stay in its lanes, in order, mostly without their data. The rules
// are in docs/decisions/0016-parked-events-stay-with-their-partition.md.

// When events are parked, and how many.
const (
	inMemory       = time.Minute     // the longest wait for an attempt that is kept in memory alone
	stuckAfter     = 5 * time.Second // since its first delivery, an undone event counts as stuck
	parkSpan       = ledger.MaxSpan / 2
	parkBytes      = ledger.MaxBytes / 2
	parkLookAhead  = ledger.MaxSpan / 4 // offsets above the base that are looked through for what is stuck
	maxParked      = 50_000             // per partition; beyond that it waits
	maxParkedBytes = 512 << 20
)

// copied is what a slot has in the park log, or is about to have there.
type copied struct {
	at      int64     // offset of the copy; -1 = there is none yet
	ids     []copyID  // of all copies that may be in the log, the latest last
	size    int       // of the record
	due     time.Time // when it may come again
	pending bool      // what it says is not yet written
	sent    bool      // it is on its way
	hollow  bool      // the slot's data is there, and not in memory
	wanted  bool      // its data is being read
	waits   bool      // the slot is ready, but for one of the above
}

// parked reports whether the slot's event is kept by the park log, or will be.
func (sl *slot) parked() bool { return sl.copy != nil }

// hollow reports whether the slot has to be read before it can be handed out.
func (sl *slot) hollow() bool { return sl.copy != nil && sl.copy.hollow }

// parks reports whether the order of a subscription allows that others go on: a partition in strict order waits.
func (g *group) parks() bool { return g.policy.Order != autobus.OrderPartition }

// canPark reports whether there is room for one more.
func (p *partition) canPark(sl *slot) bool {
	return p.parked < maxParked && p.parkedBytes < maxParkedBytes && parkable(&sl.record)
}

// shelve parks a slot and all that waits behind it.
func (g *group) shelve(sl *slot) {
	p := sl.part
	if !g.parks() || p.phase != open && p.phase != closing {
		return
	}
	if !sl.inLane {
		g.shelveOne(sl)
	} else {
		for _, next := range p.lanes[sl.lane] {
			g.shelveOne(next)
		}
	}
	g.flush(p)
}

func (g *group) shelveOne(sl *slot) {
	switch {
	case sl.parked():
		if !sl.copy.pending && !sl.copy.sent {
			g.empty(sl)
		}
	case sl.part.canPark(sl):
		sl.copy = &copied{at: -1, size: sl.record.Size(), due: sl.due()}
		sl.part.parked++
		sl.part.parkedBytes += sl.copy.size
		g.write(sl)
	}
}

// due is when a slot that waits for its next attempt may come.
func (sl *slot) due() time.Time {
	if sl.state == pausing {
		return sl.at
	}
	return time.Time{}
}

// stuck reports whether a slot waits for an event that failed or that somebody works on for long.
func (p *partition) stuck(sl *slot, now time.Time) bool {
	head := sl
	if sl.inLane {
		head = p.lanes[sl.lane][0]
	}
	return head.parked() || head.failure != "" || !head.first.IsZero() && now.Sub(head.first) >= stuckAfter
}

// relieve parks the oldest stuck events of a partition whose span or memory is half used, whatever their retry time.
func (g *group) relieve(p *partition) {
	if p.phase != open || p.ledger.Span() < parkSpan && p.bytes < parkBytes || !g.parks() {
		return
	}
	now, base := time.Now(), p.ledger.Base()
	for offset := base; offset < min(base+parkLookAhead, p.ledger.Next()); offset++ {
		if sl := p.slots[offset]; sl != nil && !sl.parked() && p.stuck(sl, now) {
			g.shelve(sl)
		}
	}
}

// relieveAll looks after partitions once a second: that somebody works on an event for long shows by nothing else.
func (g *group) relieveAll() {
	g.mu.Lock()
	defer g.mu.Unlock()
	for p := range g.everyPart() {
		g.relieve(p)
		g.flush(p)
	}
}

// follow parks a slot that just arrived when what is before it in its lane is parked, and not about to be handed out.
func (g *group) follow(sl, before *slot) {
	if c := before.copy; c != nil && (c.hollow || c.sent || c.pending) && g.parks() {
		g.shelveOne(sl)
	}
}

// empty drops the data of a slot that the park log has, when it will not be needed soon.
func (g *group) empty(sl *slot) {
	soon := sl.state != waiting && sl.state != holding && (sl.state != pausing || time.Until(sl.at) <= g.bus.groups.memory)
	if soon || sl.copy.hollow || sl.copy.at < 0 {
		return
	}
	sl.part.bytes -= sl.record.Size()
	sl.record.Key, sl.record.Value, sl.record.Headers = nil, nil, nil
	sl.event = autobus.Event{}
	sl.copy.hollow = true
}

// arise lets a slot go that is the first of its lane now.
func (g *group) arise(sl *slot) {
	if sl.held != 0 {
		sl.state = holding
		return
	}
	if sl.copy != nil && time.Until(sl.copy.due) > 0 {
		sl.state = pausing
		g.timers.set(sl, sl.copy.due)
		g.tick()
		return
	}
	g.enqueue(sl)
}

// held reports whether a slot that is ready has to wait for the park log; what lets it go enqueues it again.
func (g *group) held(sl *slot) bool {
	c, p := sl.copy, sl.part
	switch {
	case c == nil:
		return false
	case sl.record.Offset >= p.ledger.Next(): // earlier events of its key may still be in the source
		p.early = append(p.early, sl)
		return true
	case c.hollow:
		g.want(sl)
	case c.at < 0 || !c.pending && !c.sent: // its source keeps it as long as there is no copy
		return false
	}
	c.waits = true
	return true
}

// seen lets go what waited for the fetch.
func (g *group) seen(p *partition) {
	early := p.early
	p.early = nil
	for _, sl := range early {
		if sl.state == ready {
			g.enqueue(sl)
		}
	}
}

// insert puts a slot into its lane, where it stands in the source, and gives its place there.
func (p *partition) insert(sl *slot) int {
	lane := p.lanes[sl.lane]
	i := len(lane)
	for i > 0 && lane[i-1].record.Offset > sl.record.Offset {
		i--
	}
	p.lanes[sl.lane] = slices.Insert(lane, i, sl)
	return i
}

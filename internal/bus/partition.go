// SPDX-License-Identifier: Apache-2.0

package bus

import (
	"slices"
	"strconv"
	"time"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/control"
	"github.com/autobus-io/autobus/internal/kafka"
	"github.com/autobus-io/autobus/internal/ledger"
)

// partition is one incarnation of a partition of a subscription: from its assignment to this instance until it goes.
// It is never used again after that. All of it is guarded by its group.
type partition struct {
	tp          kafka.TP
	topicID     [16]byte
	typ         string
	incarnation uint32
	epoch       uint32 // seek epoch
	nonce       nonce
	ledger      *ledger.Ledger
	phase       phase

	slots   map[int64]*slot    // by offset
	lanes   map[string][]*slot // a key's events in order; the first is the one that is not waiting
	backlog []arrival          // read, and no room to track them yet
	ahead   int                // bytes of the backlog
	bytes   int                // of the slots
	frames  uint32             // counter of handings out
	leased  int
	burying int  // on their way to the dead letters
	paused  bool // the member does not read on
	// unsought says that it began anew elsewhere: what is read belongs to the incarnation before, until the member was
	// told.
	unsought bool
	idle     chan struct{} // closed when it is not busy; nil = nobody waits for that

	// Of the park log, see park.go.
	position    ledger.Position // where it began
	committed   bool            // its incarnation is
	loaded      bool            // what is parked is known
	claimed     bool            // the log exists and knows the incarnation
	shelves     int32           // partitions of the log
	parked      int             // slots with a copy, or about to have one
	parkedBytes int
	kept        int                // those of them whose copy is in the log
	ended       map[int64]struct{} // offsets of events that ended while parked
	recall      int64              // one past the last offset of which the log had something
	lives       map[int64]int64    // dead letter that an event lives from, by its offset: see shelf.lives
	out         []outgoing         // to be written
	sending     bool               // an append is in flight
	gathering   bool               // a timer runs, after which
	gathered    bool               // what is to be appended has waited long enough
	early       []*slot            // parked, ready, and beyond what was fetched

	skips map[int64]control.Place // what operators want done with events

	sides    []*partition       // replays beside it, see replay.go
	replayed map[uint32]bool    // those that are over, by epoch
	shadowed map[string][]*slot // ready, while another one of their key is with a worker, here or in a replay
	replay   *replay            // nil = it is no replay

	copied   int64 // base of the last copy in the state log
	copiedAt time.Time
	stands   bool // it does not go on by itself: lost, or what is stored of it is of a newer build
	lost     *autobus.PositionLost
	newer    error // what a newer build wrote, of the position or of the event that would be next
	newerAt  int64 // where the event stands
}

type phase int

const (
	opening phase = iota // its incarnation is not yet committed and copied: nothing is handed out
	open
	closing // it goes to another member: what is leased may still be settled, nothing new is handed out
	closed
)

// fence grows with every handing out of the partition, over all incarnations, its replays among them.
func (p *partition) fence(counter uint32) uint64 {
	return uint64(p.counters().incarnation)<<32 | uint64(counter)
}

// counters is the partition that counts the frames: of a replay the one beside which it goes.
func (p *partition) counters() *partition {
	if p.replay != nil {
		return p.replay.main
	}
	return p
}

// track takes a record that was read. The slot is nil when there is nothing to hand out now; false means that there is
// no room for it yet.
func (p *partition) track(g *group, a *arrival) (next *slot, ok bool) {
	sight, attempts := p.ledger.See(a.offset)
	switch {
	case sight != ledger.SeenUndone:
		return nil, sight != ledger.NoRoom
	case a.offset < p.recall && p.recalled(a.offset, attempts):
		p.ledger.Done(a.offset)
		return nil, true
	case p.skipped(a.offset):
		p.ledger.Done(a.offset)
		g.bus.metrics.settled.WithLabelValues(settledSkipped).Inc()
		return nil, true
	case a.newer != nil:
		p.newer, p.newerAt = a.newer, a.offset // and nothing behind it is handed out either: its key is not known
		g.tellNewer(p)
		return nil, false
	case a.slot == nil:
		p.ledger.Done(a.offset)
		if !a.marker {
			g.bus.metrics.settled.WithLabelValues(settledFiltered).Inc()
		}
		return nil, true
	}
	s := a.slot
	s.part, s.attempt = p, max(1, attempts)
	s.lane, s.inLane = p.laneOf(g.policy.Order, s.record.Key)
	p.slots[a.offset] = s
	p.bytes += s.record.Size()
	if s.inLane {
		i := p.insert(s)
		lane := p.lanes[s.lane]
		if i > 0 {
			s.state = waiting
			g.follow(s, lane[i-1])
			return nil, true
		}
		if len(lane) > 1 { // parked events that come after it
			g.timers.clear(lane[1])
			lane[1].state = waiting
		}
	}
	return s, true
}

// recalled reports whether the event of an offset that was fetched is parked already, or ended while it was.
// Of the two counts of attempts the greater is the later one.
func (p *partition) recalled(offset int64, attempts int) bool {
	_, ended := p.ended[offset]
	delete(p.ended, offset)
	sl := p.slots[offset]
	if sl != nil {
		sl.attempt = max(sl.attempt, attempts)
	}
	return ended || sl != nil
}

// finish takes a slot out; it returns the one of its key that may go next.
func (p *partition) finish(s *slot) (next *slot) {
	s.state = done
	p.ledger.Done(s.record.Offset)
	delete(p.slots, s.record.Offset)
	if !s.hollow() {
		p.bytes -= s.record.Size()
	}
	if !s.inLane {
		return nil
	}
	lane := p.lanes[s.lane]
	switch {
	case len(lane) == 1:
		delete(p.lanes, s.lane)
		return nil
	case lane[0] != s: // an operator ended it before its turn
		i := slices.Index(lane, s)
		p.lanes[s.lane] = slices.Delete(lane, i, i+1)
		return nil
	}
	p.lanes[s.lane] = lane[1:]
	return lane[1]
}

// laneOf says for whom an event waits: those of a lane go one after the other, to the lane's favourite worker.
func (p *partition) laneOf(o autobus.Order, key []byte) (lane string, waits bool) {
	switch o {
	case autobus.OrderPartition:
		return p.tp.Topic + "/" + strconv.Itoa(int(p.tp.Partition)), true
	case autobus.OrderKey:
		return string(key), key != nil
	default:
		return "", false
	}
}

// SPDX-License-Identifier: Apache-2.0

package bus

import (
	"sync/atomic"
	"time"

	"github.com/autobus-io/autobus/internal/kafka"
)

// How much is appended to a park log at a time. One append of a partition is in flight, so that what it says later
// stands later.
const (
	parkRecords = 500
	parkBatch   = 1 << 20 // bytes
	parkAgain   = time.Second
	// Events fail one by one: a short wait makes many small appends a few larger ones. Hardly
	// anybody waits for it: what is parked is seldom to be handed out soon.
	parkGather = 5 * time.Millisecond
)

// outgoing is a record on its way to the park log: the copy of a slot as it is when its turn comes, or the end of a
// copy.
type outgoing struct {
	slot *slot
	end  string // kindDone, kindVoid or nothing
	of   copyID // what ends
	in   uint32 // its seek epoch
}

// write has a slot's copy written, as it is now. Until that is confirmed it is not handed out again.
func (g *group) write(sl *slot) {
	if !sl.copy.pending {
		sl.copy.pending = true
		sl.part.out = append(sl.part.out, outgoing{slot: sl})
	}
}

// unpark ends the copy of an event that is done, if it has one.
func (g *group) unpark(sl *slot) {
	c, p := sl.copy, sl.part
	if c == nil {
		return
	}
	p.parked--
	p.parkedBytes -= c.size
	if c.at >= 0 {
		p.kept--
		g.bus.metrics.parked.Dec()
	}
	for _, id := range c.ids {
		p.out = append(p.out, outgoing{end: kindDone, of: id, in: p.epoch})
	}
	g.flush(p)
}

// flush appends what is to be written, once it is a batch or has gathered for a while.
func (g *group) flush(p *partition) {
	if p.sending || len(p.out) == 0 || p.phase == opening || p.phase == closed {
		return
	}
	if !p.claimed { // the topic has to be made, or the source to be claimed
		signal(g.parking)
		return
	}
	if !p.gathered && len(p.out) < parkRecords {
		if !p.gathering {
			p.gathering = true
			time.AfterFunc(parkGather, func() { g.ripen(p) })
		}
		return
	}
	p.gathered = false
	var (
		batch   []outgoing
		records []kafka.Record
		bytes   int
		n       int
	)
	src := g.source(p)
	for ; n < len(p.out) && len(records) < parkRecords && bytes < parkBatch; n++ {
		o := p.out[n]
		var r kafka.Record
		switch {
		case o.end != "":
			r = endRecord(o.end, source{p.tp, o.in}, o.of)
		case o.slot.state == done: // it ended before it was written
			continue
		default:
			sl := o.slot
			id := copyID{p.incarnation, sl.record.Offset, int64(len(sl.copy.ids)), sl.letter}
			r = copyOf(src, id, sl)
			sl.copy.ids = append(sl.copy.ids, id)
			sl.copy.pending, sl.copy.sent = false, true
		}
		bytes += r.Size()
		batch, records = append(batch, o), append(records, r)
	}
	clear(p.out[:n])
	if p.out = p.out[n:]; len(p.out) == 0 {
		p.out = nil
	}
	if len(records) == 0 {
		p.rest()
		return
	}
	p.sending = true
	offsets, errs := make([]int64, len(records)), make([]error, len(records))
	var left atomic.Int32
	left.Store(int32(len(records)))
	tp := kafka.TP{Topic: park(g.name), Partition: p.tp.Partition % p.shelves}
	err := g.bus.cfg.Log.Append(&kafka.Append{TP: tp, Records: records, Done: func(i int, offset int64, err error) {
		if offsets[i], errs[i] = offset, err; left.Add(-1) == 0 {
			g.wrote(p, batch, offsets, errs)
		}
	}})
	if err != nil { // no room now; nothing was written
		p.sending = false
		g.unwritten(p, batch)
		g.flushLater(p)
	}
}

// ripen appends what has gathered.
func (g *group) ripen(p *partition) {
	g.mu.Lock()
	defer g.mu.Unlock()
	p.gathering, p.gathered = false, true
	g.flush(p)
}

// wrote takes the brokers' answer to an append.
func (g *group) wrote(p *partition, batch []outgoing, offsets []int64, errs []error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	p.sending = false
	if p.phase == closed {
		return
	}
	var failed []outgoing
	for i, o := range batch {
		switch {
		case errs[i] != nil:
			failed = append(failed, o)
		case o.end == "":
			g.copied(o.slot, offsets[i])
		}
	}
	if len(failed) > 0 {
		for _, err := range errs {
			if err != nil {
				g.bus.cfg.Logger.Warn("park events", "subscription", g.name, "type", p.typ, "partition", p.tp.Partition,
					"error", err)
				if kafka.Gone(err) {
					p.claimed, g.noPark = false, true
				}
				break
			}
		}
		g.unwritten(p, failed)
		g.flushLater(p)
	} else {
		g.flush(p)
	}
	g.relieve(p)
	g.refill(p)
	p.rest()
	g.dispatch()
}

// copied takes note that the park log has a slot's event: its source has done its part.
func (g *group) copied(sl *slot, at int64) {
	c, p := sl.copy, sl.part
	c.sent = false
	if sl.state == done || c.at < 0 && c.pending { // it ended, or failed once more: the next copy counts
		return
	}
	if c.at < 0 {
		p.kept++
		g.bus.metrics.parked.Inc()
	}
	c.at = at
	if sl.state == copying {
		g.join(sl)
		return
	}
	p.ledger.Done(sl.record.Offset)
	delete(g.unsaved, sl)
	saved := sl.saved != 0
	sl.saved = 0
	g.empty(sl)
	if sl.state == ready && (c.waits || saved) && !c.pending {
		c.waits = false
		g.enqueue(sl)
	}
}

// unwritten puts back what was not written, before what came since.
func (g *group) unwritten(p *partition, batch []outgoing) {
	again := make([]outgoing, 0, len(batch)+len(p.out))
	for _, o := range batch {
		if o.end == "" {
			c := o.slot.copy
			c.sent = false
			if c.pending || o.slot.state == done {
				continue // it is in the queue again as it is now; of one that is done its end is there
			}
			c.pending = true
		}
		again = append(again, o)
	}
	p.out = append(again, p.out...)
}

func (g *group) flushLater(p *partition) {
	time.AfterFunc(parkAgain, func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.flush(p)
	})
}

// source is how the park log names a partition.
func (g *group) source(p *partition) source { return source{p.tp, p.epoch} }

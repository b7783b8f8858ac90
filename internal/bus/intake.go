// SPDX-License-Identifier: Apache-2.0

package bus

import (
	"context"
	"maps"

	"github.com/autobus-io/autobus/internal/kafka"
	"github.com/autobus-io/autobus/internal/ledger"
)

// read polls while there is somebody to read for, and not more than is needed.
func (g *group) read(ctx context.Context, m *kafka.Member) error {
	for ctx.Err() == nil {
		polling, cancel := context.WithCancel(ctx)
		if !g.beforePoll(polling, m, cancel) {
			select {
			case <-polling.Done():
			case <-g.feed:
			}
			cancel()
			continue
		}
		records, faults, err := m.Poll(polling)
		again := polling.Err() != nil && ctx.Err() == nil
		cancel()
		if err != nil && !again {
			return err
		}
		for _, f := range faults {
			g.fault(f)
		}
		g.take(g.sift(records))
	}
	return nil
}

// arrival is a record that was read.
type arrival struct {
	tp     kafka.TP
	offset int64
	slot   *slot // nil = nobody is to have it: the filter says so, or it is a marker
	marker bool
	newer  error // a newer build wrote the record in a form that this one cannot read
}

func (a *arrival) bytes() int {
	if a.slot == nil {
		return 0
	}
	return a.slot.record.Size()
}

// sift makes events of records and filters them. It is done before anything is locked: a filter may take its time, and
// settling must not wait for it.
func (g *group) sift(records []kafka.Record) []arrival {
	g.mu.Lock()
	f, types := g.filter, maps.Clone(g.topics)
	g.mu.Unlock()
	out := make([]arrival, len(records))
	for i := range records {
		r := &records[i]
		out[i] = arrival{tp: r.TP, offset: r.Offset, marker: r.Marker}
		if r.Marker {
			continue
		}
		if err := newerForm(r); err != nil {
			out[i].newer = err
			continue
		}
		e := decode(g.bus.cfg.Log.Name(), types[r.Topic], r)
		wanted, failed := f.pass(&e)
		if failed {
			g.bus.metrics.filterErrors.Inc()
		}
		if wanted { // it may be kept for long, and is a part of all that was fetched with it
			s := &slot{record: r.Clone(), event: e, size: e.Size(), index: -1}
			s.event.Key, s.event.Data = s.record.Key, s.record.Value
			s.expires = e.Expiry()
			out[i].slot = s
		}
	}
	return out
}

// take tracks what was read. What belongs to a partition that went meanwhile is dropped: its next owner reads it.
func (g *group) take(arrivals []arrival) {
	g.mu.Lock()
	defer g.mu.Unlock()
	touched := map[*partition]struct{}{}
	for i := range arrivals {
		if p := g.parts[arrivals[i].tp]; p != nil && !p.unsought {
			p.backlog = append(p.backlog, arrivals[i])
			p.ahead += arrivals[i].bytes()
			touched[p] = struct{}{}
		}
	}
	for p := range touched {
		g.track(p)
		g.relieve(p)
		// What opens in a moment is not paused for it: to read on costs a fetch that waits.
		much := len(p.backlog) > aheadEvents || p.ahead > aheadBytes
		if !p.paused && (p.phase == open && len(p.backlog) > 0 || much) {
			p.paused = true
			g.member.Pause(p.tp)
		}
	}
	g.dispatch()
}

// track takes records from the backlog while there is room.
func (g *group) track(p *partition) {
	if p.phase != open || p.newer != nil {
		return
	}
	n := 0
	for ; n < len(p.backlog) && p.bytes < ledger.MaxBytes; n++ {
		s, ok := p.track(g, &p.backlog[n])
		if !ok {
			break
		}
		p.ahead -= p.backlog[n].bytes()
		if s != nil {
			g.enqueue(s)
		}
	}
	clear(p.backlog[:n])
	p.backlog = p.backlog[n:]
	if len(p.backlog) == 0 {
		p.backlog = nil
	}
	if len(p.early) > 0 {
		g.seen(p)
	}
	if len(p.out) > 0 {
		g.flush(p)
	}
}

// refill goes on with a partition that was full.
func (g *group) refill(p *partition) {
	g.track(p)
	if p.replay != nil {
		signal(p.replay.more)
		return
	}
	if p.paused && len(p.backlog) == 0 && g.member != nil && p.phase == open {
		p.paused = false
		g.member.Resume(p.tp)
	}
}

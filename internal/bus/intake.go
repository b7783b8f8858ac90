// SPDX-License-Identifier: Apache-2.0

package bus

import (
	"context"
	"maps"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/kafka"
	"github.com/autobus-io/autobus/internal/ledger"
)

// read polls while there is somebody to read for, and not more than is needed.
func (g *group) read(ctx context.Context, m *kafka.Member) error {
	for ctx.Err() == nil {
		g.mu.Lock()
		hungry := g.hungry()
		g.mu.Unlock()
		if !hungry {
			select {
			case <-ctx.Done():
			case <-g.feed:
			}
			continue
		}
		records, faults, err := m.Poll(ctx)
		if err != nil {
			return err
		}
		for _, f := range faults {
			g.fault(f)
		}
		g.take(g.sift(records))
	}
	return nil
}

// arrival is a record that was read and what the filter says of it.
type arrival struct {
	record kafka.Record
	event  autobus.Event
	wanted bool
}

// sift makes events of records and filters them. It is done before anything is locked: a filter may take its time, and
// settling must not wait for it.
func (g *group) sift(records []kafka.Record) []arrival {
	g.mu.Lock()
	f, types := g.filter, maps.Clone(g.topics)
	g.mu.Unlock()
	out := make([]arrival, len(records))
	for i := range records {
		a := &out[i]
		a.record = records[i]
		if a.record.Marker {
			continue
		}
		a.event = decode(g.bus.cfg.Log.Name(), types[a.record.Topic], &a.record)
		var failed bool
		if a.wanted, failed = f.pass(&a.event); failed {
			g.bus.metrics.filterErrors.Inc()
		}
		if a.wanted { // it may be kept for long, and is a part of all that was fetched with it
			a.record = a.record.Clone()
			a.event.Key, a.event.Data = a.record.Key, a.record.Value
		} else {
			a.record.Key, a.record.Value, a.record.Headers, a.event = nil, nil, nil, autobus.Event{}
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
		if p := g.parts[arrivals[i].record.TP]; p != nil {
			p.backlog = append(p.backlog, arrivals[i])
			p.ahead += arrivals[i].record.Size()
			touched[p] = struct{}{}
		}
	}
	for p := range touched {
		g.track(p)
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
	if p.phase != open {
		return
	}
	n := 0
	for ; n < len(p.backlog) && p.bytes < ledger.MaxBytes; n++ {
		s, ok := p.track(g, &p.backlog[n])
		if !ok {
			break
		}
		p.ahead -= p.backlog[n].record.Size()
		if s != nil {
			g.enqueue(s)
		}
	}
	p.backlog = p.backlog[n:]
	if len(p.backlog) == 0 {
		p.backlog = nil
	}
}

// refill goes on with a partition that was full.
func (g *group) refill(p *partition) {
	g.track(p)
	if p.paused && len(p.backlog) == 0 && g.member != nil && p.phase == open {
		p.paused = false
		g.member.Resume(p.tp)
	}
}

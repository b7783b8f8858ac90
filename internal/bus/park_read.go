// SPDX-License-Identifier: Apache-2.0

package bus

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/autobus-io/autobus/internal/kafka"
)

// How much of a park log is read at a time for what is due.
const (
	wantEvents = 1000
	wantBytes  = 4 << 20
	wantSpan   = 20_000 // offsets; what is further on is read from there
	aheadLane  = 32     // events of a lane that are read with its first

	aheadLaneBytes = 512 << 10
)

// want has the data of a parked event read, and of some that come after it.
func (g *group) want(sl *slot) {
	ask := func(sl *slot) {
		if !sl.copy.wanted {
			sl.copy.wanted = true
			g.wants = append(g.wants, sl)
		}
	}
	ask(sl)
	if sl.inLane && sl.part.bytes < parkBytes {
		bytes := sl.copy.size
		for n, next := range sl.part.lanes[sl.lane][1:] {
			if !next.hollow() || n == aheadLane || bytes > aheadLaneBytes {
				break
			}
			bytes += next.copy.size
			ask(next)
		}
	}
	signal(g.parking)
}

// readParked reads the data of what is wanted, as long as there is somebody to have it.
func (g *group) readParked(ctx context.Context) error {
	for ctx.Err() == nil {
		places := g.nextParked()
		if len(places) == 0 {
			return nil
		}
		from, upTo := map[kafka.TP]int64{}, map[kafka.TP]int64{}
		for tp, slots := range places {
			for at := range slots {
				if first, ok := from[tp]; !ok || at < first {
					from[tp] = at
				}
				upTo[tp] = max(upTo[tp], at)
			}
		}
		err := g.bus.eachOwn(ctx, from, upTo, func(r *kafka.Record) error {
			if sl := places[r.TP][r.Offset]; sl != nil {
				delete(places[r.TP], r.Offset)
				g.fill(sl, r)
			}
			return nil
		})
		g.mu.Lock()
		missing := 0
		for _, slots := range places {
			for _, sl := range slots {
				missing++
				g.wants = append(g.wants, sl)
			}
		}
		g.dispatch()
		g.mu.Unlock()
		if err == nil && missing > 0 {
			err = fmt.Errorf("%d parked events are not where they were put", missing)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// nextParked takes from what is wanted as much as is read at a time.
func (g *group) nextParked() map[kafka.TP]map[int64]*slot {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.hungry() {
		return nil
	}
	g.wants = slices.DeleteFunc(g.wants, func(sl *slot) bool {
		return sl.part.phase != open || sl.state == done || !sl.hollow()
	})
	slices.SortStableFunc(g.wants, func(a, b *slot) int { return cmp.Compare(a.copy.at, b.copy.at) })
	first := map[kafka.TP]int64{}
	out := map[kafka.TP]map[int64]*slot{}
	n, bytes := 0, 0
	g.wants = slices.DeleteFunc(g.wants, func(sl *slot) bool {
		tp := kafka.TP{Topic: park(g.name), Partition: sl.part.tp.Partition % sl.part.shelves}
		if _, ok := first[tp]; !ok {
			first[tp], out[tp] = sl.copy.at, map[int64]*slot{}
		}
		if n >= wantEvents || bytes >= wantBytes || sl.copy.at-first[tp] > wantSpan {
			return false
		}
		n++
		bytes += sl.copy.size
		out[tp][sl.copy.at] = sl
		return true
	})
	return out
}

// fill puts the data of a parked event back into its slot.
func (g *group) fill(sl *slot, r *kafka.Record) {
	g.mu.Lock()
	defer g.mu.Unlock()
	c, p := sl.copy, sl.part
	if p.phase == closed || sl.state == done || !c.hollow || c.at != r.Offset {
		return
	}
	kept := original(g.source(p), sl.record.Offset, r)
	e := decode(g.bus.cfg.Log.Name(), p.typ, &kept)
	sl.record, sl.event, sl.size = kept.Clone(), e, e.Size()
	sl.event.Key, sl.event.Data = sl.record.Key, sl.record.Value
	p.bytes += sl.record.Size()
	c.hollow, c.wanted = false, false
	waits := c.waits
	c.waits = false
	if sl.state == ready && waits {
		g.enqueue(sl)
	}
}

// SPDX-License-Identifier: Apache-2.0

package bus

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/kafka"
)

// tellEvery is how often a tail tells where it is while it delivers nothing of what it reads.
const tellEvery = 10 * time.Second

// tailPlace is where a tail is, for who wants to go on there later. A nil one tells nothing.
type tailPlace struct {
	moved  func(autobus.TailPosition)
	at     map[kafka.TP]int64 // next offsets
	behind map[kafka.TP]int64 // ends when it was opened, of those that it has not reached
	opened bool               // the first positions were told
	more   bool               // there are partitions that were not told
	caught bool               // that it has what was there
	told   time.Time
}

func newTailPlace(moved func(autobus.TailPosition)) *tailPlace {
	return &tailPlace{moved: moved, at: map[kafka.TP]int64{}, behind: map[kafka.TP]int64{}}
}

// enter takes note of partitions that are read from now on.
func (t *tail) enter(ctx context.Context, at map[kafka.TP]int64) error {
	p := t.place
	if p == nil {
		return nil
	}
	maps.Copy(p.at, at)
	p.more = true
	if p.opened {
		return nil
	}
	topics := map[string]struct{}{}
	for tp := range at {
		topics[tp.Topic] = struct{}{}
	}
	ends, err := t.bus.cfg.Log.Ends(ctx, slices.Collect(maps.Keys(topics))...)
	if err != nil {
		return err
	}
	for tp, end := range ends {
		if from, reading := at[tp]; reading && from < end {
			p.behind[tp] = end
		}
	}
	return nil
}

// read takes note of a record, which is delivered with those that were polled with it.
func (p *tailPlace) read(r *kafka.Record) {
	if p == nil {
		return
	}
	p.at[r.TP] = r.Offset + 1
	if end, ok := p.behind[r.TP]; ok && r.Offset+1 >= end {
		delete(p.behind, r.TP)
	}
}

// check tells where the tail is when it has what was there at first, when it reads more, and now and then.
func (p *tailPlace) check(types map[string]string) {
	if p != nil && (p.more || !p.caught && len(p.behind) == 0 || time.Since(p.told) > tellEvery) {
		p.tell(types)
	}
}

// tell tells it now. All that was read is handed out.
func (p *tailPlace) tell(types map[string]string) {
	if p == nil {
		return
	}
	out := autobus.TailPosition{Cursors: map[string]map[int32]int64{}, CaughtUp: !p.caught && len(p.behind) == 0}
	for tp, at := range p.at {
		name := types[tp.Topic]
		if out.Cursors[name] == nil {
			out.Cursors[name] = map[int32]int64{}
		}
		out.Cursors[name][tp.Partition] = at
	}
	p.opened, p.more, p.caught, p.told = true, false, p.caught || out.CaughtUp, time.Now()
	p.moved(out)
}

// cursors are the places that a tail was told before. What they do not name came since, or is read from its end.
func (t *tail) cursors(ctx context.Context, from autobus.Start, topics []string) (map[kafka.TP]int64, error) {
	others := t.bus.cfg.Log.Ends
	if from.Earliest {
		others = t.bus.cfg.Log.Starts
	}
	at, err := others(ctx, topics...)
	if err != nil {
		return nil, err
	}
	table, _ := t.bus.routes.all()
	for name, partitions := range from.Cursors {
		r := table[name]
		if r == nil {
			continue // it was retired
		}
		for partition, offset := range partitions {
			tp := kafka.TP{Topic: r.Topic, Partition: partition}
			if _, reading := at[tp]; reading {
				at[tp] = offset
			}
		}
	}
	return at, nil
}

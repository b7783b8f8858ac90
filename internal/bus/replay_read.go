// SPDX-License-Identifier: Apache-2.0

package bus

import (
	"context"
	"errors"
	"time"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/kafka"
)

// readReplay reads a replay to its end, no faster than workers take it.
func (g *group) readReplay(ctx context.Context, p *partition) {
	var reader *kafka.Reader
	defer func() {
		if reader != nil {
			reader.Close()
		}
	}()
	for ctx.Err() == nil {
		from, wants, over := g.replayWants(p)
		switch {
		case over:
			return
		case !wants:
			select {
			case <-ctx.Done():
			case <-p.replay.more:
			}
			continue
		}
		if reader == nil {
			var err error
			if reader, err = g.bus.cfg.Log.ReadPlaces(from); err != nil {
				g.bus.cfg.Logger.Warn("read replay", "subscription", g.name, "error", err)
				wait(ctx, readAgain)
				continue
			}
		}
		records, err := reader.Poll(ctx)
		if err != nil && ctx.Err() == nil {
			g.replayFault(p, err)
			reader.Close()
			reader = nil
			wait(ctx, readAgain)
			continue
		}
		g.takeReplay(p, g.siftReplay(p, records))
	}
}

func wait(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// replayWants tells the reader of a replay from where it would begin, whether to go on now, and whether it is over.
func (g *group) replayWants(p *partition) (from map[kafka.TP]int64, wants, over bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	next := p.ledger.Next()
	if n := len(p.backlog); n > 0 {
		next = p.backlog[n-1].offset + 1
	}
	wants = p.phase == open && len(p.backlog) == 0 && p.newer == nil && g.hungry()
	return map[kafka.TP]int64{p.tp: next}, wants, p.phase == closed || p.replay.read
}

// replayFault takes note of a replay that cannot be read on.
func (g *group) replayFault(p *partition, err error) {
	g.bus.cfg.Logger.Error("read replay", "subscription", g.name, "type", p.typ, "partition", p.tp.Partition, "error", err)
	if !errors.Is(err, &autobus.Error{Reason: autobus.ReasonPositionLost}) {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	p.replay.lost, p.replay.read = true, true // what was read of it is still done
}

// siftReplay keeps what is of the slice and of its key.
func (g *group) siftReplay(p *partition, records []kafka.Record) []arrival {
	arrivals := g.sift(records)
	for i := range arrivals {
		if arrivals[i].offset >= p.replay.until {
			// What is beyond tells that everything before was seen.
			return append(arrivals[:i:i], arrival{tp: p.tp, offset: p.replay.until, marker: true})
		}
		if key := p.replay.job.Key; key != nil && arrivals[i].newer == nil && string(records[i].Key) != *key {
			arrivals[i].slot, arrivals[i].marker = nil, true
		}
	}
	return arrivals
}

// takeReplay tracks what was read of a replay.
func (g *group) takeReplay(p *partition, arrivals []arrival) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if p.phase != open {
		return
	}
	for _, a := range arrivals {
		if a.offset < p.replay.until {
			p.backlog = append(p.backlog, a)
			p.ahead += a.bytes()
		}
		p.replay.read = p.replay.read || a.offset >= p.replay.until-1
	}
	g.track(p)
	g.relieve(p)
	g.dispatch()
}

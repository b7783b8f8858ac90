// SPDX-License-Identifier: Apache-2.0

package bus

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/control"
	"github.com/autobus-io/autobus/internal/kafka"
	"github.com/autobus-io/autobus/internal/ledger"
)

// standing is where a subscription stands in everything that it reads: what an operator is shown, and by what a change
// is judged. Of partitions that this instance holds it is exact, of others it is what they committed, a second old.
type standing struct {
	types map[string]string // topic -> type
	parts map[kafka.TP]*stand
}

// stand is that of one partition.
type stand struct {
	ledger.Position
	log    kafka.Bounds
	lost   bool
	here   bool               // this instance holds it
	parked map[int64]struct{} // offsets
	held   map[int64]struct{} // those that wait for an operator
}

// stands finds out where a subscription stands.
func (b *Bus) stands(ctx context.Context, name string, v *control.Subscription) (*standing, error) {
	out := &standing{types: b.topicsOf(v.Policy.Types), parts: map[kafka.TP]*stand{}}
	if len(out.types) == 0 {
		return nil, autobus.NewError(autobus.ReasonTypeUnknown, "no type that exists matches what %s reads", name)
	}
	commits, err := b.cfg.Log.Committed(ctx, name)
	if err != nil {
		return nil, err
	}
	if err := b.cfg.State.Barrier(ctx); err != nil {
		return nil, err
	}
	log, err := b.cfg.Log.Bounds(ctx, slices.Collect(maps.Keys(out.types))...)
	if err != nil {
		return nil, err
	}
	for tp, have := range log {
		commit, ok := commits[tp]
		if !ok {
			commit.Offset = -1
		}
		at := b.stored(name, *v, tp, commit, have)
		out.parts[tp] = &stand{Position: at.Position, log: have, lost: at.lost(have)}
	}
	// After the commits: what they say is done has its copy by now.
	shelves, err := b.shelves(ctx, name, func(s source) bool { return s.epoch == v.Epoch(s.Topic, s.Partition) })
	if err != nil {
		return nil, err
	}
	for s, sh := range shelves {
		if p := out.parts[s.TP]; p != nil {
			p.parked, p.held = map[int64]struct{}{}, map[int64]struct{}{}
			for offset, f := range sh.live {
				p.parked[offset] = struct{}{}
				if f.held != 0 {
					p.held[offset] = struct{}{}
				}
			}
		}
	}
	for _, g := range b.groups.all() {
		if g.name == name {
			g.stand(out)
		}
	}
	return out, nil
}

// stand adds what this instance knows better.
func (g *group) stand(to *standing) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for tp, p := range g.parts {
		s := to.parts[tp]
		if s == nil || p.phase == opening || p.epoch != s.SeekEpoch {
			continue
		}
		base, metadata, _ := p.ledger.Encode()
		if at, err := ledger.Decode(base, metadata); err == nil {
			s.Position = at
		}
		s.parked, s.held = map[int64]struct{}{}, map[int64]struct{}{}
		for offset, sl := range p.slots {
			if sl.parked() && sl.copy.at >= 0 {
				s.parked[offset] = struct{}{}
			}
			if sl.held != 0 {
				s.held[offset] = struct{}{}
			}
		}
		s.here = true
	}
}

// isDone reports whether an event of a partition is done.
func (s *stand) isDone(offset int64) bool {
	_, waits := s.parked[offset]
	return s.IsDone(offset) && !waits
}

// topicOf finds the topic of a type that the subscription reads.
func (s *standing) topicOf(name, typ string) (string, error) {
	for topic, t := range s.types {
		if t == typ {
			return topic, nil
		}
	}
	return "", autobus.NewError(autobus.ReasonRequestInvalid, "%s does not read %q", name, clipName(typ)).
		WithHint("It reads %s.", listed(slices.Sorted(maps.Values(s.types))))
}

// find gives a partition that exists and whose brokers answer.
func (s *standing) find(tp kafka.TP) (*stand, error) {
	if p := s.parts[tp]; p != nil {
		return p, nil
	}
	return nil, autobus.NewError(autobus.ReasonPositionInvalid, "%s has no partition %d, or its brokers do not answer",
		s.types[tp.Topic], tp.Partition)
}

// listed names a few of many.
func listed(names []string) string {
	const most = 5
	text := ""
	for i, n := range names {
		switch {
		case i == most:
			return fmt.Sprintf("%s and %d more", text, len(names)-most)
		case i > 0:
			text += ", "
		}
		text += n
	}
	return text
}

// SPDX-License-Identifier: Apache-2.0

package bus

import (
	"context"

	"github.com/autobus-io/autobus/internal/control"
	"github.com/autobus-io/autobus/internal/kafka"
)

// countParked tells how many events of a subscription are parked, by source partition. What this instance has it
// knows; of other partitions the park log tells, which is read for it.
func (b *Bus) countParked(ctx context.Context, name string, v control.Subscription) (map[kafka.TP]int64, error) {
	here := map[kafka.TP]int64{}
	for _, g := range b.groups.all() {
		if g.name == name {
			g.keptHere(here)
		}
	}
	all, err := b.shelves(ctx, name, func(s source) bool {
		_, known := here[s.TP]
		return !known && s.epoch == v.Epoch(s.Topic, s.Partition)
	})
	for s, sh := range all {
		here[s.TP] = int64(len(sh.live))
	}
	return here, err
}

// shelves reads what the park log of a subscription says of the sources that are wanted.
func (b *Bus) shelves(ctx context.Context, name string, want func(source) bool) (map[source]*shelf, error) {
	all := map[source]*shelf{}
	topic := park(name)
	ends, err := b.cfg.Log.Ends(ctx, topic)
	if err != nil || len(ends) == 0 {
		return all, err
	}
	starts, err := b.cfg.Log.Starts(ctx, topic)
	if err != nil {
		return nil, err
	}
	from, upTo := map[kafka.TP]int64{}, map[kafka.TP]int64{}
	for tp, end := range ends {
		if start, ok := starts[tp]; ok && start < end {
			from[tp], upTo[tp] = start, end-1
		}
	}
	return all, b.eachOwn(ctx, from, upTo, func(r *kafka.Record) error {
		f, ok, err := parseFact(r)
		if !ok || !want(f.source) {
			return err
		}
		if all[f.source] == nil {
			all[f.source] = newShelf()
		}
		all[f.source].apply(f)
		return nil
	})
}

// keptHere adds what is parked of the partitions that are open here.
func (g *group) keptHere(to map[kafka.TP]int64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for tp, p := range g.parts {
		if p.phase != opening {
			to[tp] = int64(p.kept)
		}
	}
}

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
	topic := park(name)
	ends, err := b.cfg.Log.Ends(ctx, topic)
	if err != nil || len(ends) == 0 {
		return here, err
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
	all := map[kafka.TP]*shelf{}
	err = b.eachOwn(ctx, from, upTo, func(r *kafka.Record) error {
		f, ok, err := parseFact(r)
		if _, known := here[f.source.TP]; !ok || known || f.source.epoch != v.SeekEpoch {
			return err
		}
		if all[f.source.TP] == nil {
			all[f.source.TP] = newShelf()
		}
		all[f.source.TP].apply(f)
		return nil
	})
	for tp, sh := range all {
		here[tp] = int64(len(sh.live))
	}
	return here, err
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

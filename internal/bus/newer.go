// SPDX-License-Identifier: Apache-2.0

package bus

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/autobus-io/autobus"
)

// What a newer build stored is refused, neither guessed at nor passed over: a type by its route, a subscription by its
// record, a partition of one by its position or by an event. All else goes on.

// Unreadable is a partition of a subscription that stands because of what a newer build wrote.
type Unreadable struct {
	Kind   string `json:"kind"` // partition
	Name   string `json:"name"` // of the subscription, the type and the partition: shipping orders.order.placed.v1/3
	Detail string `json:"detail"`

	Subscription string `json:"-"`
}

// unreadable lists those that this instance holds.
func (b *Bus) unreadable() []Unreadable {
	out := []Unreadable{}
	for _, g := range b.groups.all() {
		g.mu.Lock()
		for _, p := range g.parts {
			if p.newer != nil {
				out = append(out, Unreadable{"partition", fmt.Sprintf("%s %s/%d", g.name, p.typ, p.tp.Partition),
					p.newer.Error(), g.name})
			}
		}
		g.mu.Unlock()
	}
	slices.SortFunc(out, func(a, b Unreadable) int { return cmp.Compare(a.Name, b.Name) })
	return out
}

// tellNewer says that an event holds up a partition.
func (g *group) tellNewer(p *partition) {
	g.bus.cfg.Logger.Error("a newer version wrote the next event; the partition stands until an instance of it takes over",
		"subscription", g.name, "type", p.typ, "partition", p.tp.Partition, "error", p.newer)
}

// newerRoute refuses types of which one has a route that a newer build wrote.
func (b *Bus) newerRoute(patterns []string) error {
	table, _ := b.routes.all()
	for name, r := range table {
		matches := slices.ContainsFunc(patterns, func(p string) bool { return autobus.MatchType(p, name) })
		if err := r.unreadable(); matches && err != nil {
			return err
		}
	}
	return nil
}

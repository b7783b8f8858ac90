// SPDX-License-Identifier: Apache-2.0

package bus

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/autobus-io/autobus"
)

// When the owners of a subscription are looked for.
const (
	lookAfter = 200 * time.Millisecond // where an owner went
	lookEvery = 2 * time.Second        // as long as workers here depend on other instances
	lookSoon  = 500 * time.Millisecond // where there was no owner
	avoidFor  = 2 * time.Second        // an instance that sent a worker away
)

// lookOut makes the scout look for owners.
func (g *group) lookOut() { signal(g.look) }

// lookNow does the same, and soon. It is called with the group's lock.
func (g *group) lookNow() {
	g.urgent = true
	g.lookOut()
}

// scout finds the owners of partitions as long as there are workers here that depend on them.
func (g *group) scout(ctx context.Context) {
	if g.bus.cfg.Dial == nil {
		return
	}
	for {
		select {
		case <-ctx.Done():
			return
		case <-g.look:
		}
		for found := false; g.depends(); {
			select {
			case <-ctx.Done():
				return
			case <-g.look: // it may be urgent now
				if !g.due(found).Before(time.Now()) {
					continue
				}
			case <-time.After(time.Until(g.due(found))):
			}
			found = g.findOwners(ctx)
		}
	}
}

// due is when to look again.
func (g *group) due(found bool) time.Time {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case g.urgent:
		return g.looked.Add(lookAfter)
	case found:
		return g.looked.Add(lookEvery)
	}
	return g.looked.Add(lookSoon)
}

// depends reports whether a session here gets events from other instances: all do where there are no partitions, and
// what polls does so everywhere, because it asks once here and once there.
func (g *group) depends() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	for s := range g.sessions {
		if s.who.Via == "" && s.drain.IsZero() && (len(g.parts) == 0 || s.sub.Detached) {
			return true
		}
	}
	return false
}

// findOwners asks Kafka who has the partitions, and tells the sessions. False: nobody else has any.
func (g *group) findOwners(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, saveTimeout)
	defer cancel()
	g.mu.Lock()
	g.looked, g.urgent = time.Now(), false
	g.mu.Unlock()
	state, err := g.bus.cfg.Log.DescribeGroup(ctx, g.name)
	if err != nil {
		if ctx.Err() == nil {
			g.bus.cfg.Logger.Warn("who has the partitions is not known", "subscription", g.name, "error", err)
		}
		return false
	}
	var owners []peer
	for p, holds := range g.bus.peers.learn(state.Members) {
		if len(holds) > 0 {
			owners = append(owners, p)
		}
	}
	slices.SortFunc(owners, func(a, b peer) int { return cmp.Compare(a.instance, b.instance) })
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(owners) > 0 || state.State == "Stable" { // while it rebalances, some or all are missing
		g.owners = owners
	}
	for s := range g.sessions {
		s.call()
	}
	return len(g.owners) > 0
}

// deserted sends the workers of other instances away: nothing is left for them here. Those of this one look elsewhere.
func (g *group) deserted() {
	for s := range g.sessions {
		if s.who.Via != "" && s.err == nil {
			s.err = notOwner(g)
			s.call()
		}
	}
	g.lookNow()
}

func notOwner(g *group) *autobus.Error {
	return autobus.NewError(autobus.ReasonNotOwner, "%s has no partitions of %s", g.bus.cfg.Instance, g.name)
}

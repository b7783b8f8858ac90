// SPDX-License-Identifier: Apache-2.0

package bus

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/control"
)

// groups follows the subscription records of the control log and holds the groups of this instance, which exist from
// their first session on.
type groups struct {
	bus    *Bus
	linger time.Duration // see lingerFor
	memory time.Duration // see inMemory

	mu       sync.Mutex
	records  map[string]control.Record // of every subscription in force
	byName   map[string]*group
	draining time.Time
	running  sync.WaitGroup
	ended    bool            // nothing is started any more
	ctx      context.Context //nolint:containedctx // the life of the groups, set by run
	ready    chan struct{}   // closed when ctx is set
}

func newGroups(b *Bus) *groups {
	gs := &groups{bus: b, linger: lingerFor, memory: inMemory, records: map[string]control.Record{},
		byName: map[string]*group{}, ready: make(chan struct{})}
	b.cfg.Control.Watch(control.KindSubscription, gs.apply)
	return gs
}

// run lets groups work until ctx ends.
func (gs *groups) run(ctx context.Context) {
	gs.mu.Lock()
	gs.ctx = ctx
	gs.mu.Unlock()
	close(gs.ready)
	<-ctx.Done()
	gs.mu.Lock()
	gs.ended = true
	gs.mu.Unlock()
	gs.running.Wait()
}

// apply takes over a record of a subscription.
func (gs *groups) apply(rec control.Record) {
	gs.mu.Lock()
	defer gs.mu.Unlock()
	if rec.Removed() {
		delete(gs.records, rec.Name)
	} else {
		gs.records[rec.Name] = rec
	}
	if g := gs.byName[rec.Name]; g != nil {
		g.replace(rec)
		if rec.Removed() {
			delete(gs.byName, rec.Name) // one of the same name made later is another subscription
		}
	}
}

// replace puts another record in force. The group joins anew with it; sessions stay, unless it is gone.
func (g *group) replace(rec control.Record) {
	g.mu.Lock()
	defer g.mu.Unlock()
	before, readable := g.value, g.deleted == nil
	var bad *autobus.Error
	if rec.Removed() {
		bad = autobus.NewError(autobus.ReasonSubscriptionUnknown, "subscription %s was deleted", g.name)
	} else if err := g.use(rec); err != nil {
		bad = err
	}
	g.deleted, g.gone = bad, rec.Removed()
	for s := range g.sessions {
		if s.err = bad; bad == nil {
			s.err = autobus.AsError(mayReadAll(s.who, g.policy.Types)) // it may read other types now
		}
		if s.err != nil {
			s.call()
		}
	}
	if bad == nil && readable && samePolicy(before.Policy, g.value.Policy) {
		g.operate()
		return
	}
	g.shape = rec.Offset
	// The membership ends, and until then nothing is handed out by the old policy nor by the new one.
	g.closeParts()
	g.checkWanted()
}

// use reads a record.
func (g *group) use(rec control.Record) *autobus.Error {
	value, err := control.Decode[control.Subscription](rec)
	if err != nil {
		return autobus.AsError(err)
	}
	f, bad := newFilter(value.Policy.Filter, value.Policy.Params)
	if bad != nil {
		return bad
	}
	g.record, g.value, g.policy, g.filter = rec, value, value.Policy.WithDefaults(), f
	if value.Paused != nil {
		g.halt = nil // what was to be written is, or somebody else was faster
	}
	return nil
}

// get returns the group of a subscription, and starts it when it is the first time that somebody asks.
func (gs *groups) get(ctx context.Context, name string) (*group, *autobus.Error) {
	select {
	case <-gs.ready:
	case <-ctx.Done():
		return nil, autobus.NewError(autobus.ReasonStarting, "this instance hands out no events yet")
	}
	gs.mu.Lock()
	defer gs.mu.Unlock()
	rec, ok := gs.records[name]
	if !ok {
		return nil, autobus.NewError(autobus.ReasonSubscriptionUnknown, "there is no subscription %s", name)
	}
	if !gs.draining.IsZero() || gs.ended {
		return nil, autobus.NewError(autobus.ReasonShuttingDown, "this instance takes no more sessions")
	}
	if g := gs.byName[name]; g != nil {
		return g, nil
	}
	g := newGroup(gs.bus, name)
	if err := g.use(rec); err != nil {
		return nil, err
	}
	g.shape = rec.Offset
	gs.byName[name] = g
	gs.running.Go(func() { g.run(gs.ctx) })
	return g, nil
}

func (gs *groups) all() []*group {
	gs.mu.Lock()
	defer gs.mu.Unlock()
	out := make([]*group, 0, len(gs.byName))
	for _, g := range gs.byName {
		out = append(out, g)
	}
	return out
}

// drain ends all deliveries: workers are told, what they hold may be settled until the deadline, then every position is
// committed and the Kafka groups are left.
func (gs *groups) drain(ctx context.Context) {
	deadline := time.Now().Add(drainFor)
	gs.mu.Lock()
	gs.draining = deadline
	gs.mu.Unlock()
	for _, g := range gs.all() {
		g.drain(deadline)
	}
	for _, g := range gs.all() {
		g.drained(ctx, deadline)
	}
}

// drain takes back what was not handed out and tells the sessions.
func (g *group) drain(deadline time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.draining = deadline
	g.closeParts()
	for s := range g.sessions {
		s.drain = deadline
		s.call()
	}
	g.checkWanted()
}

// drained waits until nothing is leased or the deadline passed, and ends the sessions.
func (g *group) drained(ctx context.Context, deadline time.Time) {
	g.mu.Lock()
	parts := make([]*partition, 0, len(g.parts))
	for p := range g.everyPart() {
		parts = append(parts, p)
	}
	g.mu.Unlock()
	g.settled(ctx, parts, time.Until(deadline))
	g.returned(ctx, time.Until(deadline))
	g.mu.Lock()
	defer g.mu.Unlock()
	for s := range g.sessions {
		s.err = autobus.NewError(autobus.ReasonShuttingDown, "this instance goes down")
		s.call()
	}
	g.deleted = autobus.NewError(autobus.ReasonShuttingDown, "this instance goes down")
	g.checkWanted()
}

// near lists names of subscriptions like one that does not exist, of those that the principal may know of.
func (gs *groups) near(who autobus.Principal, name string) []string {
	gs.mu.Lock()
	defer gs.mu.Unlock()
	var names []string
	for n := range gs.records {
		if maySee(who, n) {
			names = append(names, n)
		}
	}
	slices.Sort(names)
	return autobus.Near(name, names, 3)
}

// maySee reports whether a principal may know of a subscription.
func maySee(who autobus.Principal, name string) bool {
	return who.May(autobus.VerbSubscribe, name) || who.May(autobus.VerbManage, name)
}

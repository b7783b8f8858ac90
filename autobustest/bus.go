// SPDX-License-Identifier: Apache-2.0

package autobustest

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/spec"
)

// Bus implements autobus.Bus in memory. It lives as long as its test.
//
// One mutex guards all of it. It is held by lock and unlock; functions of the test and of its service are called
// without it, except for matches and filters.
type Bus struct {
	t     testing.TB
	cfg   config
	specs *spec.Snapshot

	mu      sync.Mutex
	clock   clock
	later   []func()      // to be called when the mutex is free
	changed chan struct{} // closed at the next unlock; nil = nobody waits
	ended   bool

	topics     map[string]*topic
	written    []*record // of all topics, in the order in which they were written
	duplicates map[identity]*attempt
	groups     map[string]*group
	tails      map[*tail]struct{}
	inboxes    map[*inbox]struct{}
	replies    *topic
	addresses  map[autobus.Address]string // every one that was given -> its principal
	leases     map[autobus.Lease]*slot    // every one that was ever given
	failures   []*planned
	sessions   uint64 // counter
	schedules  int    // counter
}

var _ autobus.Bus = (*Bus)(nil)

// New makes a bus. It ends with the test, after the cleanups that were registered later: whoever is still subscribed
// then is told ReasonShuttingDown. An option that cannot be followed fails the test.
//
// The test fails at its end when a failure that it planned never happened, or when a handler does not return.
func New(t testing.TB, opts ...Option) *Bus {
	t.Helper()
	cfg := config{filters: map[string]FilterFunc{}, who: everybody()}
	for _, o := range opts {
		if err := o(&cfg); err != nil {
			t.Fatalf("autobustest: %v\n%s", err, autobus.AsError(err).NextStep())
		}
	}
	b := &Bus{t: t, cfg: cfg, specs: cfg.specs, clock: clock{stands: !cfg.start.IsZero(), at: cfg.start},
		topics: map[string]*topic{}, duplicates: map[identity]*attempt{}, groups: map[string]*group{},
		tails: map[*tail]struct{}{}, inboxes: map[*inbox]struct{}{}, addresses: map[autobus.Address]string{},
		leases: map[autobus.Lease]*slot{}}
	if b.specs == nil {
		b.specs = spec.Empty()
	}
	for _, typ := range b.specs.Types() {
		b.topics[typ.Name] = b.newTopic(typ.Name, typ)
	}
	for _, s := range b.specs.Subscriptions() {
		b.groups[s.Name] = b.newGroup(s.Name, s.Policy)
	}
	b.replies = &topic{name: "replies", replies: true, partitions: make([][]*record, 1)}
	t.Cleanup(b.end)
	return b
}

// everybody is who acts when the context names nobody.
func everybody() autobus.Principal {
	p := autobus.Principal{Name: "test"}
	for _, v := range autobus.Verbs() {
		p.Grants = append(p.Grants, autobus.Grant{Verb: v, Pattern: "*"})
	}
	return p
}

func (b *Bus) principal(ctx context.Context) autobus.Principal {
	if p, ok := autobus.PrincipalOf(ctx); ok {
		return p
	}
	return b.cfg.who
}

// specified reports whether types need a spec.
func (b *Bus) specified() bool { return b.cfg.specs != nil }

func (b *Bus) lock() { b.mu.Lock() }

// unlock lets others go on, tells those who wait for a change, and calls what must not be called under the mutex.
func (b *Bus) unlock() {
	if b.changed != nil {
		close(b.changed)
		b.changed = nil
	}
	if !b.ended {
		b.clock.arm(b.wake)
	}
	later := b.later
	b.later = nil
	b.mu.Unlock()
	for _, f := range later {
		f()
	}
}

// Patience of what waits: a test that waits longer has gone wrong. In a bubble of testing/synctest, whose clock begins
// in the year 2000, time is free and backoffs of days are waited for.
const (
	patience       = 10 * time.Second
	bubblePatience = 365 * 24 * time.Hour
	bubblesEnd     = 2020
)

// await waits until done says so, and gives how long it waited in vain. done is called with the bus locked.
func (b *Bus) await(done func() bool) (waited time.Duration, ok bool) {
	limit := patience
	if time.Now().UTC().Year() < bubblesEnd {
		limit = bubblePatience
	}
	timer := time.NewTimer(limit)
	defer timer.Stop()
	for {
		b.mu.Lock()
		if done() {
			b.mu.Unlock()
			return 0, true
		}
		if b.changed == nil {
			b.changed = make(chan struct{})
		}
		changed := b.changed
		b.mu.Unlock()
		select {
		case <-changed:
		case <-timer.C:
			return limit, false
		}
	}
}

// end is the end of the test.
func (b *Bus) end() {
	b.lock()
	b.ended = true
	b.clock.stop()
	b.eject(autobus.NewError(autobus.ReasonShuttingDown, "the test is over"))
	failed := b.t.Failed() // which may be why
	for _, f := range b.failures {
		if f.happened == 0 && !failed {
			b.t.Errorf("autobustest: a planned failure never happened: %s", f.what)
		}
	}
	b.unlock()
	if waited, ok := b.await(func() bool { return len(b.stuck()) == 0 }); !ok {
		b.lock()
		stuck := b.stuck()
		b.unlock()
		b.t.Errorf("autobustest: %s after the end of the test these have not returned from their handlers: %v", waited, stuck)
	}
}

// eject ends every session and every tail.
func (b *Bus) eject(why *autobus.Error) {
	for t := range b.tails {
		t.err = cmp.Or(t.err, why)
		signal(t.wake)
	}
	for in := range b.inboxes {
		in.err = cmp.Or(in.err, why)
		signal(in.wake)
	}
	for _, g := range b.groups {
		for _, s := range g.sessions {
			s.err = cmp.Or(s.err, why)
			signal(s.wake)
		}
	}
}

// stuck names those who are still subscribed.
func (b *Bus) stuck() (names []string) {
	for t := range b.tails {
		names = append(names, "a tail of "+list(t.sub.Tail))
	}
	for range b.inboxes {
		names = append(names, "an inbox")
	}
	for _, g := range b.groups {
		for range g.sessions {
			names = append(names, "a session of "+g.name)
		}
	}
	slices.Sort(names)
	return names
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

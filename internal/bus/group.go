// SPDX-License-Identifier: Apache-2.0

package bus

import (
	"context"
	"errors"
	"hash/maphash"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/control"
	"github.com/autobus-io/autobus/internal/kafka"
)

// How a group takes part in its Kafka group.
const (
	lingerFor = 10 * time.Second // how long it stays without sessions and leases, so that a reconnect costs nothing
	drainFor  = 5 * time.Second  // how long leases may be settled while a partition goes
	joinAgain = time.Second      // after an error
)

// group is a subscription on this instance: the sessions here, and the partitions that the Kafka group gave us. One
// mutex guards all of it; what takes time (polling, committing, the calls of workers) is done without it.
//
// Its goroutines: run joins and leaves; while joined, read polls, save commits every second, and tend lets timers go.
// Each session has the goroutine of its Subscribe.
type group struct {
	bus  *Bus
	name string
	seed maphash.Seed

	mu       sync.Mutex
	record   control.Record // of the subscription in force
	value    control.Subscription
	shape    int64          // offset of the record by which the membership goes: surgery does not end it
	policy   autobus.Policy // with defaults
	filter   *filter
	deleted  *autobus.Error // why nobody can subscribe any more
	gone     bool           // it was deleted for good
	draining time.Time      // when the instance must be done; zero = it is not

	sessions map[*session]struct{}
	order    []*session // the same, in a fixed order
	reserved *session   // gets nothing new until it can take an event alone
	until    time.Time  // when another one is reserved instead
	turn     int
	detached int // leases that belong to no session

	parts   map[kafka.TP]*partition
	topics  map[string]string // topic -> type, of what is read
	ready   queue
	alone   queue
	timers  timers
	unsaved map[*slot]struct{} // wait for a commit
	noGrave bool               // the topic of the dead letters is gone
	noPark  bool               // the topic of parked events is gone
	wants   []*slot            // parked events whose data is to be read
	breaker breaker
	member  *kafka.Member
	unpoll  context.CancelFunc // ends the poll under way; nil = there is none
	halt    *control.Pause     // the pause that is being written, see stop.go
	saving  sync.Mutex         // held around a commit; taken before mu

	uncommitted commitFault

	owners []peer               // other instances that have partitions, as of the last look
	avoid  map[string]time.Time // instances that are not asked until then
	looked time.Time            // when the last look began
	urgent bool                 // it is out of date
	look   chan struct{}        // one token: the owners are wanted

	changed chan struct{} // one token: run should look what is wanted
	feed    chan struct{} // one token: read may go on
	timer   chan struct{} // one token: the next timer may be another one
	commit  chan struct{} // one token: commit now
	parking chan struct{} // one token: there is something to do for the park log
	halting chan struct{} // one token: a pause is to be written
	replays chan struct{} // one token: replays may have to begin

	redriving chan struct{} // one token: a job may go on
}

func newGroup(b *Bus, name string) *group {
	return &group{bus: b, name: name, seed: maphash.MakeSeed(), sessions: map[*session]struct{}{},
		parts: map[kafka.TP]*partition{}, topics: map[string]string{}, unsaved: map[*slot]struct{}{},
		changed: make(chan struct{}, 1), feed: make(chan struct{}, 1), timer: make(chan struct{}, 1),
		commit: make(chan struct{}, 1), parking: make(chan struct{}, 1), halting: make(chan struct{}, 1),
		replays: make(chan struct{}, 1), redriving: make(chan struct{}, 1), look: make(chan struct{}, 1),
		avoid: map[string]time.Time{}}
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

func (g *group) tick()    { signal(g.timer) }
func (g *group) saveNow() { signal(g.commit) }

// checkWanted makes run look whether the group is still needed.
func (g *group) checkWanted() { signal(g.changed) }

func (g *group) wakeReader() {
	if !g.hungry() {
		return
	}
	signal(g.feed)
	for _, p := range g.parts {
		for _, side := range p.sides {
			signal(side.replay.more)
		}
	}
}

// wanted reports whether somebody is there to work for.
func (g *group) wanted() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.deleted == nil && (len(g.sessions) > 0 || g.detached > 0)
}

func (g *group) isGone() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.gone
}

// enter adds a session.
func (g *group) enter(who autobus.Principal, s *autobus.Subscription) (*session, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if err := mayReadAll(who, g.policy.Types); err != nil {
		return nil, err
	}
	switch {
	case g.deleted != nil:
		return nil, g.deleted
	case who.Via != "" && len(g.parts) == 0:
		return nil, notOwner(g)
	case !g.draining.IsZero():
		return nil, autobus.NewError(autobus.ReasonShuttingDown, "this instance takes no more sessions")
	}
	w := *g.policy.Window
	if s.Window != nil {
		w = s.Window.WithDefaults()
	}
	se := newSession(g, who, s, w)
	g.sessions[se] = struct{}{}
	g.order = nil
	for _, p := range g.parts {
		if p.lost != nil {
			se.lost = append(se.lost, *p.lost)
			se.call()
		}
	}
	g.bus.metrics.sessions.Inc()
	g.checkWanted()
	g.lookOut()
	se.call()
	g.dispatch()
	return se, nil
}

// run joins the Kafka group while somebody wants it, until ctx ends or the subscription is deleted.
func (g *group) run(ctx context.Context) {
	defer func() {
		if g.isGone() { // now that its workers have left, what is stored of it can go too
			g.bus.forget(ctx, g.name)
		}
	}()
	for ctx.Err() == nil && !g.isGone() {
		if !g.wanted() {
			select {
			case <-ctx.Done():
			case <-g.changed:
			}
			continue
		}
		if err := g.work(ctx); err != nil && ctx.Err() == nil {
			g.bus.cfg.Logger.Warn("subscription cannot be read and will be tried again", "subscription", g.name, "error", err)
			select {
			case <-ctx.Done():
			case <-time.After(joinAgain):
			}
		}
	}
}

// work is one membership: from joining until nobody is there, the subscription changed, or ctx ends.
func (g *group) work(ctx context.Context) error {
	g.mu.Lock()
	at, buries := g.shape, g.policy.OnExhausted == autobus.ToDeadLetters
	g.mu.Unlock()
	// After the look at the record: what changes in between shows as another record.
	topics, appeared := g.matching()
	for len(topics) == 0 { // no type matches yet
		select {
		case <-ctx.Done():
			return nil
		case <-g.changed:
			return nil
		case <-appeared:
		}
		topics, appeared = g.matching()
	}
	if buries { // it came with the subscription; somebody may have deleted it since
		if err := g.bus.createDeadLetters(ctx, g.name); err != nil {
			return err
		}
	}
	m, err := g.bus.cfg.Log.Join(ctx, kafka.Group{ID: g.name, Topics: topics, Start: g.assigned, Revoked: g.revoked,
		Lost: g.lostParts})
	if err != nil {
		return err
	}
	g.mu.Lock()
	g.member = m
	g.mu.Unlock()

	working, stop := context.WithCancel(ctx)
	var parts sync.WaitGroup
	failed := make(chan error, 1)
	parts.Go(func() {
		if err := g.read(working, m); err != nil && working.Err() == nil {
			failed <- err
		}
	})
	parts.Go(func() { g.save(working, m) })
	parts.Go(func() { g.tend(working) })
	parts.Go(func() { g.keepPark(working) })
	parts.Go(func() { g.scout(working) })
	parts.Go(func() { g.keepRedriving(working, m) })
	parts.Go(func() { g.keepStopped(working) })
	parts.Go(func() { g.keepReplays(working) })
	err = g.stay(ctx, m, at, appeared, failed)

	// Leaving hands the partitions over: it waits for leases and commits, so it needs the others still.
	leaving, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*drainFor)
	defer cancel()
	err = errors.Join(err, m.Leave(leaving))
	stop()
	parts.Wait()
	g.mu.Lock()
	defer g.mu.Unlock()
	g.member = nil
	for _, p := range g.parts {
		g.drop(p)
	}
	return err
}

// stay waits until the membership should end.
func (g *group) stay(ctx context.Context, m *kafka.Member, at int64, appeared <-chan struct{},
	failed <-chan error) error {
	var linger <-chan time.Time
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-failed:
			return err
		case <-linger:
			if !g.wanted() {
				return nil
			}
			linger = nil
		case <-appeared:
			var topics []string
			topics, appeared = g.matching()
			m.AddTopics(topics...)
		case <-g.changed:
			g.mu.Lock()
			over := g.shape != at || g.deleted != nil
			g.mu.Unlock()
			switch {
			case over:
				return nil
			case g.wanted():
				linger = nil
			case linger == nil:
				linger = time.After(g.bus.groups.linger)
			}
		}
	}
}

// matching lists the topics of the types that the subscription names, and a channel that closes when there may be more.
func (g *group) matching() (topics []string, changed <-chan struct{}) {
	_, changed = g.bus.routes.all()
	g.mu.Lock()
	defer g.mu.Unlock()
	found := g.bus.topicsOf(g.policy.Types)
	maps.Copy(g.topics, found)
	return slices.Sorted(maps.Keys(found)), changed
}

// tend lets timers go when their moment comes.
func (g *group) tend(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		case <-g.timer:
		}
		if next := g.expire(time.Now()); !next.IsZero() {
			timer.Reset(time.Until(next))
		}
	}
}

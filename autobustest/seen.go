// SPDX-License-Identifier: Apache-2.0

package autobustest

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/autobus-io/autobus"
)

// Settled is an outcome that counted. Those that extend a lease are not among them.
type Settled struct {
	Event   autobus.Event
	Attempt int // that it ended, from 1
	Outcome autobus.Outcome
}

// DeadLetter is an event that a subscription gave up, with its place in its type's topic and why.
type DeadLetter struct {
	Event       autobus.Event
	Partition   int32
	Offset      int64
	Reason      string // the worker's own, or what happened to the last attempt
	Attempts    int
	First, Last time.Time // of its first delivery, of its end
}

// Published lists the events that were written, of the types or patterns named, or of all, in their order: as they
// stand in the log, with id, source, time and key filled in. What Deliver injected is not among them.
func (b *Bus) Published(types ...string) []autobus.Event {
	b.lock()
	defer b.unlock()
	return b.published(types)
}

func (b *Bus) published(types []string) (events []autobus.Event) {
	for _, r := range b.written {
		if r.only == nil && (len(types) == 0 || slices.ContainsFunc(types, func(p string) bool {
			return autobus.MatchType(p, r.event.Type)
		})) {
			events = append(events, clone(&r.event))
		}
	}
	return events
}

// AwaitPublished waits until n events of a type, or of the types that match a pattern, were written, and returns all of
// them. It fails the test when they do not come within 10 s, or within a year of a bubble's time.
func (b *Bus) AwaitPublished(typ string, n int) []autobus.Event {
	b.t.Helper()
	var events []autobus.Event
	waited, ok := b.await(func() bool {
		events = b.published([]string{typ})
		return len(events) >= n
	})
	if !ok {
		b.t.Fatalf("autobustest: within %s %d events of %s were published, want %d:%s\nall that was published:%s",
			waited, len(events), typ, n, lines(events), lines(b.Published()))
	}
	return events
}

// Settled lists the outcomes of a subscription's deliveries in their order. A subscription that does not exist fails
// the test.
func (b *Bus) Settled(subscription string) []Settled {
	b.t.Helper()
	g := b.group(subscription)
	b.lock()
	defer b.unlock()
	return slices.Clone(g.settled)
}

// DeadLetters lists what a subscription gave up, in the order in which it did. A subscription that does not exist fails
// the test.
func (b *Bus) DeadLetters(subscription string) []DeadLetter {
	b.t.Helper()
	g := b.group(subscription)
	b.lock()
	defer b.unlock()
	return slices.Clone(g.letters)
}

// Idle waits until a subscription has nothing left to do: every event that it reads is acked, skipped or given up, and
// nothing waits for another attempt. It also waits for the subscription itself, which the service may be about to make.
// It fails the test when that does not come within 10 s, or within a year of a bubble's time, and says what is left.
func (b *Bus) Idle(subscription string) {
	b.t.Helper()
	waited, ok := b.await(func() bool {
		g := b.groups[subscription]
		return g != nil && len(g.slots) == 0
	})
	if ok {
		return
	}
	g := b.group(subscription)
	b.lock()
	left := g.left()
	b.unlock()
	b.t.Fatalf("autobustest: subscription %s is not idle after %s:%s", subscription, waited, left)
}

// left says what a subscription has to do.
func (g *group) left() string {
	const most = 10
	var s strings.Builder
	fmt.Fprintf(&s, " %d events to do, %d sessions", len(g.slots), len(g.sessions))
	for i, sl := range g.slots {
		if i == most {
			fmt.Fprintf(&s, "\n  and %d more", len(g.slots)-most)
			break
		}
		e := &sl.record.event
		fmt.Fprintf(&s, "\n  %s %s, key %q, attempt %d: %s", e.Type, e.ID, e.Key, sl.attempt, sl.doing())
	}
	return s.String()
}

func (s *slot) doing() string {
	in := s.at.Sub(s.group.bus.clock.now())
	switch {
	case s.state == waiting:
		return "waits for an earlier event of its key"
	case s.state == leased:
		return fmt.Sprintf("a worker has it, for %s more", in)
	case s.state == pausing:
		return fmt.Sprintf("comes again in %s, after %q", in, s.failure)
	case len(s.group.sessions) == 0:
		return "nobody is subscribed"
	}
	return "no session has room, or takes it"
}

// Deliver hands events to one subscription past everything else: they are not validated, nobody else sees them, and
// they are not among Published. So a handler can be given what no honest publisher could send. An absent id and time
// are filled in, Key is taken as it is. The test fails when the subscription does not exist or does not read the type.
func (b *Bus) Deliver(subscription string, events ...autobus.Event) {
	b.t.Helper()
	g := b.group(subscription)
	for i := range events {
		e := clone(&events[i])
		if !g.reads(e.Type) {
			b.t.Fatalf("autobustest: subscription %s reads %s, not %q", subscription, list(g.policy.Types), e.Type)
		}
		b.deliver(g, &e)
	}
}

func (b *Bus) deliver(g *group, e *autobus.Event) {
	b.lock()
	defer b.unlock()
	now := b.clock.now().UTC()
	if e.ID == "" {
		e.ID = autobus.NewID(now)
	}
	if e.Time.IsZero() {
		e.Time = now
	}
	t := b.topics[e.Type]
	if t == nil {
		t = b.newTopic(e.Type, nil)
		b.topics[e.Type] = t
	}
	b.append(t, e, g)
}

// group finds a subscription for the test, which fails when there is none.
func (b *Bus) group(name string) *group {
	b.t.Helper()
	b.lock()
	g, err := b.groups[name], b.unknownSubscription(everybody(), name)
	b.unlock()
	if g == nil {
		b.t.Fatalf("autobustest: %v. %s", err, cmp.Or(err.Hint,
			"The service makes it by Create, the test by Bus.Subscription, the specs in services/*.yaml."))
	}
	return g
}

// lines lists events for a message.
func lines(events []autobus.Event) string {
	const most, dataBytes = 20, 120
	if len(events) == 0 {
		return " nothing"
	}
	var s strings.Builder
	for i, e := range events {
		if i == most {
			fmt.Fprintf(&s, "\n  and %d more", len(events)-most)
			break
		}
		fmt.Fprintf(&s, "\n  %s %s %s", e.Type, e.ID, strings.ToValidUTF8(string(e.Data[:min(len(e.Data), dataBytes)]), "?"))
	}
	return s.String()
}

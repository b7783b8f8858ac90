// SPDX-License-Identifier: Apache-2.0

package autobustest

import (
	"time"

	"github.com/autobus-io/autobus"
)

// Revoke takes a lease away, as happens when a partition goes to another instance: its worker is told by
// Subscription.Revoke, whoever settles it hears ReasonLeaseStale, and the event comes again under the same attempt. A
// lease that is not live fails the test.
func (b *Bus) Revoke(l autobus.Lease) {
	b.t.Helper()
	b.lock()
	sl := b.leases[l]
	live := sl != nil && sl.state == leased && sl.lease == l
	if live {
		g := sl.group
		g.revoke(sl)
		g.enqueue(sl)
		g.dispatch()
	}
	b.unlock()
	if !live {
		b.t.Fatalf("autobustest: Revoke: the lease %q is not live", l)
	}
}

// Disconnect cuts every connection: each Subscribe ends with ReasonServerUnreachable, which is retriable. Leases are
// gone, detached ones too, and what was in hand comes again under the same attempt to whoever subscribes next.
func (b *Bus) Disconnect() {
	b.lock()
	defer b.unlock()
	for _, g := range b.groups {
		g.incarnation++
		g.withdraw(nil)
		for _, sl := range g.slots {
			if sl.state == leased {
				g.unlease(sl)
				g.enqueue(sl)
			}
		}
	}
	b.eject(autobus.NewError(autobus.ReasonServerUnreachable, "the test cut the connection"))
}

// Drain does what an instance does that goes down: it tells every session by Subscription.Draining that it has until
// the deadline, hands out nothing new, and at the deadline, or as soon as a session holds nothing, ends it with
// ReasonShuttingDown. Tails end at once. Who subscribes from now on is served, as by the next instance.
func (b *Bus) Drain(wait time.Duration) {
	b.lock()
	defer b.unlock()
	down := goingDown()
	deadline := b.clock.now().Add(wait)
	for t := range b.tails {
		t.err = down
		signal(t.wake)
	}
	for _, g := range b.groups {
		g.withdraw(nil)
		for _, s := range g.sessions {
			s.drain = deadline
			signal(s.wake)
			b.clock.set(deadline, func() { s.end(down) })
			if s.events == 0 {
				s.end(down)
			}
		}
	}
}

func goingDown() *autobus.Error {
	return autobus.NewError(autobus.ReasonShuttingDown, "this instance goes down")
}

// end ends a session, unless something else did.
func (s *session) end(why *autobus.Error) {
	if s.err == nil {
		s.err = why
		signal(s.wake)
	}
}

// LosePosition makes retention overtake a subscription in one partition of a type: what it has not done there is gone,
// its sessions are told by Subscription.Lost, also those to come, and the partition stands: nothing more is delivered
// from it.
func (b *Bus) LosePosition(subscription, typ string, partition int32) {
	b.t.Helper()
	g := b.group(subscription)
	b.lock()
	t := b.topics[typ]
	known := t != nil && g.reads(typ) && partition >= 0 && int(partition) < len(t.partitions)
	if known {
		end := int64(len(t.partitions[partition]))
		lost := autobus.PositionLost{Type: typ, Partition: partition, From: end, To: end}
		p := g.part(typ, partition)
		for _, sl := range g.slots {
			if sl.part == p {
				lost.From = min(lost.From, sl.record.offset)
			}
		}
		g.stand(p, lost)
		g.dispatch()
	}
	b.unlock()
	if !known {
		b.t.Fatalf("autobustest: LosePosition: subscription %s does not read partition %d of %q", subscription,
			partition, typ)
	}
}

// SPDX-License-Identifier: Apache-2.0

package bus

import (
	"context"
	"time"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/control"
	"github.com/autobus-io/autobus/internal/kafka"
)

// SetLinger shortens how long a group stays without sessions.
func (b *Bus) SetLinger(d time.Duration) { b.groups.linger = d }

// SetMemory shortens for how long a wait is kept in memory alone.
func (b *Bus) SetMemory(d time.Duration) { b.groups.memory = d }

// LeaseInstance is the instance that gave a lease.
func LeaseInstance(l autobus.Lease) string {
	frame, _, _ := l.Cut()
	parsed, _ := parseFrame(frame)
	return parsed.instance
}

// Stored is the rule of where a subscription stands.
func (b *Bus) Stored(name string, v control.Subscription, tp kafka.TP, commit kafka.Commit, log kafka.Bounds) (
	base int64, incarnation uint32, verdict string) {
	at := b.stored(name, v, tp, commit, log)
	switch {
	case at.newer:
		verdict = "newer"
	case at.lost(log):
		verdict = "lost"
	case len(at.doubts) > 0:
		verdict = "doubt"
	}
	return at.Base, at.incarnation, verdict
}

// RedrivenCopies counts the copies of redriven events in a park log that count, by letter.
func RedrivenCopies(records []kafka.Record) (map[int64]int, error) {
	out, shelves := map[int64]int{}, map[source]*shelf{}
	for i := range records {
		f, ok, err := parseFact(&records[i])
		if err != nil || !ok {
			return nil, err
		}
		sh := shelves[f.source]
		if sh == nil {
			sh = newShelf()
			shelves[f.source] = sh
		}
		if f.kind == kindCopy && f.letter > 0 && f.by >= sh.claimed {
			out[f.letter-1]++
		}
		sh.apply(f)
	}
	return out, nil
}

// LookForNeglected looks which delayed events retention takes soon, as if it were now.
func (b *Bus) LookForNeglected(ctx context.Context, now time.Time) { b.expiring.lookDelayed(ctx, now) }

// LookForExpiring looks which dead letters retention takes soon, as if it were now.
func (b *Bus) LookForExpiring(ctx context.Context, now time.Time) { b.expiring.look(ctx, now) }

// Feeds is how many partitions of the log of replies are read for inboxes that are resumed here.
func (b *Bus) Feeds() int {
	b.replies.mu.Lock()
	defer b.replies.mu.Unlock()
	return len(b.replies.feeds)
}

// SetSlowInbox says how long an inbox that takes nothing may hold up others.
func (b *Bus) SetSlowInbox(d time.Duration) { b.replies.slow = d }

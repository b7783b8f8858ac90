// SPDX-License-Identifier: Apache-2.0

package bustest

import (
	"cmp"
	"fmt"
	"slices"
	"unicode/utf8"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/kafka"
)

// judge is the part of a check that is about one subscription.
type judge struct {
	*checker
	h       *History
	g       *Group
	handled map[place]*handled
}

// handled is what a subscription did with one event.
type handled struct {
	deliveries []*delivery // by fence
	letters    []*letter
	spent      int // attempts before this life of it
}

// deliveries judges what the subscriptions delivered, against the log that was read before.
func (c *checker) deliveries(h *History) {
	leases := map[autobus.Lease]*delivery{}
	for _, g := range h.groups {
		for _, d := range g.deliveries {
			c.report.Delivered++
			d.settled, d.revoked = nil, 0
			c.delivered(g, d)
			if leases[d.lease] != nil {
				c.fault(Shared, d.id, "%s: its lease was given before, for %s", g.name, leases[d.lease].place)
			}
			leases[d.lease] = d
		}
		for _, r := range g.revoked {
			if d := leases[r.lease]; d != nil && d.revoked == 0 {
				d.revoked = r.at
			}
		}
	}
	for _, s := range h.settlements {
		if d := leases[s.lease]; d != nil {
			d.settled = append(d.settled, s)
		} else if s.answer == counted {
			c.fault(Stale, "", "the %s of a lease that nobody was given counted", s.kind)
		}
	}
	for _, g := range h.groups {
		j := &judge{checker: c, h: h, g: g, handled: map[place]*handled{}}
		j.run()
	}
}

// delivered compares a delivery with the record at its place.
func (c *checker) delivered(g *Group, d *delivery) {
	r := c.log[d.place]
	switch {
	case r == nil:
		c.fault(Inconsistent, d.id, "%s: it was delivered as %s, where the log has nothing", g.name, d.place)
	case r.id != d.id && (d.id != r.foreignID() || r.id != "" && utf8.ValidString(r.id)):
		c.fault(Inconsistent, d.id, "%s: it was delivered as %s, where the log has event %s", g.name, d.place, r.id)
	case r.key != d.key || r.keyed != d.keyed || r.value != d.value:
		c.fault(Inconsistent, d.id, "%s: it was delivered as %s with another key or other bytes", g.name, d.place)
	}
}

// foreignID is the id of a record whose writer gave it none.
func (r *recorded) foreignID() string {
	return fmt.Sprintf("%s:%d:%d", r.tp.Topic, r.tp.Partition, r.offset)
}

func (j *judge) fault(r Rule, id, format string, args ...any) {
	j.checker.fault(r, id, "%s: "+format, append([]any{j.g.name}, args...)...)
}

func (j *judge) at(p place) *handled {
	if j.handled[p] == nil {
		j.handled[p] = &handled{}
	}
	return j.handled[p]
}

func (j *judge) run() {
	j.inOrder()
	for i := range j.g.letters {
		j.letter(&j.g.letters[i])
	}
	byFence := slices.Clone(j.g.deliveries)
	slices.SortStableFunc(byFence, func(a, b *delivery) int { return cmp.Compare(a.fence, b.fence) })
	j.fences(byFence)
	j.holds(byFence)
	for _, d := range byFence {
		j.settlements(d)
		h := j.at(d.place)
		if n := len(h.deliveries); n > 0 && h.deliveries[n-1].attempt > d.attempt && !j.g.Damaged {
			j.fault(Miscounted, d.id, "attempt %d came after attempt %d", d.attempt, h.deliveries[n-1].attempt)
		}
		h.deliveries = append(h.deliveries, d)
	}
	j.complete()
}

// unit is what waits for one another: the events of a key, or of a partition, or each event for itself.
type unit struct {
	tp     kafka.TP
	key    string
	offset int64 // of an event that waits for no other; else -1
}

func (j *judge) unit(r *recorded) unit {
	switch {
	case j.g.policy.Order == autobus.OrderPartition:
		return unit{tp: r.tp, offset: -1}
	case j.g.policy.Order == autobus.OrderKey && r.keyed:
		return unit{tp: r.tp, key: r.key, offset: -1}
	}
	return unit{tp: r.tp, offset: r.offset}
}

// inOrder demands that the first deliveries of what waits for one another come in the order of the log, over all
// sessions. One that came first with a higher attempt is a redelivery: its first worker died before it noted anything.
func (j *judge) inOrder() {
	seen := map[place]bool{}
	last := map[unit]*delivery{}
	for _, d := range j.g.deliveries {
		if seen[d.place] {
			continue
		}
		seen[d.place] = true
		before := last[j.unit(&d.recorded)]
		switch {
		case before == nil || before.offset < d.offset:
			last[j.unit(&d.recorded)] = d
		case d.attempt == 1:
			j.fault(Overtaken, d.id, "%s was delivered after event %s at %d, which stands behind it", d.place, before.id,
				before.offset)
		}
	}
}

// letter holds a dead letter against the record that it says it is.
func (j *judge) letter(l *letter) {
	r := j.log[l.place]
	switch {
	case !l.readable || r == nil:
		j.fault(Phantom, l.id, "a dead letter of %s, which the log does not have", l.place)
		return
	case r.recorded != l.recorded:
		j.fault(Altered, l.id, "the dead letter of %s has another id, key or other bytes", l.place)
	}
	h := j.at(l.place)
	h.letters = append(h.letters, l)
}

// settlements demands that nothing counts after a lease was over.
func (j *judge) settlements(d *delivery) {
	over := false
	for _, s := range d.settled {
		switch {
		case s.answer != counted:
		case over:
			j.fault(Stale, d.id, "the %s of attempt %d counted, which was settled before", s.kind, d.attempt)
		case d.revoked != 0 && s.began > d.revoked:
			j.fault(Stale, d.id, "the %s of attempt %d counted after its lease was revoked", s.kind, d.attempt)
		case d.session.ended != 0 && !d.session.detached && s.began > d.session.ended:
			j.fault(Stale, d.id, "the %s of attempt %d counted after its session had ended", s.kind, d.attempt)
		}
		over = over || s.answer == counted && s.kind != autobus.Extend
	}
}

// settledAs reports whether one of the outcomes counted, or may have.
func (d *delivery) settledAs(maybe bool, kinds ...autobus.OutcomeKind) bool {
	return slices.ContainsFunc(d.settled, func(s *settlement) bool {
		return (s.answer == counted || maybe && s.answer == unanswered) && slices.Contains(kinds, s.kind)
	})
}

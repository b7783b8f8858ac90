// SPDX-License-Identifier: Apache-2.0

package bustest

import (
	"slices"

	"pgregory.net/rapid"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/kafka"
)

// pick returns one of the group's deliveries that will do; without one the case does not count.
func (s *sim) pick(will func(*delivery) bool) *delivery {
	var out []*delivery
	for _, d := range s.g.deliveries {
		if will(d) {
			out = append(out, d)
		}
	}
	if len(out) == 0 {
		s.t.Skip("this history cannot be changed so")
	}
	return rapid.SampledFrom(out).Draw(s.t, "picked")
}

func (s *sim) times(p place) (n int) {
	for _, d := range s.g.deliveries {
		if d.place == p {
			n++
		}
	}
	return n
}

func (s *sim) dead(p place) bool {
	return slices.ContainsFunc(s.g.letters, func(l letter) bool { return l.place == p })
}

// counted gives the settlement of a delivery that counted, of one of these kinds; nil = none.
func (s *sim) counted(d *delivery, kinds ...autobus.OutcomeKind) *settlement {
	i := slices.IndexFunc(s.h.settlements, func(x *settlement) bool {
		return x.lease == d.lease && x.answer == counted && slices.Contains(kinds, x.kind)
	})
	if i < 0 {
		return nil
	}
	return s.h.settlements[i]
}

// acked reports whether that delivery is all that became of its event.
func (s *sim) acked(d *delivery) bool {
	return s.counted(d, autobus.Ack) != nil && s.times(d.place) == 1 && !s.dead(d.place)
}

// plain reports whether nothing but its ack explains where its event has gone.
func (s *sim) plain(d *delivery) bool {
	return s.acked(d) && d.attempt < s.g.policy.Retry.MaxAttempts &&
		!s.unheard(d, autobus.Ack, autobus.Skip, autobus.Reject)
}

// redriven reports whether an event lived more than once.
func (s *sim) redriven(p place) bool {
	return slices.ContainsFunc(s.g.letters, func(l letter) bool { return l.place == p && s.g.Redriven[l.number] })
}

// ackedAgain reports whether that delivery is all that became of its event since it was redriven, for the first time.
func (s *sim) ackedAgain(d *delivery) bool {
	h := &handled{}
	for i := range s.g.letters {
		if l := &s.g.letters[i]; l.place == d.place {
			h.letters = append(h.letters, l)
		}
	}
	later := 0
	for _, o := range s.g.deliveries {
		if o.place == d.place && h.relives(o, s.g.Redriven) {
			later++
		}
	}
	return s.redriven(d.place) && len(h.letters) == 1 && later == 1 && h.relives(d, s.g.Redriven) &&
		s.counted(d, autobus.Ack) != nil
}

func (s *sim) done(p place) bool {
	return slices.ContainsFunc(s.g.deliveries, func(d *delivery) bool {
		return d.place == p && (s.counted(d, autobus.Ack, autobus.Skip) != nil || s.unheard(d, autobus.Ack, autobus.Skip))
	})
}

func (s *sim) rejected(p place) bool {
	return slices.ContainsFunc(s.g.deliveries, func(d *delivery) bool {
		return d.place == p && (s.counted(d, autobus.Reject) != nil || s.unheard(d, autobus.Reject))
	})
}

func (s *sim) unheard(d *delivery, kinds ...autobus.OutcomeKind) bool {
	return slices.ContainsFunc(s.h.settlements, func(x *settlement) bool {
		return x.lease == d.lease && x.answer == unanswered && slices.Contains(kinds, x.kind)
	})
}

// again makes a copy of a delivery that comes after everything else, to a session of its own.
func (s *sim) again(d *delivery) *delivery {
	next := *d
	next.session = s.g.Open(false)
	next.at = s.h.tick()
	next.deadline = s.now
	next.lease += "again"
	next.settled = nil
	for _, o := range s.g.deliveries {
		if o.tp == d.tp {
			next.fence = max(next.fence, o.fence+1)
		}
	}
	s.g.deliveries = append(s.g.deliveries, &next)
	return &next
}

func (s *sim) count(l autobus.Lease, kind autobus.OutcomeKind) {
	s.h.Settle([]autobus.Settlement{{Lease: l, Outcome: autobus.Outcome{Kind: kind}}})(nil)
}

func (s *sim) unit(d *delivery) unit { return (&judge{g: s.g}).unit(&d.recorded) }

func anyOne(*delivery) bool { return true }

// misdeliver makes a further delivery, of a record that the subscription does not have.
func (s *sim) misdeliver(which func(kafka.Record) bool) {
	for _, p := range s.parts {
		for _, e := range p.events {
			if which(e.record) {
				d := s.again(s.pick(anyOne))
				d.recorded = recorded{place{e.record.TP, e.record.Offset}, "", string(e.record.Key), e.record.Key != nil, 0}
				return
			}
		}
	}
	s.t.Skip("there is no such record")
}

// pair picks two deliveries, the first ones of acked events that wait for one another.
func (s *sim) pair(will func(a, b *delivery) bool) (a, b *delivery) {
	a = s.pick(func(a *delivery) bool {
		return slices.ContainsFunc(s.g.deliveries, func(b *delivery) bool { return will(a, b) })
	})
	b = s.pick(func(b *delivery) bool { return will(a, b) })
	return a, b
}

// bury adds a dead letter of a delivery.
func (s *sim) bury(d *delivery, attempts int) {
	l := letter{recorded: d.recorded, attempts: attempts, readable: true}
	if l.id == l.foreignID() {
		l.id = ""
	}
	s.g.letters = append(s.g.letters, l)
}

// letter picks a dead letter.
func (s *sim) letter() *letter {
	if len(s.g.letters) == 0 {
		s.t.Skip("no dead letters")
	}
	return &s.g.letters[rapid.IntRange(0, len(s.g.letters)-1).Draw(s.t, "letter")]
}

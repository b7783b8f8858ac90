// SPDX-License-Identifier: Apache-2.0

package bustest

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/kafka"
)

func TestCheckPassesGoodConsumption(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := goodConsumption(t, rapid.Bool().Draw(t, "redrives"))
		r := s.h.Check()
		if len(r.Faults) > 0 {
			t.Fatalf("faults: %v", r.Faults)
		}
		if r.Repeats > s.g.Repeats { // fewer where an answer was lost: then nobody knows that it was done
			t.Errorf("%d repeats were found, %d were made", r.Repeats, s.g.Repeats)
		}
		// One record stands before the start.
		if r.Done+r.Filtered+r.Dead+r.Dropped != r.Records-1 {
			t.Errorf("%d records, counts %+v", r.Records, r)
		}
	})
}

// TestCheckDetectsBadConsumption changes a good history in one place and demands that the checker names the rule.
func TestCheckDetectsBadConsumption(t *testing.T) {
	for _, m := range []struct {
		name   string
		want   Rule
		mutate func(s *sim)
	}{
		// C4
		{"other bytes", Inconsistent, func(s *sim) { s.pick(anyOne).value++ }},
		{"another id", Inconsistent, func(s *sim) { s.pick(anyOne).id = "another" }},
		{"re-key", Inconsistent, func(s *sim) { s.pick(anyOne).key += "x" }},
		{"an empty key for none", Inconsistent, func(s *sim) { d := s.pick(anyOne); d.keyed = !d.keyed }},
		{"an offset that is not there", Inconsistent, func(s *sim) { s.pick(anyOne).offset += 1000 }},
		{"the next offset", Inconsistent, func(s *sim) {
			s.pick(func(d *delivery) bool { return d.offset < 5 && d.id[:2] == "id" }).offset++
		}},
		{"a dead letter with other bytes", Altered, func(s *sim) { s.letter().value++ }},
		{"a dead letter with another key", Altered, func(s *sim) { s.letter().key += "x" }},
		{"a dead letter from nowhere", Phantom, func(s *sim) { s.letter().offset += 1000 }},
		{"a dead letter that does not say from where", Phantom, func(s *sim) { s.letter().readable = false }},

		// C5
		{"swap", Overtaken, func(s *sim) {
			a, b := s.pair(func(a, b *delivery) bool {
				return s.unit(a) == s.unit(b) && a.offset < b.offset && s.acked(a) && s.acked(b) && a.attempt == 1 && b.attempt == 1
			})
			a.recorded, b.recorded = b.recorded, a.recorded
		}},
		{"an earlier event again in one incarnation", Overtaken, func(s *sim) {
			a, b := s.pair(func(a, b *delivery) bool {
				return s.unit(a) == s.unit(b) && a.offset < b.offset && s.acked(b) && a.fence < b.fence && !s.redriven(a.place)
			})
			next := s.again(a)
			next.attempt, next.fence = a.attempt+1, b.fence>>32<<32|1<<31
		}},

		// C6
		{"drop", Missing, func(s *sim) {
			d := s.pick(s.acked)
			s.g.deliveries = slices.DeleteFunc(s.g.deliveries, func(o *delivery) bool { return o == d })
		}},
		{"lose an ack", Missing, func(s *sim) { s.counted(s.pick(s.plain), autobus.Ack).answer = uncounted }},
		{"lose an ack after no answer", Missing, func(s *sim) {
			d := s.pick(s.plain)
			s.counted(d, autobus.Ack).answer = unanswered
			s.again(d)
		}},
		{"lose a dead letter", Missing, func(s *sim) {
			d := s.pick(func(d *delivery) bool { return s.dead(d.place) && !s.done(d.place) })
			s.g.letters = slices.DeleteFunc(s.g.letters, func(l letter) bool { return l.place == d.place })
		}},
		{"duplicate", Repeated, func(s *sim) { s.again(s.pick(s.acked)) }},
		{"duplicate a dead letter", Repeated, func(s *sim) { s.g.letters = append(s.g.letters, *s.letter()) }},
		{"a dead letter of what was acked", Repeated, func(s *sim) {
			s.bury(s.pick(s.acked), 3)
		}},
		{"deliver what the filter holds back", Unwanted, func(s *sim) {
			s.misdeliver(func(r kafka.Record) bool { return simUnwanted(r) && r.Partition > 0 })
		}},
		{"deliver what stands before the start", Unwanted, func(s *sim) {
			s.misdeliver(func(r kafka.Record) bool { return r.Partition == 0 && r.Offset == 0 })
		}},
		{"give up too early", Miscounted, func(s *sim) {
			s.bury(s.pick(func(d *delivery) bool { return !s.rejected(d.place) && !s.redriven(d.place) }), 2)
		}},
		{"attempts go back", Miscounted, func(s *sim) {
			s.again(s.pick(func(d *delivery) bool { return d.attempt > 1 })).attempt--
		}},

		// C7
		{"overlap", Shared, func(s *sim) {
			a, _ := s.pair(func(a, b *delivery) bool {
				return s.unit(a) == s.unit(b) && a.fence < b.fence && a.incarnation() == b.incarnation() && s.acked(a)
			})
			s.counted(a, autobus.Ack).began = s.h.tick()
		}},
		{"overlap of a lease that nobody settled", Shared, func(s *sim) {
			d := s.pick(s.acked)
			s.counted(d, autobus.Ack).answer = unanswered
			s.h.settlements = slices.DeleteFunc(s.h.settlements, func(x *settlement) bool { return x.lease == d.lease })
			next := s.again(d)
			next.session, next.fence = s.g.Open(false), d.incarnation()<<32|1<<31
			d.deadline, d.session = s.now.Add(1e9), s.g.Open(false)
		}},
		{"overlap after an extension", Shared, func(s *sim) {
			d := s.pick(s.acked)
			s.h.settlements = slices.DeleteFunc(s.h.settlements, func(x *settlement) bool { return x.lease == d.lease })
			d.session = s.g.Open(false)
			s.count(d.lease, autobus.Extend)
			s.again(d).fence = d.incarnation()<<32 | 1<<31
		}},
		{"one lease twice", Shared, func(s *sim) { d := s.pick(anyOne); s.again(d).lease = d.lease }},
		{"a fence goes back within a session", Fenced, func(s *sim) {
			a, b := s.pair(func(a, b *delivery) bool { return a.session == b.session && a.tp == b.tp && a.fence < b.fence })
			a.fence, b.fence = b.fence, a.fence
		}},
		{"a fence goes back over sessions", Fenced, func(s *sim) {
			s.again(s.pick(anyOne)).fence = 1
		}},
		{"a fence twice", Fenced, func(s *sim) {
			a, b := s.pair(func(a, b *delivery) bool {
				return a != b && a.tp == b.tp && (a.session != b.session || s.unit(a) == s.unit(b))
			})
			a.fence = b.fence
		}},
		{"no fence", Fenced, func(s *sim) { s.pick(anyOne).fence = 0 }},

		// Leases
		{"an ack counts twice", Stale, func(s *sim) { s.count(s.pick(s.acked).lease, autobus.Ack) }},
		{"an extension after the ack counts", Stale, func(s *sim) { s.count(s.pick(s.acked).lease, autobus.Extend) }},
		{"a forged lease counts", Stale, func(s *sim) { s.count("forged", autobus.Ack) }},
		{"an ack after the session counts", Stale, func(s *sim) {
			d := s.pick(func(d *delivery) bool { return s.acked(d) && !d.session.detached })
			d.session.Ended()
			s.counted(d, autobus.Ack).began = s.h.tick()
		}},
		{"an ack after the revocation counts", Stale, func(s *sim) {
			d := s.pick(s.acked)
			d.session.Revoked([]autobus.Lease{d.lease})
			s.counted(d, autobus.Ack).began = s.h.tick()
		}},
	} {
		t.Run(m.name, func(t *testing.T) { detects(t, false, m.want, m.mutate) })
	}
}

// TestCheckDetectsBadRedrives does so with histories in which dead letters were redriven.
func TestCheckDetectsBadRedrives(t *testing.T) {
	for _, m := range []struct {
		name   string
		want   Rule
		mutate func(s *sim)
	}{
		{"drop what was redriven", Missing, func(s *sim) {
			d := s.pick(s.ackedAgain)
			s.g.deliveries = slices.DeleteFunc(s.g.deliveries, func(o *delivery) bool { return o == d })
		}},
		{"redrive twice", Repeated, func(s *sim) { s.again(s.pick(s.ackedAgain)) }},
		{"redrive what nobody asked for", Repeated, func(s *sim) {
			d := s.pick(s.ackedAgain)
			for _, l := range s.g.letters {
				if l.place == d.place {
					delete(s.g.Redriven, l.number)
				}
			}
		}},
		{"give up too early what was redriven", Miscounted, func(s *sim) {
			d := s.pick(func(d *delivery) bool { return s.ackedAgain(d) && !s.rejected(d.place) })
			s.bury(d, d.attempt)
		}},
	} {
		t.Run(m.name, func(t *testing.T) { detects(t, true, m.want, m.mutate) })
	}
}

func detects(t *testing.T, redrives bool, want Rule, mutate func(s *sim)) {
	t.Helper()
	rapid.Check(t, func(t *rapid.T) {
		s := goodConsumption(t, redrives)
		s.g.Repeats = s.h.Check().Repeats
		mutate(s)
		faults := s.h.Check().Faults
		if !slices.ContainsFunc(faults, func(f Fault) bool { return f.Rule == want }) {
			t.Errorf("not detected as %s; faults: %v", want, faults)
		}
	})
}

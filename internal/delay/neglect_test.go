// SPDX-License-Identifier: Apache-2.0

package delay

import (
	"testing"
	"time"

	"github.com/autobus-io/autobus/internal/kafka"
)

// TestNeglectedRecordsAreTold: those that wait for their time are not, nor those that are done or were due lately.
func TestNeglectedRecordsAreTold(t *testing.T) {
	log := embedded(t)
	s := newStation(t, log)
	look := func(when string, now time.Time, want ...Neglect) {
		t.Helper()
		for by, f := range map[string]func() ([]Neglect, error){
			"within": func() ([]Neglect, error) { return s.Neglected(t.Context(), now) },
			"beside": func() ([]Neglect, error) { return Neglected(t.Context(), log, now) },
		} {
			got, err := f()
			if err != nil || len(got) != len(want) {
				t.Fatalf("%s, %s: %+v, %v, want %+v", when, by, got, err, want)
			}
			for i, n := range got {
				if n.Topic != want[i].Topic || n.Count != want[i].Count || n.From.Sub(want[i].From).Abs() > time.Minute {
					t.Errorf("%s, %s: %+v, want %+v", when, by, n, want[i])
				}
			}
		}
	}
	now := time.Now()
	look("before there are any topics", now)
	for _, id := range []string{"a", "b", "c"} {
		s.keep(t, id, now)
	}
	slow := s.Record(Entry{ID: "slow", Due: RoundDue(now.Add(200 * time.Hour)), Since: now, Owner: "tester",
		Record: kafka.Record{Key: []byte("k"), Value: []byte("slow")}})
	if _, err := log.Write(t.Context(), slow); err != nil {
		t.Fatal(err)
	}
	look("five days later", now.Add(5*24*time.Hour))
	due, tier := s.cfg.dueTier(), s.cfg.tier(lastTier)
	tooLate := Neglect{Topic: due.topic, Count: 3, From: now.Add(due.retention())}
	look("after six days", now.Add(6*24*time.Hour+2*time.Minute), tooLate)
	look("when the tier's own time and six days are over", now.Add(tier.hold+6*24*time.Hour+2*time.Minute),
		Neglect{Topic: tier.topic, Count: 1, From: now.Add(tier.retention())}, tooLate)
	s.work(t)
	for range 3 {
		s.next(t)
	}
	s.Drain(t.Context()) // commits
	look("after somebody worked on them", now.Add(6*24*time.Hour+2*time.Minute))
}

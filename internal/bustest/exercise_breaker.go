// SPDX-License-Identifier: Apache-2.0

package bustest

import (
	"testing"
	"time"

	"github.com/autobus-io/autobus"
)

// breaker checks that a backlog does not walk into the dead letters while what its worker needs is away.
func (s *suite) breaker(t *testing.T) {
	if lacks(t, s.features.NoBreaker) {
		return
	}
	const away = 2 * time.Second
	p := s.policy(s.types.Work)
	p.Retry.MaxAttempts = 3
	sub := s.subscription(p)
	sub.Window = &autobus.Window{Events: 5}
	w := s.work(t, sub)
	// Each instance has a breaker of its own: one that had few of the events would take them for poison.
	var keys []string
	for i := range 20 * WorkPartitions {
		keys = append(keys, s.keyIn(int32(i%WorkPartitions), WorkPartitions))
	}
	s.orders(t, s.types.Work, keys...)
	began, failed := time.Now(), 0
	d := w.next(t)
	for ; time.Since(began) < away; d = w.next(t) {
		w.settle(t, d, autobus.Outcome{Kind: autobus.Retry, Reason: "no database"})
		failed++
	}
	for done := 1; ; done++ {
		if d.Attempt > p.Retry.MaxAttempts {
			t.Errorf("attempt %d", d.Attempt)
		}
		w.ack(t, d)
		if done == len(keys) {
			break
		}
		d = w.next(t)
	}
	if failed < 20 || failed > 90 {
		t.Errorf("%d deliveries failed in %s: 20 open it at an instance, then it is probed", failed, away)
	}
	if letters := s.deadLetters(t, sub.Name); len(letters) > 0 {
		t.Errorf("%d dead letters", len(letters))
	}
}

// queue checks the preset: nothing waits for anything, and an event comes again when its worker asks.
func (s *suite) queue(t *testing.T) {
	const wait = 300 * time.Millisecond
	p := s.policy(s.types.Work)
	p.Queue = true
	w := s.work(t, s.subscription(p))
	key := s.unique("key")
	rs := s.orders(t, s.types.Work, key, key, key, key)
	first := w.next(t)
	at := time.Now()
	w.settle(t, first, autobus.Outcome{Kind: autobus.Retry, Delay: wait})
	for range len(rs) - 1 {
		d := w.next(t)
		if d.Offset == first.Offset || d.Attempt != 1 {
			t.Fatalf("offset %d came, attempt %d, while it waits", d.Offset, d.Attempt)
		}
		w.ack(t, d)
	}
	d := w.next(t)
	if early := wait - time.Since(at); early > 0 {
		t.Errorf("it came again %s too early", early)
	}
	if d.Offset != first.Offset || d.Attempt != 2 {
		t.Errorf("after the others came offset %d, attempt %d", d.Offset, d.Attempt)
	}
	w.ack(t, d)
}

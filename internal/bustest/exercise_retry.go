// SPDX-License-Identifier: Apache-2.0

package bustest

import (
	"bytes"
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/kafka"
)

// retry checks what comes again, and when.
func (s *suite) retry(t *testing.T) {
	const wait = 300 * time.Millisecond

	t.Run("Delay", func(t *testing.T) { // as the worker asks; other keys go on
		w := s.work(t, s.subscription(s.policy(s.types.Work)))
		a, b := s.keyIn(1, WorkPartitions), s.keyIn(1, WorkPartitions)
		rs := s.orders(t, s.types.Work, a, a, b, b)
		first, other := w.next(t), w.next(t)
		if string(first.Key) == b {
			first, other = other, first
		}
		at := time.Now()
		w.settle(t, first, autobus.Outcome{Kind: autobus.Retry, Delay: wait})
		w.ack(t, other)
		if d := w.next(t); d.Offset != rs[3].Offset {
			t.Fatalf("offset %d of %s came, want the next of %s while %s waits", d.Offset, d.Key, b, a)
		}
		again := w.next(t)
		if early := wait - time.Since(at); early > 0 {
			t.Errorf("it came again %s too early", early)
		}
		if again.Offset != rs[0].Offset || again.Attempt != 2 || again.Fence <= first.Fence {
			t.Errorf("after %+v came %+v", first, again)
		}
		w.ack(t, again)
		if d := w.next(t); d.Offset != rs[1].Offset || d.Attempt != 1 {
			t.Errorf("then came offset %d, attempt %d", d.Offset, d.Attempt)
		}
	})

	t.Run("Backoff", func(t *testing.T) { // as the policy says; its last wait repeats
		p := s.policy(s.types.Work)
		p.Retry.Backoff = []autobus.Duration{autobus.Duration(time.Millisecond), autobus.Duration(wait)}
		w := s.work(t, s.subscription(p))
		s.orders(t, s.types.Work, s.unique("key"))
		d := w.next(t)
		for _, least := range []time.Duration{time.Millisecond, wait, wait} {
			at, before := time.Now(), d.Attempt
			w.settle(t, d, autobus.Outcome{Kind: autobus.Retry})
			d = w.next(t)
			if d.Attempt != before+1 {
				t.Errorf("attempt %d came after attempt %d", d.Attempt, before)
			}
			if took := time.Since(at); took < least {
				t.Errorf("attempt %d came after %s, want %s", d.Attempt, took, least)
			}
		}
		w.ack(t, d)
	})

	t.Run("Skip", func(t *testing.T) { // done without work
		w := s.work(t, s.subscription(s.policy(s.types.Work)))
		key := s.unique("key")
		rs := s.orders(t, s.types.Work, key, key)
		w.settle(t, w.next(t), autobus.Outcome{Kind: autobus.Skip})
		if d := w.next(t); d.Offset != rs[1].Offset {
			t.Errorf("after the skip came offset %d, want %d", d.Offset, rs[1].Offset)
		}
	})
}

// deadLetter checks what becomes of events that are given up.
func (s *suite) deadLetter(t *testing.T) {
	t.Run("Reject", func(t *testing.T) {
		w := s.work(t, s.subscription(s.policy(s.types.Work)))
		key := s.unique("key")
		e := s.event(s.types.Work, key)
		e.Subject = "a subject"
		e.SetExt("country", "kz")
		rs := s.publish(t, e, s.event(s.types.Work, key))
		written(t, rs)
		before := time.Now().Add(-time.Second)
		w.settle(t, w.next(t), autobus.Outcome{Kind: autobus.Reject, Reason: "no such order"})
		w.ack(t, w.next(t)) // of the same key: it comes when the letter stands
		s.isLetter(t, w.name, s.one(t, e, rs[0]), "no such order", 1, before)
	})

	t.Run("Attempts", func(t *testing.T) {
		p := s.policy(s.types.Work)
		p.Retry.MaxAttempts = 3
		w := s.work(t, s.subscription(p))
		key := s.unique("key")
		e := s.event(s.types.Work, key)
		rs := s.publish(t, e, s.event(s.types.Work, key))
		written(t, rs)
		before := time.Now().Add(-time.Second)
		for attempt := range 3 {
			d := w.next(t)
			if d.Attempt != attempt+1 || d.Offset != rs[0].Offset {
				t.Fatalf("attempt %d of offset %d came, want attempt %d", d.Attempt, d.Offset, attempt+1)
			}
			w.settle(t, d, autobus.Outcome{Kind: autobus.Retry, Reason: fmt.Sprintf("fault %d", attempt+1)})
		}
		w.ack(t, w.next(t))
		s.isLetter(t, w.name, s.one(t, e, rs[0]), "fault 3", 3, before)
	})

	t.Run("RunsOut", func(t *testing.T) { // a worker that never answers fails its event too
		p := s.policy(s.types.Work)
		p.AckWait, p.Retry.MaxAttempts = autobus.MinAckWait, 1
		w := s.work(t, s.subscription(p))
		key := s.unique("key")
		e := s.event(s.types.Work, key)
		rs := s.publish(t, e, s.event(s.types.Work, key))
		written(t, rs)
		before := time.Now().Add(-time.Second)
		w.next(t)
		d := w.next(t)
		w.ack(t, d) // or it runs out as well
		if d.Offset != rs[1].Offset {
			t.Fatalf("offset %d came, want %d", d.Offset, rs[1].Offset)
		}
		s.isLetter(t, w.name, s.one(t, e, rs[0]), "", 1, before)
	})

	t.Run("Drop", func(t *testing.T) {
		p := s.policy(s.types.Work)
		p.OnExhausted, p.Retry.MaxAttempts = autobus.Drop, 1
		w := s.work(t, s.subscription(p))
		key := s.unique("key")
		rs := s.orders(t, s.types.Work, key, key, key)
		w.settle(t, w.next(t), autobus.Outcome{Kind: autobus.Reject})
		w.settle(t, w.next(t), autobus.Outcome{Kind: autobus.Retry})
		if d := w.next(t); d.Offset != rs[2].Offset || d.Attempt != 1 {
			t.Errorf("offset %d came, attempt %d", d.Offset, d.Attempt)
		}
		if s.target.Log == nil {
			if n := len(s.deadLetters(t, w.name)); n != 0 {
				t.Errorf("a subscription that drops has %d dead letters", n)
			}
			return
		}
		topics, err := s.target.Log.Topics(t.Context(), "dlq."+w.name)
		if err != nil {
			t.Fatal(err)
		}
		if _, there := topics["dlq."+w.name]; there {
			t.Error("a subscription that drops has a topic of dead letters")
		}
	})
}

// isLetter demands that a subscription has one dead letter: this record, with where it is from and why it is there.
func (s *suite) isLetter(t *testing.T, sub string, r kafka.Record, why string, attempts int, since time.Time) {
	t.Helper()
	letters := s.deadLetters(t, sub)
	if len(letters) != 1 {
		t.Fatalf("%d dead letters, want 1", len(letters))
	}
	l := letters[0]
	if !bytes.Equal(l.Key, r.Key) || !bytes.Equal(l.Value, r.Value) {
		t.Errorf("the letter has key %q, value %s, the event %q, %s", l.Key, l.Value, r.Key, r.Value)
	}
	want := map[string]string{"autobus-dlq-attempts": strconv.Itoa(attempts), "autobus-dlq-topic": r.Topic,
		"autobus-dlq-partition": strconv.Itoa(int(r.Partition)), "autobus-dlq-offset": strconv.FormatInt(r.Offset, 10)}
	if why != "" {
		want["autobus-dlq-reason"] = why
	}
	for _, h := range r.Headers {
		want[h.Key] = string(h.Value)
	}
	for name, value := range want {
		if got, ok := header(l, name); !ok || got != value {
			t.Errorf("header %s is %q, want %q", name, got, value)
		}
	}
	if got, _ := header(l, "autobus-dlq-reason"); got == "" {
		t.Error("the letter does not say why")
	}
	last := since
	for _, name := range []string{"first", "last"} {
		text, _ := header(l, "autobus-dlq-"+name)
		at, err := time.Parse(time.RFC3339Nano, text)
		if err != nil || at.Before(last) || at.After(time.Now().Add(time.Second)) {
			t.Errorf("%s time is %q, want one after %s", name, text, last)
		}
		last = at
	}
}

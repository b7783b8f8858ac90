// SPDX-License-Identifier: Apache-2.0

package bustest

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/autobus-io/autobus"
)

// start checks where a subscription begins, and that types which appear later are read as well.
func (s *suite) start(t *testing.T) {
	const partition = 2
	key := s.keyIn(partition, WorkPartitions)
	e := s.event(s.types.Work, key)
	first := s.publish(t, e)
	written(t, first)
	at := s.one(t, e, first[0]).Time
	Eventually(t, "the clock to move on", func(context.Context) bool { return time.Since(at) > 20*time.Millisecond })
	later := s.orders(t, s.types.Work, key, key)

	// begin is where the key's events begin for a new subscription.
	begin := func(t *testing.T, from autobus.Start) *worker {
		p := s.policy(s.types.Work)
		p.Start, p.Filter, p.Params = from, "key == params.key", map[string]string{"key": key}
		return s.work(t, s.subscription(p))
	}
	for name, c := range map[string]struct {
		from autobus.Start
		want autobus.Receipt
	}{
		"Earliest": {autobus.Start{Earliest: true}, first[0]},
		"Time":     {autobus.Start{Time: at.Add(time.Millisecond)}, later[0]},
		"Cursors": {autobus.Start{Cursors: map[string]map[int32]int64{s.types.Work: {partition: later[1].Offset}}},
			later[1]},
	} {
		t.Run(name, func(t *testing.T) {
			if d := begin(t, c.from).next(t); d.Offset != c.want.Offset || d.Partition != partition {
				t.Errorf("it begins at %d/%d, want %d/%d", d.Partition, d.Offset, partition, c.want.Offset)
			}
		})
	}

	t.Run("Latest", func(t *testing.T) {
		w := begin(t, autobus.Start{})
		want := s.orders(t, s.types.Work, key)[0]
		if d := w.next(t); d.Offset != want.Offset {
			t.Errorf("it begins at %d, want %d", d.Offset, want.Offset)
		}
	})

	// The start is resolved when the subscription is made. A worker that comes later misses nothing.
	t.Run("OnceAndForAll", func(t *testing.T) {
		w := begin(t, autobus.Start{})
		w.end(t, nil)
		want := s.orders(t, s.types.Work, key)[0]
		w = s.work(t, autobus.Subscription{Name: w.name})
		if d := w.next(t); d.Offset != want.Offset {
			t.Errorf("the first session's end was at %d, another one begins at %d", want.Offset, d.Offset)
		}
	})

	t.Run("NoSuchPlace", func(t *testing.T) {
		var all []asking
		for name, cursors := range map[string]map[string]map[int32]int64{
			"behind the end": {s.types.Work: {partition: 1 << 40}}, "no such partition": {s.types.Work: {99: 0}},
			"not its type": {s.types.Keyed: {0: 0}},
		} {
			p := s.policy(s.types.Work)
			p.Start.Cursors = cursors
			all = append(all, refusal(name, s.subscription(p), autobus.ReasonSubscriptionInvalid))
		}
		s.answers(t, all...)
	})

	t.Run("LateType", s.lateType)
}

// lateType puts a spec in force while a subscription by pattern is at work.
func (s *suite) lateType(t *testing.T) {
	if lacks(t, s.features.NoPush) {
		return
	}
	domain, _, _ := strings.Cut(s.types.Work, ".")
	w := s.work(t, s.subscription(s.policy(domain+".work.*.done.v1")))
	s.orders(t, s.types.Work, s.unique("key"))
	w.ack(t, w.next(t)) // it is at work
	s.target.Push(t, s.types.LateSpecs())
	keys := map[string]bool{s.unique("key"): true, s.unique("key"): true}
	for key := range keys {
		s.orders(t, s.types.Late, key)
	}
	for range 2 { // from the type's first event on
		d := w.next(t)
		if d.Type != s.types.Late || !keys[string(d.Key)] {
			t.Errorf("%s of %s came", d.Key, d.Type)
		}
		delete(keys, string(d.Key))
		w.ack(t, d)
	}
	s.orders(t, s.types.Work, s.unique("key"))
	if d := w.next(t); d.Type != s.types.Work {
		t.Errorf("then came %s of %s", d.Key, d.Type)
	}
}

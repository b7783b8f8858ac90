// SPDX-License-Identifier: Apache-2.0

package bustest

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/autobus-io/autobus"
)

// deliveryOrder checks what waits for what. That something does not come is seen by what comes after it in its place.
func (s *suite) deliveryOrder(t *testing.T) {
	again := autobus.Outcome{Kind: autobus.Retry}

	t.Run("Key", func(t *testing.T) { // one event of a key in flight, whoever has room; other keys do not wait
		sub := s.subscription(s.policy(s.types.Work))
		x, y := s.work(t, sub), s.work(t, sub)
		a, b := s.keyIn(1, WorkPartitions), s.keyIn(1, WorkPartitions)
		rs := s.orders(t, s.types.Work, a, a, b) // one partition: whoever sees b has read what stands before
		first := map[string]autobus.Delivery{}
		for range 2 {
			d, _ := nextOf(t, x, y)
			first[string(d.Key)] = d
		}
		if len(first) != 2 || first[a].Offset != rs[0].Offset {
			t.Fatalf("the first two are %v, want the first of %s and %s", first, a, b)
		}
		x.settle(t, first[a], again)
		if d, _ := nextOf(t, x, y); d.Offset != rs[0].Offset || d.Attempt != 2 {
			t.Fatalf("after %s failed came offset %d, attempt %d", a, d.Offset, d.Attempt)
		} else {
			x.ack(t, d)
		}
		if d, _ := nextOf(t, x, y); d.Offset != rs[1].Offset {
			t.Errorf("after the first of %s came offset %d, want %d", a, d.Offset, rs[1].Offset)
		}
	})

	t.Run("KeyStays", func(t *testing.T) { // with the session that had it, as long as that one has room
		if lacks(t, s.features.NoSessions) || lacks(t, s.features.NoHome) {
			return
		}
		sub := s.subscription(s.policy(s.types.Work))
		x, y := s.work(t, sub), s.work(t, sub)
		key := s.keyIn(0, WorkPartitions)
		var home *worker
		for range 10 {
			s.orders(t, s.types.Work, key)
			d, w := nextOf(t, x, y)
			if home == nil {
				home = w
			}
			if w != home {
				t.Error("a key changed its session, which is there and has room")
			}
			w.ack(t, d)
		}
	})

	t.Run("NoKey", func(t *testing.T) { // waits for nobody
		w := s.work(t, s.subscription(s.policy(s.types.Keyless)))
		written(t, s.publish(t, s.event(s.types.Keyless, ""), s.event(s.types.Keyless, "")))
		if x, y := w.next(t), w.next(t); x.Offset == y.Offset && x.Partition == y.Partition {
			t.Errorf("one event came twice: %+v", x)
		}
	})

	t.Run("Partition", func(t *testing.T) {
		p := s.policy(s.types.Work)
		p.Order = autobus.OrderPartition
		w := s.work(t, s.subscription(p))
		rs := s.orders(t, s.types.Work, s.keyIn(1, WorkPartitions), s.keyIn(1, WorkPartitions))
		other := s.orders(t, s.types.Work, s.keyIn(2, WorkPartitions))[0]
		first, aside := w.next(t), w.next(t)
		if first.Partition == other.Partition {
			first, aside = aside, first
		}
		if aside.Partition != other.Partition || first.Offset != rs[0].Offset {
			t.Fatalf("came %d/%d and %d/%d, want the first of each partition", first.Partition, first.Offset, aside.Partition,
				aside.Offset)
		}
		w.settle(t, first, again)
		if first = w.next(t); first.Offset != rs[0].Offset || first.Attempt != 2 {
			t.Fatalf("after the first failed came offset %d, attempt %d", first.Offset, first.Attempt)
		}
		w.ack(t, first)
		if second := w.next(t); second.Offset != rs[1].Offset {
			t.Errorf("then came offset %d, want %d", second.Offset, rs[1].Offset)
		}
	})

	t.Run("None", func(t *testing.T) {
		p := s.policy(s.types.Work)
		p.Order = autobus.OrderNone
		w := s.work(t, s.subscription(p))
		key := s.unique("key")
		rs := s.orders(t, s.types.Work, key, key, key)
		got := map[int64]bool{}
		for range rs {
			got[w.next(t).Offset] = true
		}
		if len(got) != len(rs) {
			t.Errorf("%d of %d events of a key are in flight", len(got), len(rs))
		}
	})
}

// window checks how much a session holds at most.
func (s *suite) window(t *testing.T) {
	// run lets a worker take n events of different keys, with so many in hand as it is given until nothing more comes,
	// which shows when an event that was settled makes room for the next.
	run := func(t *testing.T, w *worker, n int, note string) {
		for i := range n {
			e := s.event(s.types.Work, s.unique("key"))
			e.Data = fmt.Appendf(nil, `{"order":%q,"n":%d,"note":%q}`, s.unique("key"), i, note)
			written(t, s.publish(t, e))
		}
		for range n {
			w.ack(t, w.next(t))
		}
	}

	t.Run("LockStep", func(t *testing.T) {
		sub := s.subscription(s.policy(s.types.Work))
		sub.Window = &autobus.Window{Events: 1}
		w := s.work(t, sub)
		run(t, w, 20, "")
		if w.most != 1 {
			t.Errorf("it had up to %d events in hand, want 1", w.most)
		}
	})

	t.Run("Events", func(t *testing.T) {
		p := s.policy(s.types.Work)
		p.Window = &autobus.Window{Events: 3} // of sessions that name none
		w := s.work(t, s.subscription(p))
		written(t, s.publish(t, s.event(s.types.Work, s.unique("key")), s.event(s.types.Work, s.unique("key")),
			s.event(s.types.Work, s.unique("key")), s.event(s.types.Work, s.unique("key"))))
		held := []autobus.Delivery{w.next(t), w.next(t), w.next(t)}
		for _, d := range held {
			w.ack(t, d)
		}
		w.ack(t, w.next(t))
		run(t, w, 20, "")
		if w.most != 3 {
			t.Errorf("it had up to %d events in hand, want 3", w.most)
		}
	})

	t.Run("Bytes", func(t *testing.T) {
		if lacks(t, s.features.NoByteWindow) {
			return
		}
		const size, limit = 10_000, 25_000
		sub := s.subscription(s.policy(s.types.Work))
		sub.Window = &autobus.Window{Bytes: limit}
		w := s.work(t, sub)
		run(t, w, 20, strings.Repeat("x", size))
		if w.mostBytes > limit {
			t.Errorf("it had up to %d bytes in hand, want at most %d", w.mostBytes, limit)
		}
		run(t, w, 2, strings.Repeat("x", 2*limit)) // one event always fits
		if w.mostBytes > limit {
			t.Errorf("beside an event above its window it had others: %d bytes", w.mostBytes)
		}
	})

	t.Run("Resize", func(t *testing.T) {
		if lacks(t, s.features.NoResize) {
			return
		}
		sub := s.subscription(s.policy(s.types.Work))
		sub.Window = &autobus.Window{Events: 1}
		resize := make(chan autobus.Window)
		sub.Resize = resize
		w := s.work(t, sub)
		s.orders(t, s.types.Work, s.unique("key"), s.unique("key"))
		first := w.next(t)
		w.nothing(t, "the window holds one")
		select {
		case resize <- autobus.Window{Events: 2}:
		case <-time.After(Patience):
			t.Fatal("the session does not take another window")
		}
		if second := w.next(t); second.ID == first.ID || !time.Now().Before(first.Deadline) {
			t.Error("the second came no sooner than the first was over")
		}
	})

	t.Run("Bounds", func(t *testing.T) {
		var all []asking
		for name, bad := range map[string]autobus.Window{"zero": {}, "negative": {Events: -1},
			"too large": {Events: autobus.MaxWindowEvents + 1}} {
			sub := s.subscription(s.policy(s.types.Work))
			sub.Window = &bad
			all = append(all, refusal(name, sub, autobus.ReasonRequestInvalid))
		}
		s.answers(t, all...)
	})
}

// groupFilter checks that only what passes is delivered, and that what does not is done.
func (s *suite) groupFilter(t *testing.T) {
	t.Run("Params", func(t *testing.T) {
		key := s.unique("key")
		p := s.policy(s.types.Work)
		p.Filter, p.Params = "data.order == params.mine && data.n >= 3", map[string]string{"mine": key}
		sub := s.subscription(p)
		w := s.work(t, sub)
		var wanted autobus.Event
		for n := range 4 {
			wanted = s.event(s.types.Work, key)
			wanted.Data = fmt.Appendf(nil, `{"order":%q,"n":%d}`, key, n)
			written(t, s.publish(t, wanted, s.event(s.types.Work, s.unique("key"))))
		}
		if d := w.next(t); d.ID != wanted.ID {
			t.Errorf("%s passed, want %s", d.Data, wanted.Data)
		} else {
			w.ack(t, d)
		}
	})

	t.Run("Fails", func(t *testing.T) { // on an event: it is delivered, since missing one is worse
		p := s.policy(s.types.Work)
		p.Filter = "data.note.size() > 3"
		w := s.work(t, s.subscription(p))
		rs := s.orders(t, s.types.Work, s.unique("key"))
		if d := w.next(t); d.Offset != rs[0].Offset || d.Partition != rs[0].Partition {
			t.Errorf("got %d/%d", d.Partition, d.Offset)
		}
	})
}

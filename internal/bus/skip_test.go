// SPDX-License-Identifier: Apache-2.0

package bus_test

import (
	"testing"
	"time"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/bus"
	"github.com/autobus-io/autobus/internal/control"
)

func TestSkippingOneEvent(t *testing.T) {
	f := open(t)
	f.SetMemory(time.Millisecond)
	f.put(t, "shop", earliest)
	w := f.worker(t, autobus.Subscription{Name: "shop"})
	f.orders(t, 6, "a")
	skip := func(d bus.EventAt) (bus.Operated, error) { return f.SkipEvent(f.ctx, "shop", d, byOps) }
	at := func(d autobus.Delivery, n int64) bus.EventAt {
		return bus.EventAt{Type: orders, Partition: d.Partition, Offset: d.Offset + n}
	}
	dry := byOps
	dry.DryRun = true

	// With a worker: it is told to stop, and the next one of the key comes.
	d := w.next(t)
	o, err := f.SkipEvent(f.ctx, "shop", at(d, 0), dry)
	if err != nil || o.Event.State != "leased" || o.Event.ID != d.ID || o.Event.Key != "a" {
		t.Fatalf("%+v, %v", o, err)
	}
	if _, err := skip(at(d, 0)); err != nil {
		t.Fatal(err)
	}
	second := w.next(t)
	if err := f.settle(t, d.Lease, autobus.Outcome{Kind: autobus.Ack}); err == nil ||
		err.Reason != autobus.ReasonLeaseStale {
		t.Errorf("its lease still counts: %v", err)
	}
	if second.Offset != d.Offset+1 {
		t.Fatalf("%d came", second.Offset)
	}
	// Waiting, in the middle of its key.
	if o, err := skip(at(d, 3)); err != nil || o.Event.State != "waiting" {
		t.Fatalf("%+v, %v", o, err)
	}
	// Parked, the first of its key and one behind it.
	w.settle(t, second, again(time.Hour))
	until(t, "the key was not parked", func() bool { p, u := f.parked(t, "shop"); return p == 4 && u == 0 })
	for _, n := range []int64{4, 1} {
		if o, err := skip(at(d, n)); err != nil || !o.Event.Parked {
			t.Fatalf("%+v, %v", o, err)
		}
	}
	for _, n := range []int64{2, 5} {
		d2 := w.next(t)
		if d2.Offset != d.Offset+n {
			t.Fatalf("%d came, want %d", d2.Offset, d.Offset+n)
		}
		w.ack(t, d2)
	}
	f.undone(t, "shop", 0)

	for n, want := range map[int64]autobus.Reason{0: autobus.ReasonEventDone, 1: autobus.ReasonEventDone,
		2: autobus.ReasonEventDone, 6: autobus.ReasonPositionInvalid, -99: autobus.ReasonPositionInvalid} {
		if _, err := skip(at(d, n)); reasonOf(err) != want {
			t.Errorf("%d: %v", n, err)
		}
	}
	if _, err := skip(bus.EventAt{Type: notes}); reasonOf(err) != autobus.ReasonRequestInvalid {
		t.Errorf("a type that it does not read: %v", err)
	}

	// With no worker anywhere, and found by the next one.
	w.leave(t, nil)
	f.orders(t, 2, "a")
	if _, err := skip(at(d, 6)); err != nil {
		t.Fatal(err)
	}
	w = f.worker(t, autobus.Subscription{Name: "shop"})
	if got := w.next(t); got.Offset != d.Offset+7 {
		t.Errorf("%d came, want %d", got.Offset, d.Offset+7)
	}
	rec, _ := f.control.Get(control.KindSubscription, "shop")
	if v, err := control.Decode[control.Subscription](rec); err != nil || len(v.Skips) != 1 {
		t.Errorf("what is done stays in the record: %+v, %v", v.Skips, err)
	}
}

func TestHeldEventsWaitForAnOperator(t *testing.T) {
	f := open(t)
	p := earliest
	p.OnExhausted, p.Retry.MaxAttempts = autobus.Hold, 1
	f.SetLinger(time.Millisecond)
	f.put(t, "shop", p)
	w := f.worker(t, autobus.Subscription{Name: "shop"})
	f.orders(t, 4, "a", "b")
	held := map[string]autobus.Delivery{}
	for range 2 {
		d := w.next(t)
		held[string(d.Key)] = d
		w.settle(t, d, autobus.Outcome{Kind: autobus.Retry, Reason: "broken"})
	}
	until(t, "they were not parked", func() bool { p, u := f.parked(t, "shop"); return p == 4 && u == 0 })
	f.orders(t, 1, "c") // others go on
	if d := w.next(t); string(d.Key) != "c" {
		t.Fatalf("%s came", d.Key)
	} else {
		w.ack(t, d)
	}
	why, err := f.Why(f.ctx, "shop")
	if err != nil || why.Verdict != bus.WhyHeld || why.Oldest == nil || why.Oldest.State != "held" {
		t.Errorf("%+v, %v", why, err)
	}
	at := func(key string) bus.EventAt {
		return bus.EventAt{Type: orders, Partition: held[key].Partition, Offset: held[key].Offset}
	}
	// They are held by the next owner too.
	b, stop := f.another(t)
	w.leave(t, nil)
	w = b.worker(t, autobus.Subscription{Name: "shop"})
	until(t, "the next owner does not hold them", func() bool {
		i, err := b.Describe(b.ctx, "shop")
		return err == nil && i.Instance != nil && i.Instance.Parked == 4
	})
	if _, err := f.RetryEvent(f.ctx, "shop", at("a"), byOps); err != nil {
		t.Fatal(err)
	}
	d := w.next(t)
	if d.Offset != held["a"].Offset || string(d.Key) != "a" {
		t.Fatalf("%+v came", d)
	}
	w.settle(t, d, autobus.Outcome{Kind: autobus.Retry, Reason: "broken"}) // held again, and not tried by itself
	if _, err := f.SkipEvent(f.ctx, "shop", at("b"), byOps); err != nil {
		t.Fatal(err)
	}
	if d := w.next(t); string(d.Key) != "b" || d.Offset == held["b"].Offset {
		t.Fatalf("%+v came, want the one behind it", d)
	} else {
		w.ack(t, d)
	}
	if _, err := b.RetryEvent(b.ctx, "shop", at("a"), byOps); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		d := w.next(t)
		if string(d.Key) != "a" {
			t.Fatalf("%+v came", d)
		}
		w.ack(t, d)
	}
	b.undone(t, "shop", 0)
	if _, err := b.RetryEvent(b.ctx, "shop", at("a"), byOps); reasonOf(err) != autobus.ReasonEventDone {
		t.Errorf("one that is done: %v", err)
	}
	w.leave(t, nil)
	stop(true)
}

func TestAnExhaustedEventStopsItsSubscription(t *testing.T) {
	f := open(t)
	p := earliest
	p.OnExhausted, p.Retry.MaxAttempts = autobus.Stop, 2
	f.put(t, "shop", p)
	b, stop := f.another(t)
	defer stop(true)
	w := f.worker(t, autobus.Subscription{Name: "shop", Window: &autobus.Window{Events: 1}})
	f.orders(t, 3, "a", "b", "c")
	d := w.next(t)
	for range 2 {
		for d.Attempt < 2 {
			w.settle(t, d, autobus.Outcome{Kind: autobus.Retry, Reason: "broken"})
			first := d.Key
			for d = w.next(t); string(d.Key) != string(first); d = w.next(t) {
				w.ack(t, d)
			}
		}
		w.settle(t, d, autobus.Outcome{Kind: autobus.Retry, Reason: "broken"})
		until(t, "it did not stop everywhere", func() bool {
			for _, i := range []*fixture{f, b} {
				if got, err := i.Describe(i.ctx, "shop"); err != nil || got.State != "stopped" ||
					got.Paused.Event.Offset != d.Offset || got.Paused.Reason != "broken" {
					return false
				}
			}
			return true
		})
		why, err := f.Why(f.ctx, "shop")
		if err != nil || why.Verdict != bus.WhyPaused {
			t.Errorf("%+v, %v", why, err)
		}
		f.resume(t, "shop")
		again := w.next(t)
		for ; string(again.Key) != string(d.Key); again = w.next(t) {
			w.ack(t, again)
		}
		if again.Attempt != 2 {
			t.Errorf("it came in attempt %d", again.Attempt)
		}
		d = again
	}
	w.ack(t, d)
	f.undone(t, "shop", int64(0))
}

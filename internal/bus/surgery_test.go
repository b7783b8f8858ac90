// SPDX-License-Identifier: Apache-2.0

package bus_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/bus"
	"github.com/autobus-io/autobus/internal/control"
)

var byOps = bus.Surgery{Audit: bus.Audit{Actor: "ops", Reason: "a test"}}

func (f *fixture) pause(t *testing.T, name string) {
	t.Helper()
	if i, err := f.PauseSubscription(f.ctx, name, byOps); err != nil || i.State != "paused" {
		t.Fatal(i.State, err)
	}
}

func (f *fixture) resume(t *testing.T, name string) {
	t.Helper()
	if i, err := f.ResumeSubscription(f.ctx, name, byOps); err != nil || i.State != "active" {
		t.Fatal(i.State, err)
	}
}

func (f *fixture) seek(t *testing.T, name string, to autobus.Start) bus.Move {
	t.Helper()
	m, err := f.Seek(f.ctx, name, to, byOps)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// heard waits until an instance knows what another one wrote to the control log.
func (f *fixture) heard(t *testing.T) {
	t.Helper()
	if err := f.control.Barrier(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// ackAll acks n deliveries and gives the offsets of each key in the order in which they came.
func (w *worker) ackAll(t *testing.T, n int) map[string][]string {
	t.Helper()
	out := map[string][]string{}
	for range n {
		d := w.next(t)
		out[string(d.Key)] = append(out[string(d.Key)], fmt.Sprintf("%d/%d", d.Partition, d.Offset))
		w.ack(t, d)
	}
	return out
}

// undone waits until a subscription has so many events that are not done.
func (f *fixture) undone(t *testing.T, name string, n int64) {
	t.Helper()
	var l bus.Lag
	until(t, fmt.Sprintf("%d events did not become undone", n), func() (ok bool) {
		var err error
		if l, err = f.Lag(f.ctx, name); err != nil {
			t.Fatal(err)
		}
		return l.Undone == n
	})
}

// The log has no place for a time that is yet to come: the subscription would begin now.
func TestNoSubscriptionBeginsInTheFuture(t *testing.T) {
	f := open(t)
	p := earliest
	p.Start = autobus.Start{Time: time.Now().Add(time.Hour)}
	_, err := f.PutSubscription(f.ctx, "shop", p, byOps.Audit)
	if reasonOf(err) != autobus.ReasonSubscriptionInvalid || !strings.Contains(err.Error(), "yet to come") {
		t.Errorf("%v", err)
	}
	p.Start.Time = time.Now().Add(-time.Hour)
	f.put(t, "shop", p)
}

func TestAPausedSubscriptionHandsNothingOut(t *testing.T) {
	f := open(t)
	f.put(t, "shop", earliest)
	f.put(t, "other", earliest)
	w := f.worker(t, autobus.Subscription{Name: "shop", Window: &autobus.Window{Events: 1}})
	o := f.worker(t, autobus.Subscription{Name: "other"})
	f.orders(t, 2, "a", "b")
	d := w.next(t)
	f.pause(t, "shop")
	w.ack(t, d) // what is in hand may be settled, and nothing takes its place
	f.orders(t, 2, "c")
	o.ackAll(t, 4)
	i, err := f.Describe(f.ctx, "shop")
	if err != nil || i.State != "paused" || i.Paused.By != "ops" || i.Paused.Reason != "a test" ||
		i.Instance.Sessions != 1 {
		t.Errorf("%+v, %v", i, err)
	}
	f.undone(t, "shop", 3)
	if n := len(w.got); n > 0 {
		t.Errorf("%d events were handed out", n)
	}
	late := f.worker(t, autobus.Subscription{Name: "shop"}) // also to one who comes now
	f.pause(t, "shop")                                      // again
	f.resume(t, "shop")
	for range 3 {
		select {
		case d := <-w.got:
			w.ack(t, d)
		case d := <-late.got:
			late.ack(t, d)
		case <-time.After(patience):
			t.Fatal("nothing came")
		}
	}
	rec, _ := f.control.Get(control.KindSubscription, "shop")
	if rec.Actor != "ops" || rec.Reason != "a test" || rec.Version != 1 {
		t.Errorf("the audit has %+v", rec)
	}
}

// A pause reaches other instances, and one that starts later.
func TestAPauseIsOfAllInstances(t *testing.T) {
	f := open(t)
	f.put(t, "shop", earliest)
	b, stop := f.another(t)
	w := b.worker(t, autobus.Subscription{Name: "shop"})
	f.orders(t, 1, "a")
	w.ack(t, w.next(t))
	f.pause(t, "shop")
	b.heard(t)
	f.orders(t, 1, "a")
	b.undone(t, "shop", 1)
	w.cancel(nil)
	stop(true)
	w = f.worker(t, autobus.Subscription{Name: "shop"})
	until(t, "the partitions did not come", func() bool {
		i, err := f.Describe(f.ctx, "shop")
		return err == nil && i.Instance != nil && len(i.Instance.Partitions) == 4
	})
	select {
	case d := <-w.got:
		t.Fatalf("%d came", d.Offset)
	default:
	}
	f.resume(t, "shop")
	w.ack(t, w.next(t))
}

func TestASeekMovesALiveGroup(t *testing.T) {
	f := open(t)
	f.put(t, "shop", earliest)
	f.put(t, "other", earliest)
	w := f.worker(t, autobus.Subscription{Name: "shop"})
	o := f.worker(t, autobus.Subscription{Name: "other"})
	f.orders(t, 40, "a", "b", "c", "d", "e")
	first := w.ackAll(t, 40)
	o.ackAll(t, 39)
	inHand := o.next(t)
	f.undone(t, "shop", 0)

	dry := byOps
	dry.DryRun = true
	m, err := f.Seek(f.ctx, "shop", autobus.Start{Earliest: true}, dry)
	if err != nil || !m.DryRun || m.Replayed != 40 || m.Skipped != 0 || len(m.Partitions) != 4 {
		t.Fatalf("%+v, %v", m, err)
	}
	before, _ := f.control.Get(control.KindSubscription, "shop")
	if before.Actor == "ops" {
		t.Fatal("the preview changed something")
	}
	f.seek(t, "shop", autobus.Start{Earliest: true})
	again := w.ackAll(t, 40)
	for key, offsets := range first {
		if !slices.Equal(again[key], offsets) {
			t.Errorf("key %s came as %v, then as %v", key, offsets, again[key])
		}
	}
	o.ack(t, inHand) // nobody else noticed
	f.undone(t, "other", 0)
	f.undone(t, "shop", 0)
	if len(o.got)+len(w.got) > 0 {
		t.Errorf("%d and %d more came", len(o.got), len(w.got))
	}

	// Forward, over what is in hand: it is revoked.
	f.orders(t, 10, "a", "b", "c", "d", "e")
	stale := w.next(t)
	m = f.seek(t, "shop", autobus.Start{})
	if m.Replayed != 0 || m.Skipped == 0 {
		t.Errorf("%+v", m)
	}
	if err := f.settle(t, stale.Lease, autobus.Outcome{Kind: autobus.Ack}); err == nil ||
		err.Reason != autobus.ReasonLeaseStale {
		t.Errorf("a lease from before counts: %v", err)
	}
	drained(w)
	f.one(t, order("z", "1"))
	if d := w.next(t); string(d.Key) != "z" || d.Fence <= stale.Fence && d.Partition == stale.Partition {
		t.Errorf("%+v came, want what was published since", d)
	} else {
		w.ack(t, d)
	}
	// What is stored goes by the new epoch.
	w.leave(t, nil)
	f.undone(t, "shop", 0)
}

// slow passes everything, and takes its time for it: what was polled before a move is still on its way after it.
const slow = "[1,2,3,4,5,6,7,8,9].all(a, [1,2,3,4,5,6,7,8,9].all(b, [1,2].all(c, a * b * c < 1000)))"

func TestWhatWasReadBeforeASeekIsNobodys(t *testing.T) {
	f := open(t)
	p := earliest
	p.Filter = slow
	f.put(t, "shop", p)
	f.orders(t, 2000, "a")
	w := f.worker(t, autobus.Subscription{Name: "shop", Window: &autobus.Window{Events: 1}})
	last := uint64(0)
	for range 4 {
		d := w.next(t)
		for ; d.Fence>>32 == last; d = w.next(t) {
			continue // handed out before it was moved
		}
		if d.Offset != 0 {
			t.Fatalf("%d came first", d.Offset)
		}
		last = d.Fence >> 32
		f.seek(t, "shop", autobus.Start{Earliest: true}) // while the next thousand are being looked at
	}
}

// drained takes what was handed out and no longer counts.
func drained(w *worker) {
	for len(w.got) > 0 {
		<-w.got
	}
}

func TestCursorsMoveOnlyWhatTheyName(t *testing.T) {
	f := open(t)
	f.put(t, "shop", earliest)
	w := f.worker(t, autobus.Subscription{Name: "shop"})
	for i := range 40 {
		f.orders(t, 1, fmt.Sprint("k", i))
	}
	at := map[int32]int64{}
	for range 40 {
		d := w.next(t)
		at[d.Partition] = max(at[d.Partition], d.Offset)
		if d.Offset != 1 {
			w.ack(t, d)
		}
	}
	var moved int32
	for p, last := range at {
		if last > 3 {
			moved = p
		}
	}
	m := f.seek(t, "shop", autobus.Start{Cursors: map[string]map[int32]int64{orders: {moved: 3}}})
	if len(m.Partitions) != 1 || m.Replayed != at[moved]-2 || m.Skipped != 1 {
		t.Errorf("%+v, last were %v", m, at)
	}
	for want := int64(3); want <= at[moved]; want++ {
		d := w.next(t)
		if d.Partition != moved || d.Offset < 3 {
			t.Fatalf("%d/%d came, want from %d/3 on", d.Partition, d.Offset, moved)
		}
		w.ack(t, d)
	}
	var still int64 // offset 1 of the other partitions is in hand, as before
	for p, last := range at {
		if p != moved && last >= 1 {
			still++
		}
	}
	f.undone(t, "shop", still)
	for name, c := range map[autobus.Reason]map[string]map[int32]int64{
		autobus.ReasonPositionInvalid: {orders: {moved: at[moved] + 2}},
		autobus.ReasonRequestInvalid:  {notes: {0: 0}},
	} {
		if _, err := f.Seek(f.ctx, "shop", autobus.Start{Cursors: c}, byOps); reasonOf(err) != name {
			t.Errorf("%v: %v", c, err)
		}
	}
	_, err := f.Seek(f.ctx, "shop", autobus.Start{Time: time.Now().Add(time.Hour)}, byOps)
	if reasonOf(err) != autobus.ReasonPositionInvalid {
		t.Errorf("to the future: %v", err)
	}
	if _, err := f.Seek(f.ctx, "nobody", autobus.Start{}, byOps); reasonOf(err) != autobus.ReasonSubscriptionUnknown {
		t.Errorf("an unknown one: %v", err)
	}
}

// What is parked goes the way of its place.
func TestASeekTakesWhatIsParkedAlong(t *testing.T) {
	f := open(t)
	f.SetMemory(time.Millisecond)
	f.put(t, "shop", earliest)
	w := f.worker(t, autobus.Subscription{Name: "shop"})
	f.orders(t, 4, "a")
	w.settle(t, w.next(t), again(time.Hour))
	until(t, "the key was not parked", func() bool { p, u := f.parked(t, "shop"); return p == 4 && u == 0 })
	var at bus.PartitionMove
	m := f.seek(t, "shop", autobus.Start{})
	for _, p := range m.Partitions {
		if p.Parked > 0 {
			at = p
		}
	}
	if at.Parked != 4 || at.Skipped != 4 || m.Parked != 4 {
		t.Errorf("%+v", m)
	}
	f.undone(t, "shop", 0)
	f.orders(t, 1, "a") // its key is free
	w.ack(t, w.next(t))
	m = f.seek(t, "shop", autobus.Start{Cursors: map[string]map[int32]int64{orders: {at.Partition: at.Now - 2}}})
	if m.Replayed != 3 || m.Parked != 0 {
		t.Errorf("%+v", m)
	}
	for i := range 3 {
		d := w.next(t)
		if d.Offset != at.Now-2+int64(i) || d.Attempt != 1 {
			t.Errorf("%d in attempt %d came, want %d", d.Offset, d.Attempt, at.Now-2+int64(i))
		}
		w.ack(t, d)
	}
	f.undone(t, "shop", 0)
	until(t, "copies of the epoch before stay in the park log", func() bool { return f.live(t, "park.shop") == 0 })
}

// live counts the keys of a compacted topic that have a value, but for claims.
func (f *fixture) live(t *testing.T, topic string) (n int) {
	t.Helper()
	last := map[string]bool{}
	for _, r := range f.records(t, topic) {
		kind := ""
		for _, h := range r.Headers {
			if h.Key == "autobus-park" {
				kind = string(h.Value)
			}
		}
		if kind != "claim" {
			last[string(r.Key)] = kind == "copy"
		}
	}
	for _, there := range last {
		if there {
			n++
		}
	}
	return n
}

// SPDX-License-Identifier: Apache-2.0

package bus_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/bus"
)

// again asks for an event once more after a wait that is not kept in memory.
func again(d time.Duration) autobus.Outcome {
	return autobus.Outcome{Kind: autobus.Retry, Delay: d, Reason: "not now"}
}

// parked tells how many events of a subscription are parked on this instance, and how many are undone in its ledgers.
func (f *fixture) parked(t *testing.T, name string) (parked, undone int) {
	t.Helper()
	i, err := f.Describe(f.ctx, name)
	if err != nil {
		t.Fatal(err)
	}
	if i.Instance == nil {
		return 0, 0
	}
	for _, p := range i.Instance.Partitions {
		undone += p.Undone
	}
	return i.Instance.Parked, undone
}

// until waits for something that is not signalled.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	limit := time.After(patience)
	for !ok() {
		select {
		case <-limit:
			t.Fatal(what)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

func TestAFailingKeyIsParked(t *testing.T) {
	const wait = 5 * time.Second
	f := open(t)
	f.SetMemory(time.Millisecond)
	f.put(t, "shop", earliest)
	w := f.worker(t, autobus.Subscription{Name: "shop"})
	f.orders(t, 6, "a", "b")
	var first autobus.Delivery
	for range 2 {
		if d := w.next(t); string(d.Key) == "a" {
			first = d
		} else {
			w.ack(t, d)
		}
	}
	at := time.Now()
	w.settle(t, first, again(wait))
	for range 2 {
		d := w.next(t)
		if string(d.Key) != "b" {
			t.Fatalf("%s came while it waits", d.Key)
		}
		w.ack(t, d)
	}
	until(t, "the key was not parked", func() bool {
		parked, undone := f.parked(t, "shop")
		return parked == 3 && undone == 0
	})
	other, stop := f.another(t)
	for _, i := range []*fixture{f, other} { // the one knows, the other one has to look
		until(t, "the lag does not tell of what is parked", func() bool {
			l, err := i.Lag(f.ctx, "shop")
			if err != nil {
				t.Fatal(err)
			}
			return l.Behind == 0 && l.Parked == 3 && l.Undone == 3
		})
	}
	stop(false)
	f.orders(t, 2, "a", "b") // it queues behind the others
	if d := w.next(t); string(d.Key) != "b" {
		t.Fatalf("%s came while it waits", d.Key)
	} else {
		w.ack(t, d)
	}
	until(t, "what came later was not parked", func() bool { parked, _ := f.parked(t, "shop"); return parked == 4 })
	last := int64(-1)
	for i := range 4 {
		d := w.next(t)
		if early := wait - time.Since(at); early > 0 {
			t.Errorf("it came %s too early", early)
		}
		if string(d.Key) != "a" || d.Offset <= last || (d.Attempt == 2) != (i == 0) || d.Fence == 0 {
			t.Errorf("%d: %+v came after offset %d", i, d, last)
		}
		if string(d.Data) == "" || d.ID == "" || d.Type != orders || d.Source != "/tester" {
			t.Errorf("it came back as %+v", d.Event)
		}
		last = d.Offset
		w.ack(t, d)
	}
	until(t, "something stays parked", func() bool { parked, _ := f.parked(t, "shop"); return parked == 0 })
	f.orders(t, 1, "a")
	w.ack(t, w.next(t))
}

func TestParkedEventsSurviveTheInstance(t *testing.T) {
	for _, drain := range []bool{true, false} {
		t.Run(fmt.Sprint("drain=", drain), func(t *testing.T) {
			const wait = 2 * time.Second
			f := open(t)
			f.SetMemory(time.Millisecond)
			f.SetLinger(time.Millisecond)
			f.put(t, "shop", earliest)
			b, stop := f.another(t)
			b.SetMemory(time.Millisecond)
			w := b.worker(t, autobus.Subscription{Name: "shop"})
			f.orders(t, 5, "a")
			at := time.Now()
			w.settle(t, w.next(t), again(wait))
			until(t, "the key was not parked", func() bool { parked, _ := b.parked(t, "shop"); return parked == 5 })
			w.cancel(nil)
			stop(drain)
			w = f.worker(t, autobus.Subscription{Name: "shop"})
			f.orders(t, 1, "a")
			for i := range 6 {
				d := w.next(t)
				if early := wait - time.Since(at); early > 0 {
					t.Errorf("it came %s too early", early)
				}
				if d.Offset != int64(i) || (d.Attempt == 2) != (i == 0) {
					t.Errorf("%d: offset %d came, attempt %d", i, d.Offset, d.Attempt)
				}
				w.ack(t, d)
			}
		})
	}
}

// TestAStuckKeyLeavesTheSpan keeps one key with its worker while the others of the partition go far beyond the span.
func TestAStuckKeyLeavesTheSpan(t *testing.T) {
	for _, order := range []autobus.Order{autobus.OrderKey, autobus.OrderNone} {
		t.Run(string(order), func(t *testing.T) {
			f := open(t)
			p := earliest
			p.Order, p.Window = order, &autobus.Window{Events: 1000}
			p.Retry.Backoff = []autobus.Duration{autobus.Duration(10 * time.Minute)}
			f.route(t, things, 1, true)
			p.Types = []string{things}
			f.put(t, "shop", p)
			w := f.worker(t, autobus.Subscription{Name: "shop"})
			const all, each = 7000, 1000
			failed := 0
			for from := 0; from < all; from += each {
				b := &autobus.Batch{}
				for i := from; i < from+each; i++ {
					key := fmt.Sprint("k", i%97)
					b.Events = append(b.Events, autobus.Event{Type: things, Data: []byte(`{"id":"` + key + `"}`)})
				}
				f.publish(f.ctx, t, b)
			}
			keys := map[string][]int64{}
			for range all {
				d := w.next(t)
				if string(d.Key) == "k3" {
					w.settle(t, d, again(0))
					if failed++; order == autobus.OrderKey {
						break
					}
					continue
				}
				w.ack(t, d)
			}
			want := all - (all+96-3)/97
			got := all - want
			if order == autobus.OrderKey {
				for n := 3; n < want; n++ { // up to the failing one there were 3
					d := w.next(t)
					keys[string(d.Key)] = append(keys[string(d.Key)], d.Offset)
					w.ack(t, d)
				}
			} else if failed != got {
				t.Errorf("%d failed, want %d", failed, got)
			}
			for k, offsets := range keys {
				if !slices.IsSorted(offsets) || k == "k3" {
					t.Errorf("%s came in the order %v", k, offsets)
				}
			}
			until(t, "not all of the key is parked", func() bool {
				parked, undone := f.parked(t, "shop")
				return parked == got && undone == 0
			})
			i, err := f.Describe(f.ctx, "shop")
			if err != nil {
				t.Fatal(err)
			}
			if at := i.Instance.Partitions[0].Position; at != all {
				t.Errorf("the position is %d, not %d", at, all)
			}
		})
	}
}

func TestALongWorkLeavesTheSpan(t *testing.T) {
	f := open(t)
	f.route(t, things, 1, true)
	p := earliest
	p.Types, p.AckWait = []string{things}, autobus.Duration(time.Minute)
	f.put(t, "shop", p)
	w := f.worker(t, autobus.Subscription{Name: "shop"})
	send := func(n int, key string) {
		b := &autobus.Batch{}
		for range n {
			b.Events = append(b.Events, autobus.Event{Type: things, Data: []byte(`{"id":"` + key + `"}`)})
		}
		f.publish(f.ctx, t, b)
	}
	send(2, "slow")
	slow := w.next(t)
	for range 6 {
		send(1000, "quick")
	}
	for range 6000 {
		w.ack(t, w.next(t))
	}
	w.ack(t, slow)
	if d := w.next(t); d.Offset != 1 || d.Attempt != 1 {
		t.Errorf("offset %d came, attempt %d", d.Offset, d.Attempt)
	} else {
		w.ack(t, d)
	}
	until(t, "something stays parked", func() bool { parked, undone := f.parked(t, "shop"); return parked+undone == 0 })
	if n := len(f.records(t, "park.shop")); n < 4 {
		t.Errorf("%d records in the park log: nothing was parked", n)
	}
}

func TestAParkedEventIsBuried(t *testing.T) {
	f := open(t)
	f.SetMemory(time.Millisecond)
	p := earliest
	p.Retry.MaxAttempts = 3
	f.put(t, "shop", p)
	w := f.worker(t, autobus.Subscription{Name: "shop"})
	f.orders(t, 2, "a")
	for i := range 3 {
		d := w.next(t)
		if d.Attempt != i+1 || d.Offset != 0 {
			t.Fatalf("attempt %d of %d", d.Attempt, d.Offset)
		}
		w.settle(t, d, again(20*time.Millisecond))
	}
	w.ack(t, w.next(t))
	letters := f.records(t, "dlq.shop")
	if len(letters) != 1 || string(letters[0].Key) != "a" || string(letters[0].Value) != `{"id":"a","total":0}` {
		t.Fatalf("%+v", letters)
	}
	for _, h := range letters[0].Headers {
		if len(h.Key) > 12 && h.Key[:12] == "autobus-park" {
			t.Errorf("the letter has %s", h.Key)
		}
	}
}

func TestAnotherSubscriptionOfTheNameHasNothingParked(t *testing.T) {
	f := open(t)
	f.SetMemory(time.Millisecond)
	f.SetLinger(time.Millisecond)
	f.put(t, "shop", earliest)
	w := f.worker(t, autobus.Subscription{Name: "shop"})
	f.orders(t, 3, "a")
	w.settle(t, w.next(t), again(time.Hour))
	until(t, "the key was not parked", func() bool { parked, _ := f.parked(t, "shop"); return parked == 3 })
	w.leave(t, nil)
	if err := f.DeleteSubscription(f.ctx, "shop", bus.Audit{Actor: "test"}); err != nil {
		t.Fatal(err)
	}
	f.put(t, "shop", earliest)
	w = f.worker(t, autobus.Subscription{Name: "shop"})
	for i := range 3 {
		d := w.next(t)
		if d.Offset != int64(i) || d.Attempt != 1 {
			t.Errorf("offset %d came, attempt %d", d.Offset, d.Attempt)
		}
		w.ack(t, d)
	}
}

// Without the right to make the park log an event waits in memory, as long as that goes.
func TestWithoutAParkLogEventsComeAgain(t *testing.T) {
	c, err := kfake.NewCluster(kfake.NumBrokers(1))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	f := openOn(t, c.ListenAddrs()[0])
	f.SetMemory(time.Millisecond)
	f.put(t, "shop", earliest)
	w := f.worker(t, autobus.Subscription{Name: "shop"})
	f.orders(t, 3, "a")
	d := w.next(t)
	fault := c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.CreateTopics}, Err: kerr.ClusterAuthorizationFailed, Count: -1})
	w.settle(t, d, again(100*time.Millisecond))
	for i := range 2 {
		if d = w.next(t); d.Offset != int64(i) || d.Attempt != 2-i {
			t.Fatalf("offset %d came, attempt %d", d.Offset, d.Attempt)
		}
		w.ack(t, d)
	}
	until(t, "nobody tried to make the topic", func() bool { return fault.Hits() > 0 })
	d = w.next(t)
	w.settle(t, d, again(4*time.Second))
	fault.Remove() // from now on it can be made
	until(t, "it was not parked", func() bool { parked, undone := f.parked(t, "shop"); return parked == 1 && undone == 0 })
	if d = w.next(t); d.Offset != 2 || d.Attempt != 2 {
		t.Errorf("offset %d came, attempt %d", d.Offset, d.Attempt)
	}
	w.ack(t, d)
}

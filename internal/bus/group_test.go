// SPDX-License-Identifier: Apache-2.0

package bus_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/bus"
	"github.com/autobus-io/autobus/internal/kafka"
)

// put makes a subscription.
func (f *fixture) put(t *testing.T, name string, p autobus.Policy) {
	t.Helper()
	if _, err := f.PutSubscription(f.ctx, name, p, bus.Audit{Actor: "test"}); err != nil {
		t.Fatal(err)
	}
}

// worker is one session: what it gets comes in got.
type worker struct {
	f      *fixture
	got    chan autobus.Delivery
	ended  chan struct{} // closed when Subscribe returned err
	err    error
	cancel context.CancelCauseFunc
}

func (f *fixture) worker(t *testing.T, s autobus.Subscription) *worker {
	t.Helper()
	ctx, cancel := context.WithCancelCause(f.ctx)
	w := &worker{f: f, got: make(chan autobus.Delivery, 10_000), ended: make(chan struct{}), cancel: cancel}
	go func() {
		defer close(w.ended)
		w.err = f.Subscribe(ctx, s, func(_ context.Context, ds []autobus.Delivery) {
			for _, d := range ds {
				w.got <- d
			}
		})
	}()
	t.Cleanup(func() { cancel(nil); <-w.ended })
	return w
}

// leave ends the session and waits for that.
func (w *worker) leave(t *testing.T, cause error) {
	t.Helper()
	w.cancel(cause)
	if <-w.ended; w.err != nil {
		t.Errorf("the session ended with %v", w.err)
	}
}

const patience = 30 * time.Second

// next waits for a delivery.
func (w *worker) next(t *testing.T) autobus.Delivery {
	t.Helper()
	select {
	case d := <-w.got:
		return d
	case <-w.ended:
		t.Fatalf("the session ended: %v", w.err)
	case <-time.After(patience):
		t.Fatal("nothing came")
	}
	panic("unreachable")
}

func (w *worker) settle(t *testing.T, d autobus.Delivery, o autobus.Outcome) {
	t.Helper()
	if err := w.f.settle(t, d.Lease, o); err != nil {
		t.Fatalf("%s of offset %d: %v", o.Kind, d.Offset, err)
	}
}

func (w *worker) ack(t *testing.T, d autobus.Delivery) {
	t.Helper()
	w.settle(t, d, autobus.Outcome{Kind: autobus.Ack})
}

func (f *fixture) settle(t *testing.T, l autobus.Lease, o autobus.Outcome) *autobus.Error {
	t.Helper()
	s := []autobus.Settlement{{Lease: l, Outcome: o}}
	if err := f.Settle(f.ctx, s); err != nil {
		t.Fatal(err)
	}
	return s[0].Err
}

// orders publishes n events round the keys.
func (f *fixture) orders(t *testing.T, n int, keys ...string) {
	t.Helper()
	for from := 0; from < n; from += autobus.MaxBatchEvents {
		b := &autobus.Batch{}
		for i := from; i < min(n, from+autobus.MaxBatchEvents); i++ {
			b.Events = append(b.Events, order(keys[i%len(keys)], fmt.Sprint(i)))
		}
		for _, rc := range f.publish(f.ctx, t, b) {
			if rc.Status != autobus.Written {
				t.Fatal(rc.Err)
			}
		}
	}
}

var earliest = autobus.Policy{Types: []string{orders}, Start: autobus.Start{Earliest: true},
	Retry: autobus.RetryPolicy{Backoff: []autobus.Duration{autobus.Duration(time.Millisecond)}}}

func TestAGroupDeliversAndRemembers(t *testing.T) {
	f := open(t)
	f.orders(t, 10, "a", "b", "c")
	f.put(t, "shop", earliest)
	w := f.worker(t, autobus.Subscription{Name: "shop"})
	seen := map[string][]int64{}
	for range 9 {
		d := w.next(t)
		if d.Attempt != 1 || d.Fence>>32 != 1 || d.Lease == "" || d.Deadline.IsZero() {
			t.Errorf("%+v", d)
		}
		seen[string(d.Key)] = append(seen[string(d.Key)], d.Offset)
		w.ack(t, d)
	}
	for key, offsets := range seen {
		if !slices.IsSorted(offsets) {
			t.Errorf("key %s came in the order %v", key, offsets)
		}
	}
	last := w.next(t)
	w.leave(t, nil)
	// What was not acked comes again, what was does not.
	w = f.worker(t, autobus.Subscription{Name: "shop"})
	d := w.next(t)
	if d.Offset != last.Offset || d.Partition != last.Partition || d.Attempt != 1 || d.Fence <= last.Fence {
		t.Errorf("after the session %+v came, want %+v again", d, last)
	}
	w.ack(t, d)
	if err := f.settle(t, last.Lease, autobus.Outcome{Kind: autobus.Ack}); err == nil ||
		err.Reason != autobus.ReasonLeaseStale {
		t.Errorf("the lease of a session that is over: %v", err)
	}
}

func TestOneEventOfAKeyIsInFlight(t *testing.T) {
	f := open(t)
	f.orders(t, 6, "a", "b")
	f.put(t, "shop", earliest)
	w := f.worker(t, autobus.Subscription{Name: "shop"})
	other := f.worker(t, autobus.Subscription{Name: "shop"})
	first := map[string]autobus.Delivery{}
	for range 2 {
		select {
		case d := <-w.got:
			first[string(d.Key)] = d
		case d := <-other.got:
			first[string(d.Key)] = d
		case <-time.After(patience):
			t.Fatal("nothing came")
		}
	}
	if len(first) != 2 {
		t.Fatalf("two events of one key in flight: %v", first)
	}
	w.ack(t, first["a"])
	var next autobus.Delivery
	select {
	case next = <-w.got:
	case next = <-other.got:
	case <-time.After(patience):
		t.Fatal("nothing came")
	}
	if string(next.Key) != "a" || next.Offset <= first["a"].Offset {
		t.Errorf("after a's first came %s at %d", next.Key, next.Offset)
	}
}

func TestWindowIsKept(t *testing.T) {
	f := open(t)
	f.orders(t, 50, "a", "b", "c", "d", "e", "f", "g", "h")
	f.put(t, "shop", earliest)
	w := f.worker(t, autobus.Subscription{Name: "shop", Window: &autobus.Window{Events: 1}})
	for range 50 {
		d := w.next(t)
		if len(w.got) > 0 {
			t.Fatal("a second event came before the first was settled")
		}
		w.ack(t, d)
	}
}

func TestRetryComesAgainAndIsCounted(t *testing.T) {
	f := open(t)
	f.orders(t, 1, "a")
	f.put(t, "shop", earliest)
	w := f.worker(t, autobus.Subscription{Name: "shop"})
	d := w.next(t)
	w.settle(t, d, autobus.Outcome{Kind: autobus.Retry})
	if d = w.next(t); d.Attempt != 2 {
		t.Errorf("attempt %d, want 2", d.Attempt)
	}
	commits, err := f.log.Committed(t.Context(), "shop")
	if err != nil || commits[kafka.TP{Topic: orders, Partition: d.Partition}].Metadata == "" {
		t.Errorf("the second attempt was not committed before its delivery: %v %v", commits, err)
	}
	w.leave(t, nil)
	w = f.worker(t, autobus.Subscription{Name: "shop"})
	if d = w.next(t); d.Attempt != 2 {
		t.Errorf("after a goodbye it is attempt %d, want 2 again", d.Attempt)
	}
	w.ack(t, d)
}

func TestExhaustedEventsBecomeDeadLetters(t *testing.T) {
	f := open(t)
	f.orders(t, 2, "a")
	p := earliest
	p.Retry.MaxAttempts = 2
	f.put(t, "shop", p)
	w := f.worker(t, autobus.Subscription{Name: "shop"})
	w.settle(t, w.next(t), autobus.Outcome{Kind: autobus.Retry, Reason: "no stock"})
	w.settle(t, w.next(t), autobus.Outcome{Kind: autobus.Retry, Reason: "still no stock"})
	d := w.next(t) // the next of the key comes only when the letter is written
	dead := f.records(t, "dlq.shop")
	if len(dead) != 1 || string(dead[0].Key) != "a" {
		t.Fatalf("dead letters %+v", dead)
	}
	got := map[string]string{}
	for _, h := range dead[0].Headers {
		got[h.Key] = string(h.Value)
	}
	for key, want := range map[string]string{"autobus-dlq-reason": "still no stock", "autobus-dlq-attempts": "2",
		"autobus-dlq-topic": orders, "autobus-dlq-offset": "0", "ce_type": orders} {
		if got[key] != want {
			t.Errorf("header %s is %q, want %q", key, got[key], want)
		}
	}
	w.settle(t, d, autobus.Outcome{Kind: autobus.Reject, Reason: "never"})
}

func TestALeaseRunsOut(t *testing.T) {
	f := open(t)
	f.orders(t, 1, "a")
	p := earliest
	p.AckWait = autobus.MinAckWait
	f.put(t, "shop", p)
	w := f.worker(t, autobus.Subscription{Name: "shop"})
	first := w.next(t)
	second := w.next(t)
	if second.Attempt != 2 || second.Offset != first.Offset || second.Fence <= first.Fence {
		t.Errorf("%+v after %+v", second, first)
	}
	if err := f.settle(t, first.Lease, autobus.Outcome{Kind: autobus.Ack}); err == nil ||
		err.Reason != autobus.ReasonLeaseStale {
		t.Errorf("the old lease: %v", err)
	}
	w.ack(t, second)
}

func TestAWorkerThatDiesWithOneEventFailsIt(t *testing.T) {
	f := open(t)
	f.orders(t, 2, "a", "b")
	p := earliest
	p.Retry.MaxAttempts = 2
	f.put(t, "shop", p)
	w := f.worker(t, autobus.Subscription{Name: "shop"})
	x, y := w.next(t), w.next(t)
	if x.Attempt != 1 || y.Attempt != 1 {
		t.Fatal(x, y)
	}
	w.leave(t, autobus.ErrReaderDied)
	// Nobody knows which one it was: both come again alone, and nothing was counted.
	for range 2 {
		w = f.worker(t, autobus.Subscription{Name: "shop"})
		d := w.next(t)
		if d.Attempt != 1 || len(w.got) > 0 {
			t.Fatalf("%+v came, and %d beside it", d, len(w.got))
		}
		w.leave(t, autobus.ErrReaderDied) // alone: that counts
	}
	w = f.worker(t, autobus.Subscription{Name: "shop"})
	for range 2 {
		d := w.next(t)
		if d.Attempt != 2 || len(w.got) > 0 {
			t.Fatalf("%+v came, and %d beside it", d, len(w.got))
		}
		w.settle(t, d, autobus.Outcome{Kind: autobus.Retry})
	}
	for len(f.records(t, "dlq.shop")) < 2 {
		if t.Context().Err() != nil {
			t.Fatal("they did not become dead letters")
		}
	}
}

func TestDetachedLeasesOutliveTheCall(t *testing.T) {
	f := open(t)
	f.orders(t, 3, "a", "b", "c")
	f.put(t, "shop", earliest)
	ctx, cancel := context.WithCancel(f.ctx)
	var got []autobus.Delivery
	err := f.Subscribe(ctx, autobus.Subscription{Name: "shop", Detached: true, Window: &autobus.Window{Events: 3}},
		func(_ context.Context, ds []autobus.Delivery) {
			got = append(got, ds...)
			cancel()
		})
	if err != nil || len(got) == 0 {
		t.Fatal(err, got)
	}
	for _, d := range got {
		if err := f.settle(t, d.Lease, autobus.Outcome{Kind: autobus.Ack}); err != nil {
			t.Error(err)
		}
	}
	w := f.worker(t, autobus.Subscription{Name: "shop"})
	for range 3 - len(got) {
		w.ack(t, w.next(t))
	}
}

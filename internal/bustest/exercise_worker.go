// SPDX-License-Identifier: Apache-2.0

package bustest

import (
	"bytes"
	"context"
	"sync"
	"testing"
	"time"

	"github.com/autobus-io/autobus"
)

// worker is one session of a subscription. What it is given waits in got.
type worker struct {
	suite   *suite
	name    string
	got     chan autobus.Delivery
	revoked chan autobus.Lease
	cancel  context.CancelCauseFunc
	ended   chan struct{} // closed when Subscribe has returned
	err     error         // what it returned
	gone    bool          // the test ended it, or knows that it did not begin
	notes   *Session      // nil = nobody keeps a history

	mu              sync.Mutex
	events, bytes   int // in hand
	most, mostBytes int // that it ever had in hand
}

// work subscribes and returns when deliveries can come. The session ends with the test.
func (s *suite) work(t *testing.T, sub autobus.Subscription) *worker {
	t.Helper()
	return s.workNoted(t, sub, nil)
}

// workNoted does the same and keeps a history.
func (s *suite) workNoted(t *testing.T, sub autobus.Subscription, notes *Session) *worker {
	t.Helper()
	w := &worker{suite: s, name: sub.Name, got: make(chan autobus.Delivery, 10_000), ended: make(chan struct{}),
		revoked: make(chan autobus.Lease, 10_000), notes: notes}
	bus, ctx := s.bus(context.Background(), t, everything)
	ctx, w.cancel = context.WithCancelCause(ctx)
	opened := make(chan struct{})
	sub.Opened = func(autobus.Address) { close(opened) }
	sub.Revoke = func(ls []autobus.Lease) {
		if notes != nil {
			notes.Revoked(ls)
		}
		for _, l := range ls {
			w.revoked <- l
		}
	}
	go func() {
		defer close(w.ended)
		w.err = bus.Subscribe(ctx, sub, w.take)
		if notes != nil {
			notes.Ended()
		}
	}()
	t.Cleanup(func() { w.end(t, nil) })
	select {
	case <-opened:
	case <-w.ended:
		w.gone = true
		t.Fatalf("subscribe to %s: %v", sub.Name, w.err)
	case <-time.After(Patience):
		t.Fatalf("subscription %s does not open", sub.Name)
	}
	return w
}

func (w *worker) take(_ context.Context, ds []autobus.Delivery) {
	if w.notes != nil {
		w.notes.Delivered(ds...)
	}
	w.mu.Lock()
	for _, d := range ds {
		w.events++
		w.bytes += len(d.Data)
		w.most = max(w.most, w.events)
		if w.events > 1 { // one always fits
			w.mostBytes = max(w.mostBytes, w.bytes)
		}
	}
	w.mu.Unlock()
	for _, d := range ds {
		d.Data, d.Key = bytes.Clone(d.Data), bytes.Clone(d.Key)
		w.got <- d
	}
}

// end ends the session, for a cause, and waits for that. An end for no cause, or by a death, is no error.
func (w *worker) end(t testing.TB, cause error) {
	t.Helper()
	if w.gone {
		return
	}
	w.gone = true
	if w.notes != nil {
		w.notes.Leave()
	}
	w.cancel(cause)
	select {
	case <-w.ended:
		if w.err != nil {
			t.Errorf("the session of %s ended with %v, want nil at the end of its context", w.name, w.err)
		}
	case <-time.After(Patience):
		t.Errorf("the session of %s goes on after the end of its context", w.name)
	}
}

// next waits for a delivery.
func (w *worker) next(t *testing.T) autobus.Delivery {
	t.Helper()
	d, _ := nextOf(t, w, nil)
	return d
}

// nextOf waits for a delivery to one of two workers.
func nextOf(t *testing.T, a, b *worker) (autobus.Delivery, *worker) {
	t.Helper()
	var others chan autobus.Delivery
	if b != nil {
		others = b.got
	}
	select {
	case d := <-a.got:
		return d, a
	case d := <-others:
		return d, b
	case <-a.ended:
		t.Fatalf("the session of %s ended: %v", a.name, a.err)
	case <-time.After(Patience):
		t.Fatalf("%s: no delivery within %s", a.name, Patience)
	}
	return autobus.Delivery{}, nil
}

// nothing fails the test if something has come that nobody took.
func (w *worker) nothing(t *testing.T, why string) {
	t.Helper()
	select {
	case d := <-w.got:
		t.Errorf("%s at %d/%d, attempt %d, was delivered: %s", d.ID, d.Partition, d.Offset, d.Attempt, why)
	default:
	}
}

// ack settles a delivery, which has to count.
func (w *worker) ack(t *testing.T, d autobus.Delivery) {
	t.Helper()
	w.settle(t, d, autobus.Outcome{Kind: autobus.Ack})
}

func (w *worker) settle(t *testing.T, d autobus.Delivery, o autobus.Outcome) {
	t.Helper()
	if o.Kind != autobus.Extend {
		w.mu.Lock()
		w.events--
		w.bytes -= len(d.Data)
		w.mu.Unlock()
	}
	st := autobus.Settlement{Lease: d.Lease, Subscription: w.name, Outcome: o}
	if err := w.suite.settle(t, everything, st); err != nil {
		t.Fatalf("%s of %s at %d/%d: %v", o.Kind, d.ID, d.Partition, d.Offset, err)
	}
}

// settle tells one outcome and returns what it was refused with.
func (s *suite) settle(t testing.TB, p autobus.Principal, st autobus.Settlement) *autobus.Error {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	defer cancel()
	bus, ctx := s.bus(ctx, t, p)
	ss := []autobus.Settlement{st}
	if err := bus.Settle(ctx, ss); err != nil {
		t.Fatalf("settle: %v", err)
	}
	return ss[0].Err
}

// asking is somebody who asks for a subscription.
type asking struct {
	name string // of the case
	who  autobus.Principal
	sub  autobus.Subscription
	why  autobus.Reason // that it has to be refused with; "" = it opens
}

// answers lets all of them subscribe at once, because some refusals take their time, and holds what they are told
// against what they should be.
func (s *suite) answers(t *testing.T, all ...asking) {
	t.Helper()
	got := make([]error, len(all))
	opened := make([]bool, len(all))
	var asked sync.WaitGroup
	for i, a := range all {
		asked.Go(func() {
			ctx, cancel := context.WithTimeout(context.Background(), Patience)
			defer cancel()
			bus, ctx := s.bus(ctx, t, a.who)
			a.sub.Opened = func(autobus.Address) {
				opened[i] = true
				cancel()
			}
			got[i] = bus.Subscribe(ctx, a.sub, func(context.Context, []autobus.Delivery) {})
		})
	}
	asked.Wait()
	for i, a := range all {
		switch {
		case a.why != "":
			failed(t, a.name, got[i], a.why)
		case got[i] != nil || !opened[i]:
			t.Errorf("%s: it did not open: %v", a.name, got[i])
		}
	}
}

// refusal is what the suite's usual principal is refused.
func refusal(name string, sub autobus.Subscription, why autobus.Reason) asking {
	return asking{name, everything, sub, why}
}

// failed fails the test unless the error is there for that reason.
func failed(t testing.TB, what string, err error, why autobus.Reason) {
	t.Helper()
	if e := autobus.AsError(err); e == nil || e.Reason != why {
		t.Errorf("%s: got %v, want %s", what, err, why)
	}
}

// SPDX-License-Identifier: Apache-2.0

package autobustest_test

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/autobustest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	placed   = "orders.order.placed.v1"
	specsDir = "testdata/specs"
)

// standIn is a testing.TB that may fail without anybody minding.
type standIn struct {
	testing.TB // nil: what is not below is not called

	mu       sync.Mutex
	said     []string
	cleanups []func()
}

func (*standIn) Helper()            {}
func (s *standIn) Cleanup(f func()) { s.cleanups = append(s.cleanups, f) }
func (s *standIn) Failed() bool     { return s.failures() != "" }
func (s *standIn) failures() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Join(s.said, "\n")
}
func (*standIn) Context() context.Context { return context.Background() }

func (s *standIn) Errorf(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.said = append(s.said, fmt.Sprintf(format, args...))
}

func (s *standIn) Fatalf(format string, args ...any) {
	s.Errorf(format, args...)
	runtime.Goexit()
}

// end runs the cleanups, as the end of a test does.
func (s *standIn) end() {
	for _, f := range slices.Backward(s.cleanups) {
		f()
	}
}

// failing runs a test that has to fail, and gives what it said.
func failing(test func(t testing.TB)) string {
	s := &standIn{}
	over := make(chan struct{})
	go func() {
		defer close(over)
		defer s.end()
		test(s)
	}()
	<-over
	return s.failures()
}

// says fails the test unless the message holds all the words.
func says(t *testing.T, message string, words ...string) {
	t.Helper()
	for _, w := range words {
		if !strings.Contains(message, w) {
			t.Errorf("the message does not say %q:\n%s", w, message)
		}
	}
}

// worker takes deliveries, which wait in got.
type worker struct {
	got     chan autobus.Delivery
	revoked chan autobus.Lease
	drained chan struct{}
	lost    chan autobus.PositionLost
	stop    context.CancelFunc
	ended   chan error
}

// work subscribes and returns when deliveries can come.
func work(t *testing.T, bus autobus.Bus, name string, create *autobus.Policy) *worker {
	t.Helper()
	w := &worker{got: make(chan autobus.Delivery, 100), revoked: make(chan autobus.Lease, 100),
		drained: make(chan struct{}, 1), lost: make(chan autobus.PositionLost, 10), ended: make(chan error, 1)}
	ctx, stop := context.WithCancel(t.Context())
	w.stop = stop
	opened := make(chan struct{})
	sub := autobus.Subscription{Name: name, Create: create, Opened: func(autobus.Address) { close(opened) },
		Revoke: func(ls []autobus.Lease) {
			for _, l := range ls {
				w.revoked <- l
			}
		},
		Draining: func(time.Time) { w.drained <- struct{}{} },
		Lost:     func(l autobus.PositionLost) { w.lost <- l }}
	go func() {
		w.ended <- bus.Subscribe(ctx, sub, func(_ context.Context, ds []autobus.Delivery) {
			for _, d := range ds {
				w.got <- d
			}
		})
	}()
	select {
	case <-opened:
	case err := <-w.ended:
		t.Fatalf("subscribe to %s: %v", name, err)
	}
	return w
}

// settle tells an outcome and returns what it was refused with.
func settle(t *testing.T, bus autobus.Bus, d autobus.Delivery, o autobus.Outcome) *autobus.Error {
	t.Helper()
	ss := []autobus.Settlement{{Lease: d.Lease, Outcome: o}}
	if err := bus.Settle(t.Context(), ss); err != nil {
		t.Fatalf("settle: %v", err)
	}
	return ss[0].Err
}

// ack settles a delivery, which has to count.
func ack(t *testing.T, bus autobus.Bus, d autobus.Delivery) {
	t.Helper()
	if err := settle(t, bus, d, autobus.Outcome{Kind: autobus.Ack}); err != nil {
		t.Fatalf("ack of %s: %v", d.ID, err)
	}
}

// order is the data of an order with the key.
func order(key string) string { return fmt.Sprintf(`{"order_id":%q,"total":1}`, key) }

// refused fails the test unless the error has that reason.
func refused(t *testing.T, err error, why autobus.Reason) {
	t.Helper()
	if e := autobus.AsError(err); e == nil || e.Reason != why {
		t.Errorf("got %v, want %s", err, why)
	}
}

// send publishes one event and returns its receipt, whatever it is.
func send(t *testing.T, bus autobus.Bus, e autobus.Event) autobus.Receipt {
	t.Helper()
	b := &autobus.Batch{Events: []autobus.Event{e}}
	if err := bus.Publish(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	return b.Wait(t.Context())[0]
}

func withSpecs(t *testing.T, opts ...autobustest.Option) *autobustest.Bus {
	t.Helper()
	return autobustest.New(t, append(opts, autobustest.Specs(specsDir))...)
}

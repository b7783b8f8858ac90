// SPDX-License-Identifier: Apache-2.0

package autobus_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/autobus-io/autobus"
)

const fakeLease = 30 * time.Second

// fakeBus is a bus of one subscription, for the tests of what stands on the interface. It hands out what deliver is
// given, one session at a time, and its leases run out like real ones.
type fakeBus struct {
	feed   chan []autobus.Delivery
	end    chan error                    // makes the session end
	settle func(context.Context) error   // instead of a Settle that always answers
	accept func(*autobus.Batch, int)     // what publishing does with event i; nil = written
	judge  func(autobus.Lease) error     // what is wrong with a settlement, beside its lease
	asked  func(autobus.Subscription)    // sees each Subscribe
	refuse func(*autobus.Batch) error    // what Publish returns
	seen   func(ss []autobus.Settlement) // sees each Settle

	mu      sync.Mutex
	next    int64
	live    map[autobus.Lease]time.Time // until when
	session *autobus.Subscription
	window  autobus.Window // the last one of Resize
	told    map[autobus.Lease][]autobus.Outcome
	extends map[autobus.Lease]int
	calls   int // of Settle
	byes    int // sessions that ended with their context
	late    int // leases that ran out
	sent    []autobus.Event
}

func newFakeBus() *fakeBus {
	return &fakeBus{feed: make(chan []autobus.Delivery, 100), end: make(chan error),
		live: map[autobus.Lease]time.Time{}, told: map[autobus.Lease][]autobus.Outcome{}, extends: map[autobus.Lease]int{}}
}

func (f *fakeBus) Publish(_ context.Context, b *autobus.Batch) error {
	if f.refuse != nil {
		return f.refuse(b)
	}
	if err := b.Open(); err != nil {
		return err
	}
	for i := range b.Events {
		f.mu.Lock()
		f.sent = append(f.sent, b.Events[i])
		f.mu.Unlock()
		if f.accept != nil {
			f.accept(b, i)
		} else {
			b.Resolve(i, autobus.Receipt{Status: autobus.Written, Offset: int64(i)})
		}
	}
	return nil
}

func (f *fakeBus) Subscribe(ctx context.Context, s autobus.Subscription, h autobus.Handler) error {
	if f.asked != nil {
		f.asked(s)
	}
	f.mu.Lock()
	f.session = &s
	f.mu.Unlock()
	s.Opened("")
	defer func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.session = nil
		clear(f.live)
	}()
	for {
		select {
		case <-ctx.Done():
			f.mu.Lock()
			f.byes++
			f.mu.Unlock()
			return nil
		case err := <-f.end:
			return err
		case w := <-s.Resize:
			f.mu.Lock()
			f.window = w
			f.mu.Unlock()
		case ds := <-f.feed:
			f.mu.Lock()
			for i := range ds {
				ds[i].Deadline = time.Now().Add(fakeLease)
				f.live[ds[i].Lease] = ds[i].Deadline
			}
			f.mu.Unlock()
			h(ctx, ds)
			clear(ds) // the slice is ours again
		}
	}
}

func (f *fakeBus) Settle(ctx context.Context, ss []autobus.Settlement) error {
	if f.seen != nil {
		f.seen(ss)
	}
	f.mu.Lock()
	f.calls++
	settle := f.settle
	f.mu.Unlock()
	if settle != nil {
		if err := settle(ctx); err != nil {
			return err
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := range ss {
		l := ss[i].Lease
		if until, ok := f.live[l]; !ok || !time.Now().Before(until) {
			f.late++
			ss[i].Err = autobus.NewError(autobus.ReasonLeaseStale, "")
			continue
		}
		if f.judge != nil {
			if ss[i].Err = autobus.AsError(f.judge(l)); ss[i].Err != nil {
				continue
			}
		}
		if ss[i].Outcome.Kind == autobus.Extend {
			f.live[l] = time.Now().Add(fakeLease)
			f.extends[l]++
			continue
		}
		delete(f.live, l)
		f.told[l] = append(f.told[l], ss[i].Outcome)
	}
	return nil
}

// deliver hands out n new events and returns their leases.
func (f *fakeBus) deliver(n int, change ...func(*autobus.Delivery)) []autobus.Lease {
	ds := make([]autobus.Delivery, n)
	ls := make([]autobus.Lease, n)
	f.mu.Lock()
	for i := range ds {
		f.next++
		ls[i] = autobus.Lease("lease-" + strconv.FormatInt(f.next, 10))
		ds[i] = autobus.Delivery{Event: autobus.Event{ID: fmt.Sprint("e", f.next), Type: "a.b.v1", Data: []byte("1")},
			Lease: ls[i], Offset: f.next, Attempt: 1}
		for _, c := range change {
			c(&ds[i])
		}
	}
	f.mu.Unlock()
	f.feed <- ds
	return ls
}

// locked lets a test look at the bus, or change it, while a worker uses it.
func (f *fakeBus) locked(do func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	do()
}

// called is how often Settle was called.
func (f *fakeBus) called() (n int) {
	f.locked(func() { n = f.calls })
	return n
}

// outcome is what was told of a lease; it has to be one.
func (f *fakeBus) outcome(t *testing.T, l autobus.Lease) autobus.Outcome {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.told[l]) != 1 {
		t.Errorf("%s was settled %d times: %v", l, len(f.told[l]), f.told[l])
		return autobus.Outcome{}
	}
	return f.told[l][0]
}

// untold fails the test if something was told of a lease.
func (f *fakeBus) untold(t *testing.T, ls ...autobus.Lease) {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, l := range ls {
		if len(f.told[l]) > 0 {
			t.Errorf("%s was settled: %v", l, f.told[l])
		}
	}
}

func (f *fakeBus) revoke(ls ...autobus.Lease) {
	f.mu.Lock()
	s := f.session
	for _, l := range ls {
		delete(f.live, l)
	}
	f.mu.Unlock()
	s.Revoke(ls)
}

// inBubble runs a worker on a fake bus in a bubble of fake time. The worker has to end well when the test is over.
func inBubble(t *testing.T, w *autobus.Worker, test func(t *testing.T, f *fakeBus, stop func())) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		f := newFakeBus()
		w.Bus, w.Subscription = f, "billing"
		if w.Logger == nil {
			w.Logger = quiet()
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- w.Run(ctx) }()
		synctest.Wait()
		test(t, f, cancel)
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

var errBroken = errors.New("broken")

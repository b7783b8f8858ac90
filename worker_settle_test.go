// SPDX-License-Identifier: Apache-2.0

package autobus_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/autobus-io/autobus"
)

func done(context.Context, *autobus.Delivery) error { return nil }

// TestOutcomesShareCalls: what comes while a call is on its way goes into the next one; the first waits for nothing.
func TestOutcomesShareCalls(t *testing.T) {
	inBubble(t, &autobus.Worker{Workers: 50, Handle: done}, func(t *testing.T, f *fakeBus, _ func()) {
		f.locked(func() {
			f.settle = func(context.Context) error {
				time.Sleep(time.Second)
				return nil
			}
		})
		began := time.Now()
		first := f.deliverNow()
		rest := f.deliver(200)
		time.Sleep(2 * time.Second)
		synctest.Wait()
		for _, l := range slices.Concat(first, rest) {
			f.outcome(t, l)
		}
		if n := f.called(); n != 2 {
			t.Errorf("%d calls, want one for the first and one for the others", n)
		}
		if time.Since(began) != 2*time.Second {
			t.Error("it took", time.Since(began))
		}
	})
}

func TestASettleThatFailsIsTriedAgainWhileTheLeaseLives(t *testing.T) {
	var mu sync.Mutex
	var told []error
	w := &autobus.Worker{Handle: done, Hooks: []autobus.Hooks{{
		Error: func(_ context.Context, _ *autobus.Delivery, err error) {
			mu.Lock()
			defer mu.Unlock()
			told = append(told, err)
		}}}}
	inBubble(t, w, func(t *testing.T, f *fakeBus, _ func()) {
		fails := errBroken
		f.locked(func() {
			f.settle = func(context.Context) error {
				f.mu.Lock()
				defer f.mu.Unlock()
				return fails
			}
		})
		l := f.deliverNow()[0]
		time.Sleep(20 * time.Second)
		f.untold(t, l)
		f.locked(func() { fails = nil })
		time.Sleep(time.Second)
		synctest.Wait()
		f.outcome(t, l)
		if len(told) != 0 {
			t.Error("the hook was told", told)
		}

		f.locked(func() { fails = errBroken })
		l = f.deliverNow()[0]
		time.Sleep(fakeLease + 2*time.Second)
		synctest.Wait()
		f.locked(func() { fails = nil })
		time.Sleep(time.Minute)
		synctest.Wait()
		f.untold(t, l)
		if len(told) != 1 || !errors.Is(told[0], errBroken) {
			t.Error("the hook was told", told)
		}
	})
}

// TestOutcomesThatDoNotCountAreToldToTheHook, and those that a bus cannot judge now are told again.
func TestOutcomesThatDoNotCountAreToldToTheHook(t *testing.T) {
	told := make(chan error, 10)
	w := &autobus.Worker{Handle: done, Workers: 1, Hooks: []autobus.Hooks{{
		Error: func(_ context.Context, _ *autobus.Delivery, err error) { told <- err }}}}
	inBubble(t, w, func(t *testing.T, f *fakeBus, _ func()) {
		busy := 3
		f.locked(func() {
			f.judge = func(l autobus.Lease) error {
				switch {
				case l == "lease-1":
					return autobus.NewError(autobus.ReasonLeaseStale, "late")
				case l == "lease-2" && busy > 0:
					busy--
					return autobus.NewError(autobus.ReasonClusterUnreachable, "")
				}
				return nil
			}
		})
		ls := f.deliver(3)
		time.Sleep(time.Minute)
		synctest.Wait()
		f.untold(t, ls[0])
		f.outcome(t, ls[1])
		f.outcome(t, ls[2])
		if len(told) != 1 {
			t.Fatal(len(told), "errors told")
		}
		if err := <-told; !errors.Is(err, autobus.ErrLeaseLost) ||
			!errors.Is(err, &autobus.Error{Reason: autobus.ReasonLeaseStale}) {
			t.Error("the hook was told", err)
		}
	})
}

// TestExtensionsGoTogetherAndEndWithTheWork: leases of about the same age share a call, and an extension that could not
// be told before the handler returned is told no more.
func TestExtensionsGoTogetherAndEndWithTheWork(t *testing.T) {
	w := &autobus.Worker{Workers: 20, Handle: func(context.Context, *autobus.Delivery) error {
		time.Sleep(25 * time.Second)
		return nil
	}}
	inBubble(t, w, func(t *testing.T, f *fakeBus, _ func()) {
		broken, extended := false, 0
		f.locked(func() {
			f.settle = func(context.Context) error {
				f.mu.Lock()
				defer f.mu.Unlock()
				if broken {
					return errBroken
				}
				return nil
			}
			f.seen = func(ss []autobus.Settlement) {
				f.mu.Lock()
				defer f.mu.Unlock()
				for _, s := range ss {
					if !broken && s.Outcome.Kind == autobus.Extend {
						extended++
					}
				}
			}
		})
		for range 10 {
			f.deliver(1)
			time.Sleep(200 * time.Millisecond)
		}
		time.Sleep(20 * time.Second)
		synctest.Wait()
		if n := f.called(); n != 1 || extended != 10 {
			t.Errorf("%d calls for %d extensions", n, extended)
		}
		time.Sleep(time.Minute)
		f.locked(func() { broken, extended = true, 0 })
		l := f.deliverNow()[0]
		time.Sleep(27 * time.Second)
		f.locked(func() { broken = false })
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if f.outcome(t, l); extended != 0 {
			t.Error("extended after the handler returned")
		}
	})
}

func TestWhatTheWorkerAsksFor(t *testing.T) {
	policy := &autobus.Policy{Types: []string{"*"}}
	var got autobus.Subscription
	run := func(w autobus.Worker) autobus.Subscription {
		f := newFakeBus()
		f.asked = func(s autobus.Subscription) { got = s }
		w.Bus, w.Subscription, w.Create, w.Workers = f, "billing", policy, 4
		ctx, stop := context.WithCancel(t.Context())
		stop()
		if err := w.Run(ctx); err != nil {
			t.Error(err)
		}
		return got
	}
	if s := run(autobus.Worker{Handle: done}); s.Name != "billing" || s.Create != policy || s.Window != nil || s.Detached {
		t.Errorf("%+v", s)
	}
	batch := func(context.Context, []*autobus.Delivery) error { return nil }
	s := run(autobus.Worker{HandleBatch: batch, Limits: autobus.BatchLimits{Events: 10, Bytes: 100 << 20}})
	if *s.Window != (autobus.Window{Events: 50, Bytes: autobus.MaxWindowBytes}) {
		t.Errorf("window %+v: a batch for each worker and one more", *s.Window)
	}
	if s = run(autobus.Worker{HandleBatch: batch, Window: &autobus.Window{Events: 7}}); s.Window.Events != 7 {
		t.Errorf("window %+v", *s.Window)
	}
}

// SPDX-License-Identifier: Apache-2.0

package autobus_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/autobus-io/autobus"
)

// TestLeasesAreExtendedWhileTheyWaitAndWork: 20 events of 25 s on 2 handlers take 250 s; no lease of 30 s runs out.
func TestLeasesAreExtendedWhileTheyWaitAndWork(t *testing.T) {
	w := &autobus.Worker{Workers: 2, Handle: func(context.Context, *autobus.Delivery) error {
		time.Sleep(25 * time.Second)
		return nil
	}}
	inBubble(t, w, func(t *testing.T, f *fakeBus, _ func()) {
		ls := f.deliver(20)
		time.Sleep(19 * time.Second)
		synctest.Wait()
		if f.called() != 0 {
			t.Error("extended before its time")
		}
		time.Sleep(240 * time.Second)
		synctest.Wait()
		for _, l := range ls {
			f.outcome(t, l)
		}
		if f.late > 0 {
			t.Error(f.late, "leases ran out")
		}
		before := f.called()
		if before > 35 {
			t.Errorf("%d calls: extensions are told together", before)
		}
		time.Sleep(time.Hour)
		if synctest.Wait(); f.called() != before {
			t.Error("something is extended that is settled")
		}
	})
}

func TestALostLeaseEndsTheWork(t *testing.T) {
	for name, lose := range map[string]func(*fakeBus, autobus.Lease){
		"revoked": func(f *fakeBus, l autobus.Lease) { f.revoke(l) },
		"stale":   func(f *fakeBus, l autobus.Lease) { f.locked(func() { delete(f.live, l) }) },
		"cannot be extended": func(f *fakeBus, _ autobus.Lease) {
			f.locked(func() { f.settle = func(context.Context) error { return errBroken } })
		},
		"the session ended": func(f *fakeBus, _ autobus.Lease) {
			f.end <- autobus.NewError(autobus.ReasonShuttingDown, "")
		},
	} {
		t.Run(name, func(t *testing.T) {
			var cause error
			told := make(chan error, 1)
			var after []autobus.Outcome
			w := &autobus.Worker{Hooks: []autobus.Hooks{{
				Error: func(_ context.Context, _ *autobus.Delivery, err error) { told <- err },
				After: func(_ context.Context, _ *autobus.Delivery, o autobus.Outcome) { after = append(after, o) },
			}}, Handle: func(ctx context.Context, _ *autobus.Delivery) error {
				<-ctx.Done()
				cause = context.Cause(ctx)
				return nil // even so
			}}
			inBubble(t, w, func(t *testing.T, f *fakeBus, _ func()) {
				ls := f.deliver(1)
				synctest.Wait()
				lose(f, ls[0])
				if synctest.Wait(); (len(told) == 1) != (name == "revoked" || name == "the session ended") {
					t.Error("the worker was told at once, or was not, and the hook heard", len(told), "errors")
				}
				time.Sleep(fakeLease)
				synctest.Wait()
				f.untold(t, ls[0])
				if err := <-told; !errors.Is(cause, autobus.ErrLeaseLost) || !errors.Is(err, autobus.ErrLeaseLost) {
					t.Errorf("cause %v, the hook was told %v", cause, err)
				}
				if len(after) != 1 || after[0] != (autobus.Outcome{}) {
					t.Errorf("After was told %v", after)
				}
			})
		})
	}
}

func TestNoEventIsHandledTwiceAtATime(t *testing.T) {
	var at atomic.Int32
	w := &autobus.Worker{Workers: 4, Handle: func(context.Context, *autobus.Delivery) error {
		if at.Add(1) > 1 {
			t.Error("handled twice at a time")
		}
		time.Sleep(time.Minute) // whatever happens to its context
		at.Add(-1)
		return nil
	}}
	inBubble(t, w, func(t *testing.T, f *fakeBus, _ func()) {
		same := func(d *autobus.Delivery) { d.ID, d.Offset = "same", 1 }
		first := f.deliver(1, same)
		synctest.Wait()
		f.revoke(first...)
		second := f.deliver(1, same)
		time.Sleep(3 * time.Minute)
		synctest.Wait()
		f.untold(t, first...)
		f.outcome(t, second[0])
	})
}

func TestALeaseIsHandledOnceAndItsEventIsTheHandlers(t *testing.T) {
	var handled atomic.Int32
	w := &autobus.Worker{Handle: func(_ context.Context, d *autobus.Delivery) error {
		handled.Add(1)
		d.Data[0], d.Key[0] = '!', '!'
		d.SetExt("x", "!")
		time.Sleep(time.Second)
		return nil
	}}
	inBubble(t, w, func(t *testing.T, f *fakeBus, _ func()) {
		data, key, ext := []byte("1"), []byte("1"), []autobus.Extension{{Name: "x", Value: "1"}}
		same := func(d *autobus.Delivery) { d.Lease, d.Data, d.Key, d.Extensions = "same", data, key, ext }
		f.deliver(2, same)
		synctest.Wait()
		if data[0] != '1' || key[0] != '1' || ext[0].Value != "1" {
			t.Error("the handler changed the bus's event")
		}
		time.Sleep(time.Minute)
		if n := handled.Load(); n != 1 {
			t.Error("handled", n, "times")
		}
	})
}

func TestALeaseLostWhileHooksRunIsNotSettled(t *testing.T) {
	var f *fakeBus
	told := make(chan error, 2)
	w := &autobus.Worker{Handle: done, Hooks: []autobus.Hooks{{
		After: func(_ context.Context, d *autobus.Delivery, _ autobus.Outcome) { f.revoke(d.Lease) },
		Error: func(_ context.Context, _ *autobus.Delivery, err error) { told <- err },
	}}}
	inBubble(t, w, func(t *testing.T, bus *fakeBus, _ func()) {
		f = bus
		f.deliverNow()
		if n := f.called(); n != 0 || len(told) != 1 || !errors.Is(<-told, autobus.ErrLeaseLost) {
			t.Error(n, "calls of Settle,", len(told), "more errors")
		}
	})
}

func TestMaxWorkEndsAHandlerAndLetsTheLeaseRunOut(t *testing.T) {
	var cause error
	obedient := true
	w := &autobus.Worker{MaxWork: 40 * time.Second, Handle: func(ctx context.Context, _ *autobus.Delivery) error {
		<-ctx.Done()
		if cause = context.Cause(ctx); !obedient {
			time.Sleep(time.Minute)
		}
		return ctx.Err()
	}}
	inBubble(t, w, func(t *testing.T, f *fakeBus, _ func()) {
		ls := f.deliver(1)
		time.Sleep(time.Minute)
		synctest.Wait()
		if o := f.outcome(t, ls[0]); o.Kind != autobus.Retry || !strings.Contains(o.Reason, "longer than it may, 40s") {
			t.Errorf("%+v", o)
		}
		if !errors.Is(cause, autobus.ErrWorkTooLong) {
			t.Error("the cause is", cause)
		}
		obedient = false
		ls = f.deliver(1)
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		f.untold(t, ls...)
		if f.extends[ls[0]] != 1 {
			t.Errorf("extended %d times, the handler may work for 40s", f.extends[ls[0]])
		}
	})
}

// TestEventsBehindHungHandlersGoToOthers: nobody extends the lease of an event that no handler will ever take.
func TestEventsBehindHungHandlersGoToOthers(t *testing.T) {
	release := make(chan struct{})
	w := &autobus.Worker{Workers: 2, MaxWork: time.Second, Handle: func(context.Context, *autobus.Delivery) error {
		<-release
		return nil
	}}
	synctest.Test(t, func(t *testing.T) {
		release = make(chan struct{})
		f := newFakeBus()
		w.Bus, w.Subscription, w.Logger = f, "billing", quiet()
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- w.Run(ctx) }()
		f.deliver(2)
		time.Sleep(20 * time.Second)
		waits := f.deliver(1)
		time.Sleep(2 * time.Minute)
		f.locked(func() {
			if n := f.extends[waits[0]]; n > 1 || time.Now().Before(f.live[waits[0]]) {
				t.Error("the lease of the event that waits was extended", n, "times")
			}
		})
		close(release)
		synctest.Wait()
		f.outcome(t, f.deliverNow()[0])
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

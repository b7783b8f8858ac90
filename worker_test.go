// SPDX-License-Identifier: Apache-2.0

package autobus_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/autobus-io/autobus"
)

func TestAHandlersErrorIsTheOutcome(t *testing.T) {
	answers := map[string]error{
		"e1": nil,
		"e2": errBroken,
		"e3": autobus.RetryAfter(time.Minute, errBroken),
		"e4": autobus.Skipped("not ours"),
		"e5": fmt.Errorf("while packing: %w", autobus.Rejected(errBroken)),
	}
	var log bytes.Buffer
	w := &autobus.Worker{Logger: slog.New(slog.NewTextHandler(&log, nil)), Workers: 1,
		Handle: func(_ context.Context, d *autobus.Delivery) error {
			switch d.ID {
			case "e6":
				panic("poison")
			case "e7":
				runtime.Goexit()
			}
			return answers[d.ID]
		}}
	inBubble(t, w, func(t *testing.T, f *fakeBus, _ func()) {
		ls := f.deliver(8)
		synctest.Wait()
		for i, want := range []autobus.Outcome{
			{Kind: autobus.Ack},
			{Kind: autobus.Retry, Reason: "broken"},
			{Kind: autobus.Retry, Delay: time.Minute, Reason: "broken"},
			{Kind: autobus.Skip, Reason: "not ours"},
			{Kind: autobus.Reject, Reason: "while packing: broken"},
			{Kind: autobus.Retry, Reason: "panic: poison"},
			{Kind: autobus.Retry, Reason: "the handler ended its goroutine"},
			{Kind: autobus.Ack},
		} {
			if got := f.outcome(t, ls[i]); got != want {
				t.Errorf("event %d: %+v, want %+v", i+1, got, want)
			}
		}
	})
	if s := log.String(); !strings.Contains(s, "worker_test.go") || !strings.Contains(s, "id=e6") {
		t.Errorf("the log does not show where the handler of e6 panicked: %s", s)
	}
}

func TestReasonsAreClippedAndDelaysFit(t *testing.T) {
	o := autobus.OutcomeOf(autobus.RetryAfter(100*24*time.Hour, errors.New(strings.Repeat("ä", 1000))))
	if len(o.Reason) > 1<<10 || o.Delay != time.Duration(autobus.MaxRetryDelay) {
		t.Errorf("%d bytes, %s", len(o.Reason), o.Delay)
	}
	if o := autobus.OutcomeOf(autobus.RetryAfter(-1, nil)); o.Delay != 0 || o.Kind != autobus.Retry {
		t.Errorf("%+v", o)
	}
	if o := autobus.OutcomeOf(autobus.Rejected(nil)); o.Kind != autobus.Reject || o.Reason == "" {
		t.Errorf("%+v", o)
	}
}

func TestWorkersHandleSideBySide(t *testing.T) {
	var now, most atomic.Int32
	w := &autobus.Worker{Workers: 3, Handle: func(context.Context, *autobus.Delivery) error {
		if n := now.Add(1); n > most.Load() {
			most.Store(n)
		}
		time.Sleep(time.Second)
		now.Add(-1)
		return nil
	}}
	inBubble(t, w, func(t *testing.T, f *fakeBus, _ func()) {
		began := time.Now()
		ls := f.deliver(9)
		time.Sleep(3*time.Second - 1)
		synctest.Wait()
		if most.Load() != 3 || now.Load() != 3 {
			t.Errorf("%d at a time, %d now", most.Load(), now.Load())
		}
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		for _, l := range ls {
			f.outcome(t, l)
		}
		if time.Since(began) != 3*time.Second {
			t.Error("it took", time.Since(began))
		}
	})
}

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

func TestASubscriptionThatEndsIsOpenedAnew(t *testing.T) {
	w := &autobus.Worker{Handle: func(context.Context, *autobus.Delivery) error { return nil }}
	inBubble(t, w, func(t *testing.T, f *fakeBus, _ func()) {
		for range 3 {
			f.end <- autobus.NewError(autobus.ReasonShuttingDown, "")
			time.Sleep(time.Second)
			synctest.Wait()
			f.outcome(t, f.deliverNow()[0])
		}
	})
	synctest.Test(t, func(t *testing.T) {
		f := newFakeBus()
		ended := make(chan error, 1)
		go func() {
			ended <- autobus.Work(t.Context(), f, "billing", func(ctx context.Context, _ *autobus.Delivery) error {
				<-ctx.Done()
				return nil
			})
		}()
		f.deliver(1)
		synctest.Wait()
		f.end <- autobus.NewError(autobus.ReasonForbidden, "")
		if err := <-ended; !errors.Is(err, &autobus.Error{Reason: autobus.ReasonForbidden}) {
			t.Error("Work ended with", err)
		}
	})
}

func (f *fakeBus) deliverNow() []autobus.Lease {
	ls := f.deliver(1)
	synctest.Wait()
	return ls
}

func TestAWorkerThatCannotWorkSaysSo(t *testing.T) {
	handle := func(context.Context, *autobus.Delivery) error { return nil }
	f := newFakeBus()
	for name, w := range map[string]autobus.Worker{
		"no bus":          {Subscription: "s", Handle: handle},
		"no subscription": {Bus: f, Handle: handle},
		"no handler":      {Bus: f, Subscription: "s"},
		"two handlers": {Bus: f, Subscription: "s", Handle: handle,
			HandleBatch: func(context.Context, []*autobus.Delivery) error { return nil }},
		"negative":   {Bus: f, Subscription: "s", Handle: handle, Workers: -1},
		"bad limits": {Bus: f, Subscription: "s", Handle: handle, Limits: autobus.BatchLimits{Wait: -1}},
		"bad window": {Bus: f, Subscription: "s", Handle: handle, Window: &autobus.Window{}},
	} {
		if err := w.Run(t.Context()); !errors.Is(err, &autobus.Error{Reason: autobus.ReasonRequestInvalid}) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

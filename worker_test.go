// SPDX-License-Identifier: Apache-2.0

package autobus_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"slices"
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
			case "e9":
				var none *badError
				return none // an error that is not nil
			case "e7":
				runtime.Goexit()
			}
			return answers[d.ID]
		}}
	inBubble(t, w, func(t *testing.T, f *fakeBus, _ func()) {
		ls := f.deliver(9)
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
			{Kind: autobus.Retry, Reason: "panic: runtime error: invalid memory address or nil pointer dereference"},
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

type badError struct{ text string }

func (e *badError) Error() string { return e.text }

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

func TestASubscriptionThatEndsIsOpenedAnew(t *testing.T) {
	var ready []bool
	w := &autobus.Worker{Handle: func(context.Context, *autobus.Delivery) error { return nil },
		Ready: func(is bool) { ready = append(ready, is) }}
	inBubble(t, w, func(t *testing.T, f *fakeBus, _ func()) {
		for range 3 {
			f.end <- autobus.NewError(autobus.ReasonShuttingDown, "")
			time.Sleep(time.Second)
			synctest.Wait()
			f.outcome(t, f.deliverNow()[0])
		}
		if want := []bool{true, false, true, false, true, false, true}; !slices.Equal(ready, want) {
			t.Errorf("ready %v, want %v", ready, want)
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

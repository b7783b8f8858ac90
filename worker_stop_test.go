// SPDX-License-Identifier: Apache-2.0

package autobus_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/autobus-io/autobus"
)

func TestStopSettlesWhatRunsAndBeginsNothing(t *testing.T) {
	var began atomic.Int32
	who := autobus.Principal{Name: "me"}
	w := &autobus.Worker{Workers: 2, Handle: func(ctx context.Context, _ *autobus.Delivery) error {
		began.Add(1)
		time.Sleep(20 * time.Second)
		if p, _ := autobus.PrincipalOf(ctx); p.Name != who.Name {
			t.Error("the principal did not reach the handler")
		}
		return ctx.Err()
	}}
	synctest.Test(t, func(t *testing.T) {
		f := newFakeBus()
		w.Bus, w.Subscription, w.Logger = f, "billing", quiet()
		ctx, stop := context.WithCancel(autobus.WithPrincipal(t.Context(), who))
		ended := make(chan error, 1)
		go func() { ended <- w.Run(ctx) }()
		ls := f.deliver(5)
		time.Sleep(5 * time.Second)
		stop()
		synctest.Wait()
		f.locked(func() {
			if f.window.Events != 1 || f.byes != 0 {
				t.Errorf("window %+v, %d goodbyes", f.window, f.byes)
			}
		})
		late := f.deliver(1)
		at := time.Now()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if d := time.Since(at); d != 15*time.Second {
			t.Error("Run ended", d, "after its context, the handlers had 15s to go")
		}
		for _, l := range ls[:2] {
			if o := f.outcome(t, l); o.Kind != autobus.Ack {
				t.Errorf("%+v", o)
			}
		}
		f.untold(t, append(late, ls[2:]...)...)
		if f.byes != 1 || began.Load() != 2 || f.late != 0 {
			t.Errorf("%d goodbyes, %d handlers began, %d leases ran out", f.byes, began.Load(), f.late)
		}
	})
}

// TestWaitingEventsAreKeptThroughTheGrace: a lease that ran out would count as an attempt.
func TestWaitingEventsAreKeptThroughTheGrace(t *testing.T) {
	w := &autobus.Worker{Workers: 1, Grace: time.Minute, Handle: func(context.Context, *autobus.Delivery) error {
		time.Sleep(50 * time.Second)
		return nil
	}}
	inBubble(t, w, func(t *testing.T, f *fakeBus, stop func()) {
		ls := f.deliver(2)
		synctest.Wait()
		stop()
		time.Sleep(49 * time.Second)
		f.locked(func() {
			if f.extends[ls[1]] == 0 || !time.Now().Before(f.live[ls[1]]) {
				t.Error("the lease of the event that waits ran out")
			}
		})
	})
}

func TestGraceEndsHandlersAndBlamesNoEvent(t *testing.T) {
	ends := map[string]func(ctx context.Context) error{
		"e1": func(ctx context.Context) error { return ctx.Err() },
		"e2": func(context.Context) error { return nil },
		"e3": func(context.Context) error { return autobus.Rejected(errBroken) },
	}
	w := &autobus.Worker{Grace: 10 * time.Second, Handle: func(ctx context.Context, d *autobus.Delivery) error {
		<-ctx.Done()
		if !errors.Is(context.Cause(ctx), autobus.ErrGraceOver) {
			t.Error("the cause is", context.Cause(ctx))
		}
		return ends[d.ID](ctx)
	}}
	inBubble(t, w, func(t *testing.T, f *fakeBus, stop func()) {
		ls := f.deliver(3)
		synctest.Wait()
		stop()
		time.Sleep(11 * time.Second)
		f.untold(t, ls[0])
		if o := f.outcome(t, ls[1]); o.Kind != autobus.Ack {
			t.Errorf("%+v", o)
		}
		if o := f.outcome(t, ls[2]); o.Kind != autobus.Reject {
			t.Errorf("%+v", o)
		}
	})
}

func TestAHandlerThatNeverReturnsDoesNotKeepRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeBus()
		release := make(chan struct{})
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() {
			ended <- autobus.Work(ctx, f, "billing", func(context.Context, *autobus.Delivery) error {
				<-release
				return nil
			})
		}()
		l := f.deliver(1)[0]
		synctest.Wait()
		stop()
		at := time.Now()
		if err := <-ended; !errors.Is(err, autobus.ErrGraceOver) {
			t.Error("Run ended with", err)
		}
		if d := time.Since(at); d != autobus.DefaultGrace+2*time.Second {
			t.Error("Run ended after", d)
		}
		close(release)
		synctest.Wait()
		f.untold(t, l)
		if f.byes != 1 {
			t.Error("the subscription was not left")
		}
	})
}

func TestStopTriesToSettleOnlyUntilTheEnd(t *testing.T) {
	w := &autobus.Worker{Grace: 5 * time.Second, Handle: func(context.Context, *autobus.Delivery) error { return nil }}
	inBubble(t, w, func(t *testing.T, f *fakeBus, stop func()) {
		f.locked(func() {
			f.settle = func(ctx context.Context) error {
				<-ctx.Done() // the network is gone
				return ctx.Err()
			}
		})
		f.deliver(3)
		synctest.Wait()
		stop()
		time.Sleep(7*time.Second - 1)
		f.locked(func() {
			if f.byes != 0 {
				t.Error("left while there was something to tell")
			}
		})
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		f.locked(func() {
			if f.byes != 1 {
				t.Error("not left although the time was over")
			}
		})
	})
}

// closing is a bus that ends together with its worker, as in a process or a test that stops all at once.
type closing struct{ *fakeBus }

func (closing) Subscribe(ctx context.Context, s autobus.Subscription, _ autobus.Handler) error {
	s.Opened("")
	<-ctx.Done()
	return autobus.NewError(autobus.ReasonShuttingDown, "the bus is closed")
}

func TestABusThatStopsWithItsWorkerIsNoWarning(t *testing.T) {
	var log bytes.Buffer
	ctx, stop := context.WithCancel(t.Context())
	w := &autobus.Worker{Bus: closing{newFakeBus()}, Subscription: "billing",
		Logger: slog.New(slog.NewTextHandler(&log, nil)),
		Ready:  func(bool) { stop() },
		Handle: func(context.Context, *autobus.Delivery) error { return nil }}
	if err := w.Run(ctx); err != nil || log.Len() > 0 {
		t.Errorf("Run ends with %v and says %s", err, &log)
	}
}

// SPDX-License-Identifier: Apache-2.0

package autobus_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/autobus-io/autobus"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func written(offset int64) autobus.Receipt {
	return autobus.Receipt{Status: autobus.Written, Offset: offset}
}

func refused(r autobus.Reason) autobus.Receipt {
	return autobus.Receipt{Status: autobus.Refused, Err: autobus.NewError(r, "because")}
}

func opened(t *testing.T, b *autobus.Batch) *autobus.Batch {
	t.Helper()
	if err := b.Open(); err != nil {
		t.Fatal(err)
	}
	return b
}

func keyed(id, key string) autobus.Event {
	return autobus.Event{ID: id, Type: "t.t.v1", Key: []byte(key)}
}

func TestBatchSettlesOnceAllItsEventsAre(t *testing.T) {
	done := 0
	b := opened(t, &autobus.Batch{Events: make([]autobus.Event, 2), Done: func(*autobus.Batch) { done++ }})
	b.Resolve(1, written(7))
	if done != 0 {
		t.Error("Done came before the last receipt")
	}
	if err := b.Open(); err == nil {
		t.Error("a batch in flight was opened again")
	}
	b.Resolve(0, written(6))
	if got := b.Wait(t.Context()); done != 1 || got[0].Offset != 6 || got[1].Offset != 7 {
		t.Errorf("done %d times, receipts %+v", done, got)
	}
	opened(t, b)
	if b.Receipts[0].Status != autobus.Pending {
		t.Error("a batch used again begins pending")
	}
}

// A batch that was forgotten holds nothing, and what comes of its events is told nobody.
func TestAForgottenBatchHoldsNothing(t *testing.T) {
	stream := &autobus.Stream{}
	b := opened(t, &autobus.Batch{Stream: stream, Events: []autobus.Event{keyed("1", "k"), keyed("2", "k")},
		Done: func(*autobus.Batch) { t.Error("Done was called") }})
	b.Resolve(0, written(1))
	past, end := context.WithCancel(t.Context())
	end()
	got := b.Wait(past)
	b.Forget()
	if b.Events != nil || b.Receipts != nil || b.Stream != nil {
		t.Errorf("it holds %+v", b)
	}
	b.Resolve(1, refused(autobus.ReasonCapacity))
	if got[0].Offset != 1 || got[1].Status != autobus.Unknown {
		t.Errorf("receipts %+v", got)
	}
	next := opened(t, &autobus.Batch{Stream: stream, Events: []autobus.Event{keyed("3", "k")}})
	if id, ok := next.Admit(0); ok || id != "2" {
		t.Errorf("the next event of the key: %t, after %q", ok, id)
	}
	next.Resolve(0, written(2))
	next.Forget()
	if len(next.Events) != 1 || next.Wait(t.Context())[0].Offset != 2 {
		t.Error("a settled batch lost what it holds")
	}
}

// TestWaitOfABatchThatWasNotLookedAt: who passes over the error of Publish must not wait for ever.
func TestWaitOfABatchThatWasNotLookedAt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		b := &autobus.Batch{Events: []autobus.Event{keyed("a", "k")}}
		if got := b.Wait(ctx); len(got) != 0 || ctx.Err() != nil {
			t.Errorf("receipts %+v of what was never published, %v", got, ctx.Err())
		}
	})
}

func TestWaitSaysUnknownWhenTimeIsUp(t *testing.T) {
	b := opened(t, &autobus.Batch{Events: []autobus.Event{keyed("a", "k"), keyed("b", "k"), keyed("c", "l")}})
	b.Resolve(2, written(1))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	got := b.Wait(ctx)
	if !errors.Is(got[0].Err, context.Canceled) {
		t.Errorf("%v does not say that the context ended", got[0].Err)
	}
	if got[0].Status != autobus.Unknown || got[0].Err.Reason != autobus.ReasonOutcomeUnknown ||
		got[2].Status != autobus.Written {
		t.Errorf("receipts %+v", got)
	}
	if b.Receipts[0].Status != autobus.Pending {
		t.Error("the batch itself is still in flight")
	}
	b.Resolve(0, written(2))
	b.Resolve(1, written(3))
	if got := b.Wait(ctx); got[0].Status != autobus.Written {
		t.Errorf("a settled batch is told whatever the context says: %+v", got)
	}
}

func TestAnEmptyBatchIsSettled(t *testing.T) {
	if got := opened(t, &autobus.Batch{}).Wait(t.Context()); len(got) != 0 {
		t.Errorf("receipts %+v", got)
	}
}

func TestStreamHoldsBackWhatFollowsAFailure(t *testing.T) {
	for name, c := range map[string]struct {
		mode   autobus.Mode
		failed autobus.Receipt
		blocks bool
	}{
		"transient refusal":          {autobus.Independent, refused(autobus.ReasonCapacity), true},
		"permanent refusal":          {autobus.Independent, refused(autobus.ReasonDataInvalid), false},
		"permanent refusal, ordered": {autobus.Ordered, refused(autobus.ReasonDataInvalid), true},
		"unknown": {autobus.Independent,
			autobus.Receipt{Status: autobus.Unknown, Err: autobus.NewError(autobus.ReasonOutcomeUnknown, "")}, true},
		"written": {autobus.Ordered, written(1), false},
	} {
		t.Run(name, func(t *testing.T) {
			stream := &autobus.Stream{}
			first := opened(t, &autobus.Batch{Mode: c.mode, Stream: stream, Events: []autobus.Event{keyed("a", "k")}})
			first.Resolve(0, c.failed)
			next := opened(t, &autobus.Batch{Mode: c.mode, Stream: stream,
				Events: []autobus.Event{keyed("b", "k"), keyed("", "k"), {ID: "b", Type: "t.u.v1", Key: []byte("k")},
					keyed("c", "other"), keyed("a", "k"), keyed("b", "k")}})
			for i, want := range []bool{c.blocks, c.blocks, false, false, false, false} {
				if id, ok := next.Admit(i); ok == want || !ok && id != "a" {
					t.Errorf("event %d: admitted %t, after %q, want blocked %t", i, ok, id, want)
				}
			}
			for i := range next.Events {
				next.Resolve(i, written(6))
			}
		})
	}
}

// A stream with too many failed keys to remember holds everything back rather than forget one.
func TestAStreamThatCannotRememberHoldsAllBack(t *testing.T) {
	stream := &autobus.Stream{}
	for i := range 10_001 {
		b := opened(t, &autobus.Batch{Stream: stream, Events: []autobus.Event{keyed("", fmt.Sprint(i))}})
		b.Resolve(0, refused(autobus.ReasonCapacity))
	}
	b := opened(t, &autobus.Batch{Stream: stream, Events: []autobus.Event{keyed("x", "another")}})
	if _, ok := b.Admit(0); ok {
		t.Error("an event of a key that may have been forgotten is admitted")
	}
}

// The brokers confirm an event after its sender was told "unknown" and what followed was refused: nothing may slip into
// the gap.
func TestALateConfirmationDoesNotReopenTheKey(t *testing.T) {
	stream := &autobus.Stream{}
	first := opened(t, &autobus.Batch{Stream: stream, Events: []autobus.Event{keyed("a", "k")}})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	first.Wait(ctx)
	first.Resolve(0, written(1))
	next := opened(t, &autobus.Batch{Stream: stream, Events: []autobus.Event{keyed("c", "k"), keyed("a", "k")}})
	if id, ok := next.Admit(0); ok || id != "a" {
		t.Errorf("admitted %t, after %q", ok, id)
	}
	if _, ok := next.Admit(1); !ok {
		t.Error("the event itself, sent again, is not admitted")
	}
}

// Before the type could be looked up nobody knows the key: every key of the type has to wait.
func TestATypeThatCouldNotBeLookedUpStopsItsKeys(t *testing.T) {
	stream := &autobus.Stream{}
	first := opened(t, &autobus.Batch{Stream: stream, Events: []autobus.Event{{ID: "a", Type: "t.t.v1"}}})
	first.Resolve(0, refused(autobus.ReasonClusterUnreachable))
	next := opened(t, &autobus.Batch{Stream: stream, Events: []autobus.Event{keyed("b", "k"),
		{ID: "x", Type: "t.other.v1", Key: []byte("k")}, keyed("a", "k"), keyed("c", "k")}})
	for i, want := range []bool{false, true, true, true} {
		if _, ok := next.Admit(i); ok != want {
			t.Errorf("event %d: admitted %t", i, ok)
		}
	}
}

func TestAFailureWithoutAnIDBlocksEventsWithoutID(t *testing.T) {
	b := opened(t, &autobus.Batch{Mode: autobus.Ordered, Events: []autobus.Event{keyed("", "k"), keyed("", "k")}})
	b.Resolve(0, refused(autobus.ReasonDataInvalid))
	if _, ok := b.Admit(1); ok {
		t.Error("the second event of the key is not blocked")
	}
	b.Resolve(1, refused(autobus.ReasonPredecessorFailed))
}

// Who tries until the batch is not in flight any more gets one that is whole.
func TestBatchIsUsedAgainAtOnce(t *testing.T) {
	for range 5000 {
		b := &autobus.Batch{Events: make([]autobus.Event, 1)}
		if err := b.Open(); err != nil {
			t.Fatal(err)
		}
		told := make(chan struct{})
		go func() {
			defer close(told)
			b.Resolve(0, autobus.Receipt{Status: autobus.Written})
		}()
		for b.Open() != nil {
		}
		<-told
		b.Resolve(0, autobus.Receipt{Status: autobus.Refused})
		if rs := b.Wait(t.Context()); rs[0].Status != autobus.Refused {
			t.Fatalf("the second outcome is %s", rs[0].Status)
		}
	}
}

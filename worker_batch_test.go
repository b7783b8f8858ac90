// SPDX-License-Identifier: Apache-2.0

package autobus_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/autobus-io/autobus"
)

// batches runs a batch handler and keeps the sizes of what it was given.
type batches struct {
	mu    sync.Mutex
	sizes []int
}

func (b *batches) handle(_ context.Context, ds []*autobus.Delivery) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.sizes = append(b.sizes, len(ds))
	return nil
}

func (b *batches) want(t *testing.T, sizes ...int) {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	if !slices.Equal(b.sizes, sizes) {
		t.Errorf("batches of %v, want %v", b.sizes, sizes)
	}
	b.sizes = nil
}

func TestABatchIsFullByCountBytesOrTime(t *testing.T) {
	var got batches
	w := &autobus.Worker{Workers: 1, HandleBatch: got.handle,
		Limits: autobus.BatchLimits{Events: 10, Bytes: 1000, Wait: time.Minute}}
	inBubble(t, w, func(t *testing.T, f *fakeBus, _ func()) {
		f.deliver(25)
		synctest.Wait()
		got.want(t, 10, 10)
		time.Sleep(time.Minute - 1)
		synctest.Wait()
		got.want(t)
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		got.want(t, 5)

		sized := func(n int) func(*autobus.Delivery) {
			return func(d *autobus.Delivery) { d.Data = make([]byte, n-d.Size()+len(d.Data)) }
		}
		f.deliver(5, sized(400))
		synctest.Wait()
		got.want(t, 2, 2)
		f.deliver(1, sized(5000)) // larger than a batch: it goes alone
		synctest.Wait()
		got.want(t, 1, 1)
		time.Sleep(time.Hour)
		if synctest.Wait(); f.late != 0 || len(f.live) != 0 {
			t.Errorf("%d leases ran out, %d are not settled", f.late, len(f.live))
		}
	})
}

func TestEachEventOfABatchHasItsOutcome(t *testing.T) {
	answers := map[int]error{
		5: autobus.Errors{nil, errBroken, autobus.Skipped("x"), autobus.Rejected(errBroken), nil},
		4: errBroken,
		3: fmt.Errorf("partly: %w", autobus.Errors{nil, nil}), // a fault of the handler
		2: autobus.Errors(nil),
		7: errors.Join(make(autobus.Errors, 7), errBroken), // such as that of a commit
		8: errors.Join(fmt.Errorf("partly: %w", append(make(autobus.Errors, 7), errBroken))),
	}
	var w autobus.Worker
	w.HandleBatch = func(_ context.Context, ds []*autobus.Delivery) error {
		if len(ds) == 6 {
			panic("poison")
		}
		return answers[len(ds)]
	}
	inBubble(t, &w, func(t *testing.T, f *fakeBus, _ func()) {
		for n, want := range map[int][]autobus.OutcomeKind{
			5: {autobus.Ack, autobus.Retry, autobus.Skip, autobus.Reject, autobus.Ack},
			4: slices.Repeat([]autobus.OutcomeKind{autobus.Retry}, 4),
			3: slices.Repeat([]autobus.OutcomeKind{autobus.Retry}, 3),
			2: {autobus.Ack, autobus.Ack},
			6: slices.Repeat([]autobus.OutcomeKind{autobus.Retry}, 6),
			7: slices.Repeat([]autobus.OutcomeKind{autobus.Retry}, 7),
			8: append(slices.Repeat([]autobus.OutcomeKind{autobus.Ack}, 7), autobus.Retry),
		} {
			ls := f.deliver(n)
			time.Sleep(autobus.DefaultBatchWait)
			synctest.Wait()
			for i, l := range ls {
				if o := f.outcome(t, l); o.Kind != want[i] {
					t.Errorf("event %d of %d: %+v, want %s", i, n, o, want[i])
				}
			}
		}
	})
}

func TestWhatWasTriedBeforeComesAloneAndAtOnce(t *testing.T) {
	var got batches
	w := &autobus.Worker{Workers: 1, HandleBatch: got.handle, Limits: autobus.BatchLimits{Wait: time.Minute}}
	inBubble(t, w, func(t *testing.T, f *fakeBus, _ func()) {
		f.deliver(3)
		ls := f.deliver(2, func(d *autobus.Delivery) { d.Attempt = 2 })
		synctest.Wait()
		got.want(t, 1, 1)
		f.outcome(t, ls[0])
		time.Sleep(time.Minute)
		synctest.Wait()
		got.want(t, 3)
	})
}

func TestABatchIsNotLargerThanTheWindow(t *testing.T) {
	var got batches
	w := &autobus.Worker{Workers: 1, HandleBatch: got.handle, Window: &autobus.Window{Events: 3},
		Limits: autobus.BatchLimits{Wait: time.Hour}}
	inBubble(t, w, func(t *testing.T, f *fakeBus, _ func()) {
		f.deliver(3)
		synctest.Wait()
		got.want(t, 3)
	})
}

// TestWhatWaitedForAHandlerIsSpread: two events whose former handler still had them are not done one after the other.
func TestWhatWaitedForAHandlerIsSpread(t *testing.T) {
	w := &autobus.Worker{Workers: 2, HandleBatch: func(context.Context, []*autobus.Delivery) error {
		time.Sleep(time.Minute)
		return nil
	}}
	inBubble(t, w, func(t *testing.T, f *fakeBus, _ func()) {
		named := func(attempt int) func(*autobus.Delivery) {
			n := 0
			return func(d *autobus.Delivery) {
				n++
				d.ID, d.Offset, d.Attempt = fmt.Sprint("same", n), int64(n), attempt
			}
		}
		ls := f.deliver(2, named(1))
		time.Sleep(autobus.DefaultBatchWait)
		synctest.Wait()
		f.revoke(ls...)
		ls = f.deliver(2, named(2))
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		f.outcome(t, ls[0])
		f.outcome(t, ls[1])
	})
}

func TestABatchGoesOnWithoutALostLease(t *testing.T) {
	ended := false
	w := &autobus.Worker{HandleBatch: func(ctx context.Context, ds []*autobus.Delivery) error {
		select {
		case <-ctx.Done():
			ended = true
		case <-time.After(time.Minute):
		}
		return nil
	}}
	inBubble(t, w, func(t *testing.T, f *fakeBus, _ func()) {
		ls := f.deliver(3)
		time.Sleep(time.Second)
		f.revoke(ls[1])
		time.Sleep(time.Minute)
		synctest.Wait()
		f.outcome(t, ls[0])
		f.untold(t, ls[1])
		f.outcome(t, ls[2])
		if ended {
			t.Error("one lost lease ended the whole batch")
		}
		ls = f.deliver(2)
		time.Sleep(time.Second)
		f.revoke(ls...)
		synctest.Wait()
		if !ended {
			t.Error("all leases are lost and the batch goes on")
		}
	})
}

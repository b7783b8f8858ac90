// SPDX-License-Identifier: Apache-2.0

package bus

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// Everybody gets a barrier that began after he asked, and they begin at most once a second.
func TestRefreshIsAfterTheQuestionAndOnceASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var begun []time.Time
		r := &refresher{every: time.Second, barrier: func(context.Context) error {
			mu.Lock()
			begun = append(begun, time.Now())
			mu.Unlock()
			time.Sleep(100 * time.Millisecond)
			return nil
		}}
		for range 3 {
			var wg sync.WaitGroup
			for range 50 {
				wg.Go(func() {
					asked := time.Now()
					if err := r.after(t.Context()); err != nil {
						t.Error(err)
					}
					mu.Lock()
					defer mu.Unlock()
					if last := begun[len(begun)-1]; last.Before(asked) {
						t.Error("the barrier began before the question")
					}
				})
			}
			wg.Wait()
		}
		if len(begun) < 3 || len(begun) > 6 {
			t.Errorf("150 questions took %d barriers", len(begun))
		}
		for i := 1; i < len(begun); i++ {
			if begun[i].Sub(begun[i-1]) < time.Second {
				t.Errorf("barriers began at %v", begun)
			}
		}
	})
}

func TestRefreshTellsTheFailure(t *testing.T) {
	failure := errors.New("nobody answers")
	var calls atomic.Int32
	r := &refresher{every: time.Second, barrier: func(context.Context) error { calls.Add(1); return failure }}
	if err := r.after(t.Context()); !errors.Is(err, failure) || calls.Load() != 1 {
		t.Errorf("error %v after %d calls", err, calls.Load())
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := (&refresher{every: time.Hour, begun: time.Now()}).after(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("a caller that went away: %v", err)
	}
}

// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"
)

// taken is what the calls of a load came to.
type taken struct {
	times  []time.Duration // of those that were answered
	failed []error
}

// load makes calls at a rate for a time and returns when all have ended. A call counts from when it was due, so one
// that had to wait for a processor is not quicker for it.
func load(ctx context.Context, rate int, d time.Duration, call func(context.Context) error) *taken {
	t := &taken{}
	var mu sync.Mutex
	var calls sync.WaitGroup
	every := time.Second / time.Duration(rate)
	began := time.Now()
	tick := time.NewTicker(max(every, time.Millisecond))
	defer tick.Stop()
	for n := 0; ctx.Err() == nil; {
		due := began.Add(time.Duration(n) * every)
		if due.Sub(began) >= d {
			break
		}
		if time.Now().Before(due) {
			select {
			case <-tick.C:
			case <-ctx.Done():
			}
			continue
		}
		n++
		calls.Go(func() {
			err := call(ctx)
			took := time.Since(due)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				t.failed = append(t.failed, err)
				return
			}
			t.times = append(t.times, took)
		})
	}
	calls.Wait()
	return t
}

func (t *taken) add(o *taken) {
	t.times = append(t.times, o.times...)
	t.failed = append(t.failed, o.failed...)
}

// at gives the time that so many of a hundred calls did not exceed.
func (t *taken) at(percent float64) time.Duration {
	if len(t.times) == 0 {
		return 0
	}
	slices.Sort(t.times)
	return t.times[min(int(float64(len(t.times))*percent/100), len(t.times)-1)]
}

func (t *taken) String() string {
	s := fmt.Sprintf("%6d answered, %d failed, p50 %s, p99 %s", len(t.times), len(t.failed), millis(t.at(50)),
		millis(t.at(99)))
	if len(t.failed) > 0 {
		s += ", the first by: " + t.failed[0].Error()
	}
	return s
}

func millis(d time.Duration) string { return fmt.Sprintf("%.1f ms", float64(d)/1e6) }

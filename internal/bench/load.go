// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// load is how hard to push.
type load struct {
	callers int
	batch   int     // events of one call
	rate    float64 // events per second of all callers; 0 = as fast as answers come
	lasts   time.Duration
}

// sample is what a load came to.
type sample struct {
	events  int64
	took    time.Duration
	latency histogram
}

// run calls until the time is over; call sends one batch, the first of which is event number first of its caller, and
// returns when it is settled. At a rate, a call that could not begin in time because the one before it took so long
// counts from when it should have begun; else slowness would hide itself.
func (l load) run(ctx context.Context, call func(ctx context.Context, caller, first int) error) (*sample, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var interval time.Duration
	if l.rate > 0 {
		interval = time.Duration(float64(l.callers*l.batch) / l.rate * float64(time.Second))
	}
	var events atomic.Int64
	latencies := make([]histogram, l.callers)
	begin := time.Now()
	end := begin.Add(l.lasts)
	var callers sync.WaitGroup
	for c := range l.callers {
		callers.Go(func() {
			timer := time.NewTimer(0)
			defer timer.Stop()
			next := begin.Add(interval * time.Duration(c) / time.Duration(l.callers))
			for n := 0; ctx.Err() == nil; n++ {
				from := time.Now()
				switch {
				case interval == 0:
				case next.After(from):
					timer.Reset(next.Sub(from))
					select {
					case <-ctx.Done():
						return
					case <-timer.C:
					}
					from = time.Now()
				default:
					from = next
				}
				next = next.Add(interval)
				if !time.Now().Before(end) {
					return
				}
				if err := call(ctx, c, n*l.batch); err != nil {
					cancel(err)
					return
				}
				latencies[c].add(time.Since(from))
				events.Add(int64(l.batch))
			}
		})
	}
	callers.Wait()
	s := &sample{events: events.Load(), took: time.Since(begin)}
	for i := range latencies {
		s.latency.merge(&latencies[i])
	}
	if ctx.Err() != nil {
		return s, context.Cause(ctx)
	}
	return s, nil
}

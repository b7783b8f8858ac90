// SPDX-License-Identifier: Apache-2.0

package bus_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/autobus-io/autobus"
)

// TestAWorkerOnTheHotPath: what is sent in one line is handled, in the order of its key, over failures, a lease that
// has to be extended and a worker that stops, and each event is done once.
func TestAWorkerOnTheHotPath(t *testing.T) {
	const keys, each = 5, 20
	f := open(t)
	f.put(t, "billing", autobus.Policy{Types: []string{orders}, AckWait: autobus.Duration(2 * time.Second),
		Retry: autobus.RetryPolicy{Backoff: []autobus.Duration{autobus.Duration(time.Millisecond)}}})
	var sent []*autobus.Promise
	for n := range each {
		for k := range keys {
			sent = append(sent, autobus.SendAsync(f.ctx, f, orders, map[string]any{"id": fmt.Sprint(k), "total": n}))
		}
	}
	for _, p := range sent {
		if _, err := p.Wait(t.Context()); err != nil {
			t.Fatal(err)
		}
	}

	type order struct {
		ID    string `json:"id"`
		Total int    `json:"total"`
	}
	var mu sync.Mutex
	next := map[string]int{} // of each key, what has to come
	calls, ends := 0, map[autobus.OutcomeKind]int{}
	var stop context.CancelFunc
	w := autobus.Worker{Bus: f, Subscription: "billing", Workers: 8, Logger: slog.New(slog.DiscardHandler),
		Hooks: []autobus.Hooks{{After: func(_ context.Context, _ *autobus.Delivery, o autobus.Outcome) {
			mu.Lock()
			defer mu.Unlock()
			ends[o.Kind]++
			if n := ends[autobus.Ack]; n == keys*each/2 || n == keys*each {
				stop()
			}
		}}}, Handle: autobus.Typed(func(ctx context.Context, o order, d *autobus.Delivery) error {
			mu.Lock()
			defer mu.Unlock()
			calls++
			switch {
			case o.Total != next[o.ID]:
				t.Errorf("%s: event %d came, %d is next", o.ID, o.Total, next[o.ID])
			case d.Attempt == 1 && calls%7 == 0:
				return errors.New("by chance")
			case calls == 3: // longer than ack_wait
				mu.Unlock()
				select {
				case <-ctx.Done():
					t.Error("the lease was not extended:", context.Cause(ctx))
				case <-time.After(3 * time.Second):
				}
				mu.Lock()
			}
			next[o.ID]++
			return nil
		})}
	run := func() {
		ctx, cancel := context.WithCancel(f.ctx)
		defer cancel()
		stop = cancel
		if err := w.Run(ctx); err != nil {
			t.Fatal(err)
		}
	}
	run()
	run()
	for k, n := range next {
		if n != each {
			t.Errorf("%s: %d events, want %d", k, n, each)
		}
	}
	if ends[autobus.Ack] != keys*each || ends[autobus.Retry] == 0 {
		t.Errorf("outcomes: %v", ends)
	}
}

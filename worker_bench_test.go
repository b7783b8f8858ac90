// SPDX-License-Identifier: Apache-2.0

package autobus_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/autobus-io/autobus"
)

// endless is a bus that always has events of 1 KiB and fills a window of 100 with them.
type endless struct {
	n, settled atomic.Int64
	room       chan struct{}
	data       []byte
}

func (*endless) Publish(context.Context, *autobus.Batch) error { return nil }

func (e *endless) Subscribe(ctx context.Context, _ autobus.Subscription, h autobus.Handler) error {
	held := int64(0)
	for {
		ds := make([]autobus.Delivery, 0, 100)
		for held-e.settled.Load() < 100 {
			held++
			n := e.n.Add(1)
			ds = append(ds, autobus.Delivery{Event: autobus.Event{ID: fmt.Sprint(n), Type: "a.b.v1", Data: e.data},
				Lease: autobus.Lease(fmt.Sprint(n)), Offset: n, Attempt: 1, Deadline: time.Now().Add(fakeLease)})
		}
		if len(ds) > 0 {
			h(ctx, ds)
			continue
		}
		select {
		case <-ctx.Done():
			return nil
		case <-e.room:
		}
	}
}

func (e *endless) Settle(_ context.Context, ss []autobus.Settlement) error {
	for i := range ss {
		if ss[i].Outcome.Kind != autobus.Extend {
			e.settled.Add(1)
		}
	}
	select {
	case e.room <- struct{}{}:
	default:
	}
	return nil
}

// BenchmarkWorker is what the layer itself takes for an event, beside the bus and the handler.
func BenchmarkWorker(b *testing.B) {
	for _, workers := range []int{1, 16} {
		b.Run(fmt.Sprint(workers), func(b *testing.B) {
			e := &endless{room: make(chan struct{}, 1), data: make([]byte, 1024)}
			ctx, stop := context.WithCancel(b.Context())
			var handled atomic.Int64
			w := autobus.Worker{Bus: e, Subscription: "s", Workers: workers, Logger: quiet(),
				Handle: func(context.Context, *autobus.Delivery) error {
					if handled.Add(1) == int64(b.N) {
						stop()
					}
					return nil
				}}
			b.ReportAllocs()
			b.ResetTimer()
			if err := w.Run(ctx); err != nil {
				b.Fatal(err)
			}
		})
	}
}

// SPDX-License-Identifier: Apache-2.0

package conformance

import (
	"context"
	"fmt"
	"testing"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/bustest"
)

// BenchmarkClient measures the way through the client, a gateway on the loopback and the embedded broker, all in one
// process; BenchmarkInProcess the same bus without client and gateway.
func BenchmarkClient(b *testing.B) { benchmark(b, newClientBus) }

// BenchmarkInProcess is what BenchmarkClient is to be held against.
func BenchmarkInProcess(b *testing.B) { benchmark(b, nil) }

func benchmark(b *testing.B, d driver) {
	for _, c := range []struct {
		name              string
		publishers, batch int
	}{{"64x1", 64, 1}, {"64x100", 64, 100}, {"1x100", 1, 100}, {"1x1", 1, 1}} {
		b.Run("publish/"+c.name, func(b *testing.B) {
			bus, ctx, types := benchBus(b, d)
			benchPublish(ctx, b, bus, types.Work, c.publishers, c.batch)
		})
	}
	for _, workers := range []int{1, 16} {
		b.Run(fmt.Sprintf("work/%d", workers), func(b *testing.B) {
			bus, ctx, types := benchBus(b, d)
			benchWork(ctx, b, bus, types.Work, workers)
		})
	}
}

func benchBus(b *testing.B, d driver) (autobus.Bus, context.Context, bustest.Types) {
	inner, target := instance(b, bustest.Embedded(b), "bench", true)
	types := bustest.NewTypes(bustest.Prefix())
	target.Push(b, types.Specs())
	all := []autobus.Grant{{Verb: autobus.VerbPublish, Pattern: "*"}, {Verb: autobus.VerbSubscribe, Pattern: "*"},
		{Verb: autobus.VerbManage, Pattern: "*"}}
	p := autobus.Principal{Name: "bench", Grants: all}
	if d == nil {
		return inner, autobus.WithPrincipal(b.Context(), p), types
	}
	return serve(b, inner).as(d)(b, p), b.Context(), types
}

func benchBatch(typ string, n, of int) *autobus.Batch {
	batch := &autobus.Batch{Events: make([]autobus.Event, of)}
	for i := range batch.Events {
		batch.Events[i] = autobus.Event{Type: typ, Data: fmt.Appendf(nil, `{"order":"key-%d","n":%d,`+
			`"note":"somewhat longer text, as an order would have it, and then some more"}`, (n+i)%5000, n)}
	}
	return batch
}

// benchPublish publishes b.N events; each publisher has a few batches in flight.
func benchPublish(ctx context.Context, b *testing.B, bus autobus.Bus, typ string, publishers, size int) {
	const ahead = 4
	b.ReportAllocs()
	b.ResetTimer()
	done := make(chan error, publishers)
	for p := range publishers {
		go func() {
			var flying []*autobus.Batch
			wait := func() error {
				for _, r := range flying[0].Wait(ctx) {
					if r.Status != autobus.Written {
						return r.Err
					}
				}
				flying = flying[1:]
				return nil
			}
			for n := p * size; n < b.N; n += publishers * size {
				batch := benchBatch(typ, n, min(size, b.N-n))
				if err := bus.Publish(ctx, batch); err != nil {
					done <- err
					return
				}
				if flying = append(flying, batch); len(flying) == ahead {
					if err := wait(); err != nil {
						done <- err
						return
					}
				}
			}
			for len(flying) > 0 {
				if err := wait(); err != nil {
					done <- err
					return
				}
			}
			done <- nil
		}()
	}
	for range publishers {
		if err := <-done; err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
}

// benchWork delivers b.N events to workers that ack each by itself.
func benchWork(ctx context.Context, b *testing.B, bus autobus.Bus, typ string, workers int) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	got := make(chan autobus.Delivery, 10_000)
	opened, ended, done := make(chan struct{}), make(chan error, 1), make(chan error, workers)
	sub := autobus.Subscription{Name: bustest.Prefix(), Create: &autobus.Policy{Types: []string{typ}},
		Window: &autobus.Window{Events: 5000, Bytes: 8 << 20}, Opened: func(autobus.Address) { close(opened) }}
	go func() {
		ended <- bus.Subscribe(ctx, sub, func(_ context.Context, ds []autobus.Delivery) {
			for i := range ds {
				got <- ds[i]
			}
		})
	}()
	select {
	case <-opened:
	case err := <-ended:
		b.Fatal(err)
	}
	n := b.N
	benchPublish(ctx, b, bus, typ, 1, 100)
	b.ResetTimer()
	left := make(chan struct{}, n)
	for range n {
		left <- struct{}{}
	}
	close(left)
	for range workers {
		go func() {
			for range left {
				d := <-got
				ss := []autobus.Settlement{{Lease: d.Lease, Subscription: sub.Name,
					Outcome: autobus.Outcome{Kind: autobus.Ack}}}
				err := bus.Settle(ctx, ss)
				if err == nil && ss[0].Err != nil {
					err = ss[0].Err
				}
				if err != nil {
					done <- err
					return
				}
			}
			done <- nil
		}()
	}
	for range workers {
		if err := <-done; err != nil {
			b.Fatal(err)
		}
	}
	b.StopTimer()
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "events/s")
	cancel()
	if err := <-ended; err != nil {
		b.Fatal(err)
	}
}

// SPDX-License-Identifier: Apache-2.0

package conformance

import (
	"context"
	"fmt"
	"sync/atomic"
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
	b.Run("worker/16", func(b *testing.B) {
		bus, ctx, types := benchBus(b, d)
		benchWork(ctx, b, bus, types.Work, benchWorker)
	})
	b.Run("frames", func(b *testing.B) {
		bus, ctx, types := benchBus(b, d)
		benchWork(ctx, b, bus, types.Work, benchFrames)
	})
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

// benchWork lets read ack b.N events that wait for it; it calls done for each.
func benchWork(ctx context.Context, b *testing.B, bus autobus.Bus, typ string,
	read func(ctx context.Context, bus autobus.Bus, name string, done func()) error) {
	name := bustest.Prefix()
	policy := autobus.Policy{Types: []string{typ}, Start: autobus.Start{Earliest: true}}
	n := b.N
	benchPublish(ctx, b, bus, typ, 1, 100)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var left atomic.Int64
	left.Store(int64(n))
	b.ResetTimer()
	err := read(ctx, creating{bus, &policy}, name, func() {
		if left.Add(-1) == 0 {
			cancel()
		}
	})
	b.StopTimer()
	if err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "events/s")
}

// creating makes the subscription that is read.
type creating struct {
	autobus.Bus
	policy *autobus.Policy
}

func (c creating) Subscribe(ctx context.Context, s autobus.Subscription, h autobus.Handler) error {
	s.Create = c.policy
	return c.Bus.Subscribe(ctx, s, h)
}

// benchWorker handles each event by itself.
func benchWorker(ctx context.Context, bus autobus.Bus, name string, done func()) error {
	w := autobus.Worker{Bus: bus, Subscription: name, Workers: 16, Window: &autobus.Window{Events: 1000, Bytes: 8 << 20},
		Handle: func(context.Context, *autobus.Delivery) error {
			done()
			return nil
		}}
	return w.Run(ctx)
}

// benchFrames acks what comes together together.
func benchFrames(ctx context.Context, bus autobus.Bus, name string, done func()) error {
	acks := make(chan []autobus.Settlement, 1000)
	ended := make(chan error, 1)
	go func() {
		defer close(acks)
		ended <- bus.Subscribe(ctx, autobus.Subscription{Name: name, Window: &autobus.Window{Events: 1000, Bytes: 8 << 20}},
			func(_ context.Context, ds []autobus.Delivery) {
				ss := make([]autobus.Settlement, len(ds))
				for i := range ds {
					ss[i] = autobus.Settlement{Lease: ds[i].Lease, Outcome: autobus.Outcome{Kind: autobus.Ack}}
				}
				acks <- ss
			})
	}()
	settling := context.WithoutCancel(ctx)
	for ss := range acks {
		if err := bus.Settle(settling, ss); err != nil {
			return err
		}
		for range ss {
			done()
		}
	}
	return <-ended
}

// SPDX-License-Identifier: Apache-2.0

package autobustest_test

import (
	"context"
	"testing"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/autobustest"
)

// BenchmarkTest is what a service's test costs: a bus with specs is made, an event is published, handled and acked, and
// the bus ends. The first one in a process also prepares the schema of AsyncAPI, which -benchtime 1x does not hide.
func BenchmarkTest(b *testing.B) {
	for name, opts := range map[string][]autobustest.Option{"Specs": {autobustest.Specs(specsDir)}, "NoSpecs": nil} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				s := &standIn{}
				once(b, s, opts)
				if s.Failed() {
					b.Fatal(s.failures())
				}
			}
		})
	}
}

// once is one test.
func once(b *testing.B, s *standIn, opts []autobustest.Option) {
	bus := autobustest.New(s, opts...)
	if len(opts) == 0 {
		bus.Subscription("shipping", autobus.Policy{Types: []string{placed}})
	}
	ctx, stop := context.WithCancel(b.Context())
	ended := make(chan error)
	go func() {
		ended <- bus.Subscribe(ctx, autobus.Subscription{Name: "shipping"},
			func(ctx context.Context, ds []autobus.Delivery) {
				for _, d := range ds {
					_ = bus.Settle(ctx, []autobus.Settlement{{Lease: d.Lease, Outcome: autobus.Outcome{Kind: autobus.Ack}}})
				}
			})
	}()
	batch := &autobus.Batch{Events: []autobus.Event{{Type: placed, Data: []byte(order("o-1"))}}}
	if err := bus.Publish(ctx, batch); err != nil {
		b.Fatal(err)
	}
	bus.Idle("shipping")
	stop()
	if err := <-ended; err != nil {
		b.Fatal(err)
	}
	s.end()
}

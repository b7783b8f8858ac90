// SPDX-License-Identifier: Apache-2.0

package bus_test

import (
	"context"
	"strconv"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/autobus-io/autobus"
)

// BenchmarkConsume reads events of 1 KB: directly by a group of the Kafka client that commits at the end, and by a
// subscription of the bus whose worker acks all that it is given. The broker runs in the same process; what counts is
// the ratio to direct of the same run.
func BenchmarkConsume(b *testing.B) {
	const events = 100_000
	f := open(b)
	note := strings.Repeat("n", 960)
	for n := 0; n < events; n += autobus.MaxBatchEvents {
		batch := &autobus.Batch{Events: make([]autobus.Event, autobus.MaxBatchEvents)}
		for i := range batch.Events {
			id := strconv.Itoa(n + i)
			batch.Events[i] = autobus.Event{ID: id, Type: orders,
				Data: []byte(`{"id":"o-` + id + `","total":12.5,"note":"` + note + `"}`)}
		}
		if err := f.Publish(f.ctx, batch); err != nil {
			b.Fatal(err)
		}
		for _, rc := range batch.Wait(b.Context()) {
			if rc.Err != nil {
				b.Fatal(rc.Err)
			}
		}
	}
	run := func(b *testing.B, round func(name string)) {
		before := cpu(b)
		for i := range b.N {
			round(b.Name() + strconv.Itoa(b.N) + "-" + strconv.Itoa(i))
		}
		done := float64(b.N * events)
		b.ReportMetric(done/b.Elapsed().Seconds(), "events/s")
		b.ReportMetric(float64((cpu(b)-before).Microseconds())/done, "cpu-us/event")
	}
	b.Run("direct", func(b *testing.B) {
		run(b, func(name string) {
			c, err := kgo.NewClient(kgo.SeedBrokers(f.broker.Addr()), kgo.ConsumerGroup(name), kgo.ConsumeTopics(orders),
				kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.DisableAutoCommit())
			if err != nil {
				b.Fatal(err)
			}
			for n := 0; n < events; {
				n += c.PollFetches(b.Context()).NumRecords()
			}
			if err := c.CommitUncommittedOffsets(b.Context()); err != nil {
				b.Fatal(err)
			}
			c.Close()
		})
	})
	b.Run("subscription", func(b *testing.B) {
		run(b, func(name string) {
			ctx, stop := context.WithCancel(f.ctx)
			n := 0
			acks := make([]autobus.Settlement, 0, 1000)
			err := f.Subscribe(ctx, autobus.Subscription{Name: strings.ToLower(strings.ReplaceAll(name, "/", ".")),
				Create: &autobus.Policy{Types: []string{orders}, Start: autobus.Start{Earliest: true}},
				Window: &autobus.Window{Events: 1000, Bytes: 8 << 20}},
				func(ctx context.Context, ds []autobus.Delivery) {
					acks = acks[:0]
					for i := range ds {
						acks = append(acks, autobus.Settlement{Lease: ds[i].Lease, Outcome: autobus.Outcome{Kind: autobus.Ack}})
					}
					if err := f.Settle(f.ctx, acks); err != nil {
						b.Error(err)
					}
					if n += len(ds); n >= events {
						stop()
					}
				})
			if err != nil {
				b.Fatal(err)
			}
		})
	})
}

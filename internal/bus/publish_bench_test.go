// SPDX-License-Identifier: Apache-2.0

package bus_test

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/bus"
	"github.com/autobus-io/autobus/internal/kafka"
)

const (
	benchBatch   = 100 // events of one batch
	benchCallers = 16  // callers at once
)

// BenchmarkPublish writes batches of 100 events of 1 KB to four partitions from 16 callers: directly by the Kafka
// client, with the same headers, and by the bus without and with a spec. The embedded broker runs in the same process,
// so cpu-us/event is broker and bus together; what counts is the ratio to direct of the same run:
//
//	go test -run '^$' -bench Publish -count 6 ./internal/bus
func BenchmarkPublish(b *testing.B) {
	note := strings.Repeat("n", 960)
	data := func(i int) []byte { return fmt.Appendf(nil, `{"id":"o-%d","total":12.5,"note":%q}`, i, note) }
	b.Run("direct", func(b *testing.B) {
		f := open(b)
		client, err := kgo.NewClient(kgo.SeedBrokers(f.broker.Addr()), kgo.RecordPartitioner(kgo.ManualPartitioner()),
			kgo.ProducerLinger(0), kgo.ProducerBatchCompression(kgo.NoCompression()), kgo.MaxBufferedRecords(1<<20))
		if err != nil {
			b.Fatal(err)
		}
		defer client.Close()
		callers(b, func() error {
			records := make([]*kgo.Record, benchBatch)
			for i := range records {
				key := fmt.Appendf(nil, "o-%d", i)
				records[i] = &kgo.Record{Topic: orders, Partition: kafka.PartitionOf(kafka.Murmur2, key, 4), Key: key,
					Value: data(i), Headers: []kgo.RecordHeader{
						{Key: "ce_specversion", Value: []byte("1.0")}, {Key: "ce_id", Value: key},
						{Key: "ce_source", Value: []byte("/tester")}, {Key: "ce_type", Value: []byte(orders)},
						{Key: "ce_time", Value: time.Now().AppendFormat(nil, time.RFC3339Nano)},
						{Key: "content-type", Value: []byte("application/json")},
						{Key: "autobus-epoch", Value: []byte("1")}}}
			}
			return client.ProduceSync(context.Background(), records...).FirstErr()
		})
	})
	// Types without a spec are accepted, as in dev.
	unspecified := func(c *bus.Config, _ *kafka.Config) {
		c.CreateType = func(context.Context, string) error { return nil }
	}
	through := func(event func(i int) autobus.Event) func(*testing.B) {
		return func(b *testing.B) {
			f := open(b, unspecified)
			var ids atomic.Int64 // a client brings its own, so that it can send an event again
			callers(b, func() error {
				batch := &autobus.Batch{Events: make([]autobus.Event, benchBatch)}
				for i := range batch.Events {
					batch.Events[i] = event(i)
					batch.Events[i].ID = strconv.FormatInt(ids.Add(1), 10)
				}
				if err := f.Publish(f.ctx, batch); err != nil {
					return err
				}
				for _, rc := range batch.Wait(context.Background()) {
					if rc.Err != nil {
						return rc.Err
					}
				}
				return nil
			})
		}
	}
	b.Run("opaque", through(func(i int) autobus.Event {
		return autobus.Event{Type: raw, ContentType: "application/octet-stream", Data: data(i),
			Extensions: []autobus.Extension{{Name: autobus.ExtPartitionKey, Value: fmt.Sprint("o-", i)}}}
	}))
	b.Run("json", through(func(i int) autobus.Event {
		return autobus.Event{Type: raw, Data: data(i),
			Extensions: []autobus.Extension{{Name: autobus.ExtPartitionKey, Value: fmt.Sprint("o-", i)}}}
	}))
	b.Run("validated", through(func(i int) autobus.Event { return autobus.Event{Type: orders, Data: data(i)} }))
}

// callers runs send from benchCallers goroutines, b.N batches in all, and reports events/s and CPU per event.
func callers(b *testing.B, send func() error) {
	b.Helper()
	if err := send(); err != nil { // connections, metadata, the check of the route
		b.Fatal(err)
	}
	work := make(chan struct{})
	var wg sync.WaitGroup
	b.ResetTimer()
	before := cpu(b)
	for range benchCallers {
		wg.Go(func() {
			for range work {
				if err := send(); err != nil {
					b.Error(err)
				}
			}
		})
	}
	for range b.N {
		work <- struct{}{}
	}
	close(work)
	wg.Wait()
	events := float64(b.N * benchBatch)
	b.ReportMetric(events/b.Elapsed().Seconds(), "events/s")
	b.ReportMetric(float64((cpu(b)-before).Microseconds())/events, "cpu-us/event")
}

func cpu(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

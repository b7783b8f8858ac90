// SPDX-License-Identifier: Apache-2.0

package postgres_test

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/autobus-io/autobus/internal/bustest"
	"github.com/autobus-io/autobus/internal/kafka"
	"github.com/autobus-io/autobus/internal/sink"
)

const (
	freshRate = 1000 // events a second
	freshFor  = 20   // seconds
	freshKeys = 5000
)

// BenchmarkFreshness publishes at a steady rate and tells after what time an event's row can be read: from before the
// event is appended until its transaction is committed. PostgreSQL waits for the disk.
func BenchmarkFreshness(b *testing.B) {
	pg := bustest.Postgres(b, "fsync=on")
	for _, mode := range []string{"append", "upsert"} {
		b.Run(mode, func(b *testing.B) {
			for b.Loop() {
				ages := freshness(b, pg, mode)
				slices.Sort(ages)
				for name, share := range map[string]float64{"p50-ms": 0.5, "p99-ms": 0.99, "max-ms": 1} {
					b.ReportMetric(float64(ages[int(share*float64(len(ages)-1))].Microseconds())/1000, name)
				}
			}
		})
	}
}

// freshness gives the age of each event when its row was there. All of them are of one partition, whose order tells
// which events a transaction had.
func freshness(b *testing.B, pg *bustest.PostgresServer, mode string) (ages []time.Duration) {
	b.Helper()
	log := bustest.Embedded(b).Open(b)
	if _, err := log.CreateTopic(b.Context(), kafka.NewTopic{Name: benchTopic, Partitions: 1, Replicas: 1}); err != nil {
		b.Fatal(err)
	}
	p, s := benchTarget(b, pg, mode, 1)
	defer s.End()
	ctx, stop := context.WithCancel(b.Context())
	defer stop()
	var mu sync.Mutex
	var sent []time.Time
	r := sink.New(sink.Config{Plan: p, Log: log, Target: s, Logger: bustest.Logger(b), Wrote: func(w sink.Written) {
		mu.Lock()
		defer mu.Unlock()
		for range w.Rows {
			ages = append(ages, time.Since(sent[len(ages)]))
		}
		if len(ages) == freshRate*freshFor {
			stop()
		}
	}})
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx) }()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	began := time.Now()
	for i := range freshRate * freshFor {
		for due := began.Add(time.Duration(i) * time.Second / freshRate); time.Now().Before(due); {
			<-tick.C
		}
		mu.Lock()
		sent = append(sent, time.Now())
		mu.Unlock()
		if err := log.Append(freshEvent(b, i)); err != nil {
			b.Fatal(err)
		}
	}
	if err := <-ended; err != nil || len(ages) != freshRate*freshFor {
		b.Fatalf("%d rows, %v", len(ages), err)
	}
	return ages
}

func freshEvent(b *testing.B, i int) *kafka.Append {
	return &kafka.Append{TP: kafka.TP{Topic: benchTopic},
		Records: []kafka.Record{{Value: []byte(benchEvent(i % freshKeys))}},
		Done: func(_ int, _ int64, err error) {
			if err != nil {
				b.Error(err)
			}
		}}
}

// SPDX-License-Identifier: Apache-2.0

package postgres_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/autobus-io/autobus/internal/bustest"
	"github.com/autobus-io/autobus/internal/kafka"
	"github.com/autobus-io/autobus/internal/sink"
	"github.com/autobus-io/autobus/internal/sink/postgres"
	"github.com/autobus-io/autobus/internal/sink/store"
)

const (
	benchTopic = "bench.order.placed.v1"
	benchRows  = 200_000
	benchSlow  = 2_000 // rows of one INSERT each
)

const benchFile = `
name: %[1]s
dsn: %[2]s
table: bench_%[1]s
mode: %[1]s
%[3]s
columns:
  order_id: {from: /order_id, type: text}
  merchant: {from: /merchant, type: integer}
  total: {from: /total, type: "numeric(12,2)"}
  status: {from: /status, type: text}
  placed_at: {from: /placed_at, type: timestamptz}
types: [bench.order.placed.v1]
`

func benchEvent(i int) string {
	return fmt.Sprintf(`{"order_id":"order-%08d","merchant":%d,"total":%d.%02d,"status":"placed",`+
		`"placed_at":"2026-11-28T10:%02d:%02dZ",`+
		`"customer":{"name":"Somebody With A Name","city":"Jakarta"},"note":"leave it at the door, please"}`,
		i, i%5000, i%900, i%100, i/60%60, i%60)
}

// BenchmarkSink writes the same rows three times in one run: by the sink from the log, by psql's COPY from a file, by
// psql with one INSERT a row. x/COPY and x/INSERT are the sink's rows a second by theirs. PostgreSQL waits for the
// disk.
func BenchmarkSink(b *testing.B) {
	pg := bustest.Postgres(b, "fsync=on", "max_wal_size=4GB")
	broker := bustest.Embedded(b)
	log := broker.Open(b)
	if _, err := log.CreateTopic(b.Context(), kafka.NewTopic{Name: benchTopic, Partitions: 4, Replicas: 1}); err != nil {
		b.Fatal(err)
	}
	fill(b, log)
	for _, mode := range []string{"append", "upsert"} {
		b.Run(mode, func(b *testing.B) {
			for b.Loop() {
				sunk := benchSink(b, pg, log, mode)
				copied := benchPsql(b, pg, benchRows, copyOf)
				inserted := benchPsql(b, pg, benchSlow, insertsOf)
				b.ReportMetric(sunk, "rows/s")
				b.ReportMetric(sunk/copied, "x/COPY")
				b.ReportMetric(sunk/inserted, "x/INSERT")
			}
		})
	}
}

func fill(b *testing.B, log *kafka.Log) {
	b.Helper()
	done := make(chan error, benchRows)
	for i := range benchRows {
		a := &kafka.Append{TP: kafka.TP{Topic: benchTopic, Partition: int32(i % 4)},
			Records: []kafka.Record{{Key: fmt.Appendf(nil, "order-%08d", i), Value: []byte(benchEvent(i)),
				Headers: []kafka.Header{
					{Key: "ce_id", Value: fmt.Appendf(nil, "id-%d", i)}, {Key: "ce_source", Value: []byte("/bench")},
					{Key: "ce_type", Value: []byte(benchTopic)}, {Key: "ce_time", Value: []byte("2026-11-28T10:00:00Z")}}}},
			Done: func(_ int, _ int64, err error) { done <- err }}
		if err := log.Append(a); err != nil {
			b.Fatal(err)
		}
		if i%1000 == 999 {
			for range 1000 {
				if err := <-done; err != nil {
					b.Fatal(err)
				}
			}
		}
	}
}

// benchTarget makes the empty tables of a sink.
func benchTarget(b *testing.B, pg *bustest.PostgresServer, mode string, partitions int32) (*sink.Plan, *store.Store) {
	b.Helper()
	pg.Psql(b, "postgres", "DROP TABLE IF EXISTS bench_"+mode+", autobus_sink, autobus_sink_offset, autobus_sink_error, "+
		"autobus_sink_deleted")
	key := ""
	if mode == sink.ModeUpsert {
		key = "key: [order_id]"
	}
	f, err := sink.ParseFile("bench.yaml", fmt.Appendf(nil, benchFile, mode, pg.DSN("postgres"), key), os.LookupEnv)
	if err != nil {
		b.Fatal(err)
	}
	p, faults, _ := sink.MakePlan(f, []sink.Source{{Type: benchTopic, Topic: benchTopic, Partitions: partitions}})
	if len(faults) > 0 {
		b.Fatal(faults)
	}
	s, err := postgres.New(f.DSN)
	if err != nil {
		b.Fatal(err)
	}
	c, err := s.Check(b.Context(), p)
	if err == nil {
		err = s.Apply(b.Context(), c.Steps)
	}
	if err != nil {
		b.Fatal(err)
	}
	return p, s
}

// benchSink gives the rows a second of a sink from its first transaction to its last.
func benchSink(b *testing.B, pg *bustest.PostgresServer, log *kafka.Log, mode string) float64 {
	b.Helper()
	p, s := benchTarget(b, pg, mode, 4)
	defer s.End()
	ctx, stop := context.WithCancel(b.Context())
	defer stop()
	wrote := 0
	r := sink.New(sink.Config{Plan: p, Log: log, Target: s, Logger: bustest.Logger(b), Wrote: func(w sink.Written) {
		if wrote += w.Rows; wrote == benchRows {
			stop()
		}
	}})
	began := time.Now()
	if err := r.Run(ctx); err != nil || wrote != benchRows {
		b.Fatalf("%d rows, %v", wrote, err)
	}
	return benchRows / time.Since(began).Seconds()
}

func copyOf(rows int) []byte {
	var in bytes.Buffer
	in.WriteString("COPY bench_psql FROM STDIN;\n")
	for i := range rows {
		fmt.Fprintf(&in, "%s\t%d\t%d\torder-%08d\t%d\t%d.%02d\tplaced\t2026-11-28T10:%02d:%02dZ\n", benchTopic, i%4, i/4, i,
			i%5000,
			i%900, i%100, i/60%60, i%60)
	}
	in.WriteString("\\.\n")
	return in.Bytes()
}

func insertsOf(rows int) []byte {
	var in bytes.Buffer
	for i := range rows {
		fmt.Fprintf(&in, "INSERT INTO bench_psql VALUES ('%s', %d, %d, 'order-%08d', %d, %d.%02d, 'placed', "+
			"'2026-11-28T10:%02d:%02dZ');\n", benchTopic, i%4, i/4, i, i%5000, i%900, i%100, i/60%60, i%60)
	}
	return in.Bytes()
}

// benchPsql gives the rows a second of psql on a table of the shape that append has.
func benchPsql(b *testing.B, pg *bustest.PostgresServer, rows int, script func(int) []byte) float64 {
	b.Helper()
	pg.Psql(b, "postgres", "DROP TABLE IF EXISTS bench_psql; CREATE TABLE bench_psql (_topic text, _partition "+
		"integer, _offset "+
		"bigint, order_id text, merchant integer, total numeric(12,2), status text, placed_at timestamptz, "+
		"PRIMARY KEY (_topic, _partition, _offset))")
	in := script(rows)
	cmd := exec.CommandContext(b.Context(), "psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", pg.DSN("postgres"))
	cmd.Stdin = bytes.NewReader(in)
	began := time.Now()
	if out, err := cmd.CombinedOutput(); err != nil {
		b.Fatalf("psql: %v\n%s", err, out)
	}
	return float64(rows) / time.Since(began).Seconds()
}

// BenchmarkRow makes rows of records, as the sink does before it writes them.
func BenchmarkRow(b *testing.B) {
	f, err := sink.ParseFile("bench.yaml", fmt.Appendf(nil, benchFile, "upsert", postgres.Scheme+"x", "key: [order_id]"),
		os.LookupEnv)
	if err != nil {
		b.Fatal(err)
	}
	p, faults, _ := sink.MakePlan(f, []sink.Source{{Type: benchTopic, Topic: benchTopic, Partitions: 1}})
	if len(faults) > 0 {
		b.Fatal(faults)
	}
	rec := sink.Record{TP: sink.TP{Topic: benchTopic}, Key: []byte("order-00000017"), Value: []byte(benchEvent(17)),
		Headers: []sink.Header{{Key: "ce_id", Value: []byte("id-17")}, {Key: "ce_source", Value: []byte("/bench")},
			{Key: "ce_type", Value: []byte(benchTopic)}, {Key: "ce_time", Value: []byte("2026-11-28T10:00:00Z")}}}
	b.ReportAllocs()
	for b.Loop() {
		if row, err := p.Row(&rec); err != nil || row.Bad != nil {
			b.Fatal(err, row.Bad)
		}
	}
}

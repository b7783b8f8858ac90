// SPDX-License-Identifier: Apache-2.0

package kafka_test

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/autobus-io/autobus/internal/kafka"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// open starts an embedded broker and connects to it.
func open(t *testing.T, cfg kafka.Config) (*kafka.Embedded, *kafka.Log) {
	t.Helper()
	e, err := kafka.OpenEmbedded(kafka.EmbeddedConfig{Dir: t.TempDir(), Addr: "127.0.0.1:0", Logger: slog.Default()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.Close() })
	cfg.Name, cfg.Brokers, cfg.Logger = "test", []string{e.Addr()}, slog.Default()
	l, err := kafka.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = l.Close(ctx) // an append that a test left without a broker cannot be flushed
	})
	return e, l
}

// create makes a topic of one copy.
func create(t *testing.T, l *kafka.Log, name string, partitions int32, configs map[string]string) {
	t.Helper()
	created, err := l.CreateTopic(t.Context(), kafka.NewTopic{Name: name, Partitions: partitions, Replicas: 1,
		Configs: configs})
	if err != nil || !created {
		t.Fatalf("create %s: created %t, error %v", name, created, err)
	}
}

type appended struct {
	offset int64
	err    error
}

// write appends values to a partition and waits for their offsets.
func write(t *testing.T, l *kafka.Log, tp kafka.TP, values ...string) []appended {
	t.Helper()
	out := make([]appended, len(values))
	done := make(chan struct{}, len(values))
	a := &kafka.Append{TP: tp, Done: func(i int, offset int64, err error) {
		out[i] = appended{offset, err}
		done <- struct{}{}
	}}
	for _, v := range values {
		a.Records = append(a.Records, kafka.Record{Value: []byte(v), Time: time.Now()})
	}
	if err := l.Append(a); err != nil {
		t.Fatal(err)
	}
	for range values {
		<-done
	}
	return out
}

// read returns the first n values of a partition from an offset on.
func read(t *testing.T, l *kafka.Log, tp kafka.TP, from int64, n int) []string {
	t.Helper()
	r, err := l.Read(map[kafka.TP]int64{tp: from})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var out []string
	for len(out) < n {
		records, err := r.Poll(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, rec := range records {
			out = append(out, string(rec.Value))
		}
	}
	return out
}

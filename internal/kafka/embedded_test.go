// SPDX-License-Identifier: Apache-2.0

package kafka_test

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/kafka"
)

func reasonOf(err error) autobus.Reason {
	if e, ok := errors.AsType[*autobus.Error](err); ok {
		return e.Reason
	}
	return ""
}

func TestEmbeddedKeepsItsDataAndItsFolder(t *testing.T) {
	cfg := kafka.EmbeddedConfig{Dir: t.TempDir(), Addr: "127.0.0.1:0", Logger: slog.Default()}
	e, err := kafka.OpenEmbedded(cfg)
	if err != nil {
		t.Fatal(err)
	}
	l, err := kafka.Open(t.Context(), kafka.Config{Brokers: []string{e.Addr()}, Logger: slog.Default()})
	if err != nil {
		t.Fatal(err)
	}
	create(t, l, "kept", 1, nil)
	write(t, l, kafka.TP{Topic: "kept"}, "a", "b")
	if _, err := kafka.OpenEmbedded(cfg); reasonOf(err) != autobus.ReasonDataLocked {
		t.Errorf("a second broker on the folder: %v", err)
	}
	if err := l.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if err := e.Close(); err != nil {
		t.Error(err)
	}

	e, err = kafka.OpenEmbedded(cfg)
	if err != nil {
		t.Fatalf("the folder was not given back: %v", err)
	}
	defer e.Close()
	l, err = kafka.Open(t.Context(), kafka.Config{Brokers: []string{e.Addr()}, Logger: slog.Default()})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close(t.Context())
	if got := read(t, l, kafka.TP{Topic: "kept"}, 0, 2); strings.Join(got, "") != "ab" {
		t.Errorf("after the restart the topic holds %q", got)
	}
}

func TestEmbeddedNamesATakenPort(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	_, err = kafka.OpenEmbedded(kafka.EmbeddedConfig{Addr: ln.Addr().String(), Logger: slog.Default()})
	if reasonOf(err) != autobus.ReasonPortTaken || !strings.Contains(err.Error(), ln.Addr().String()) {
		t.Errorf("a taken port: %v", err)
	}
}

func TestEmbeddedTellsTheAdvertisedAddress(t *testing.T) {
	e, err := kafka.OpenEmbedded(kafka.EmbeddedConfig{Addr: "127.0.0.1:0", Advertise: "bus.example:9999",
		Logger: slog.Default()})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	if e.Addr() != "bus.example:9999" {
		t.Errorf("advertised %s", e.Addr())
	}
	l, err := kafka.Open(t.Context(), kafka.Config{Brokers: []string{e.Addr()}, Dial: e.Dial, Logger: slog.Default()})
	if err != nil {
		t.Fatalf("the process itself does not reach its broker: %v", err)
	}
	defer l.Close(context.Background())
	create(t, l, "a", 1, nil)
	write(t, l, kafka.TP{Topic: "a"}, "x")
	if got := read(t, l, kafka.TP{Topic: "a"}, 0, 1); got[0] != "x" {
		t.Errorf("read %q", got)
	}
}

func TestEmbeddedRefusesOverItsBudget(t *testing.T) {
	e, err := kafka.OpenEmbedded(kafka.EmbeddedConfig{Dir: t.TempDir(), Addr: "127.0.0.1:0", Budget: 1,
		Logger: slog.Default()})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	full := e.Full(0)
	if full == nil || full.Reason != autobus.ReasonStorageFull || !full.Retriable() || full.RetryAfter == 0 {
		t.Errorf("over the budget: %v", full)
	}
}

// The folder is measured once a second; what is let in meanwhile counts at once.
func TestEmbeddedCountsWhatItLetsIn(t *testing.T) {
	e, err := kafka.OpenEmbedded(kafka.EmbeddedConfig{Dir: t.TempDir(), Addr: "127.0.0.1:0", Budget: 1 << 20,
		Logger: slog.Default()})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	for i, want := range []bool{false, true, false} {
		if full := e.Full([]int64{700_000, 700_000, 100_000}[i]) != nil; full != want {
			t.Errorf("question %d: full %t, want %t", i, full, want)
		}
	}
}

// Retention runs on our own timer: the broker's own leaves records for an hour.
func TestEmbeddedRetentionRuns(t *testing.T) {
	e, err := kafka.OpenEmbedded(kafka.EmbeddedConfig{Dir: t.TempDir(), Addr: "127.0.0.1:0", Logger: slog.Default(),
		Retain: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	l, err := kafka.Open(t.Context(), kafka.Config{Brokers: []string{e.Addr()}, Logger: slog.Default()})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close(context.Background())
	create(t, l, "brief", 1, map[string]string{"retention.ms": "1"})
	create(t, l, "long", 1, map[string]string{"retention.ms": "3600000"})
	write(t, l, kafka.TP{Topic: "brief"}, "a")
	write(t, l, kafka.TP{Topic: "long"}, "a")
	ctx, cancel := context.WithCancel(t.Context())
	ran := make(chan error)
	go func() { ran <- e.Run(ctx) }()
	for start := int64(0); start == 0; {
		starts, err := l.Starts(t.Context(), "brief")
		if err != nil {
			t.Fatal(err)
		}
		start = starts[kafka.TP{Topic: "brief"}]
	}
	if starts, err := l.Starts(t.Context(), "long"); err != nil || starts[kafka.TP{Topic: "long"}] != 0 {
		t.Errorf("the other topic's retention is an hour: starts %v, error %v", starts, err)
	}
	cancel()
	if err := <-ran; err != nil {
		t.Error(err)
	}
}

func TestReaderSaysWhenItsPositionIsGone(t *testing.T) {
	_, l := open(t, kafka.Config{})
	create(t, l, "cut", 1, nil)
	tp := kafka.TP{Topic: "cut"}
	write(t, l, tp, "a", "b", "c")
	if err := kafka.DeleteRecords(t.Context(), l, tp, 2); err != nil {
		t.Fatal(err)
	}
	r, err := l.Read(map[kafka.TP]int64{tp: 0})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if _, err := r.Poll(t.Context()); reasonOf(err) != autobus.ReasonPositionLost {
		t.Errorf("reading what retention deleted: %v", err)
	}
	if got := read(t, l, tp, 2, 1); got[0] != "c" {
		t.Errorf("the rest reads %q", got)
	}
}

func TestOffsets(t *testing.T) {
	_, l := open(t, kafka.Config{})
	create(t, l, "o", 2, nil)
	tp := kafka.TP{Topic: "o", Partition: 1}
	write(t, l, tp, "a", "b")
	ends, err := l.Ends(t.Context(), "o", "not-there")
	if err != nil || len(ends) != 2 || ends[tp] != 2 || ends[kafka.TP{Topic: "o"}] != 0 {
		t.Errorf("ends %v, error %v", ends, err)
	}
	at, err := l.At(t.Context(), time.Now().Add(-time.Hour), "o")
	if err != nil || at[tp] != 0 {
		t.Errorf("an hour ago: %v, error %v", at, err)
	}
	if at, err = l.At(t.Context(), time.Now().Add(time.Hour), "o"); err != nil || at[tp] != 2 {
		t.Errorf("in an hour: %v, error %v", at, err)
	}
}

func TestOpenSaysThatNobodyAnswers(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = ln.Close() // now nobody listens there
	_, err = kafka.Open(t.Context(), kafka.Config{Brokers: []string{ln.Addr().String()}, Logger: slog.Default()})
	if reasonOf(err) != autobus.ReasonClusterUnreachable {
		t.Errorf("nobody listens: %v", err)
	}
}

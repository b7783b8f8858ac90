// SPDX-License-Identifier: Apache-2.0

package control_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/control"
	"github.com/autobus-io/autobus/internal/kafka"
)

// state opens the state log without following it.
func state(t *testing.T, l *kafka.Log, logger *slog.Logger) *control.State {
	t.Helper()
	s, err := control.OpenState(t.Context(), l, logger)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// follow runs it until the test is over.
func follow(t *testing.T, s *control.State) *control.State {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ran := make(chan error, 1)
	go func() { ran <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ran; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	return s
}

func put(t *testing.T, s *control.State, key, value string) {
	t.Helper()
	if err := s.Put(t.Context(), key, []byte(value)); err != nil {
		t.Fatal(err)
	}
}

func wantState(t *testing.T, s *control.State, key, want string) {
	t.Helper()
	if got, ok := s.Get(key); !ok || string(got) != want {
		t.Errorf("%s is %q (there %t), want %q", key, got, ok, want)
	}
}

func wantNoState(t *testing.T, s *control.State, key string) {
	t.Helper()
	if got, ok := s.Get(key); ok {
		t.Errorf("%s is %q, want none", key, got)
	}
}

func barrier(t *testing.T, s *control.State) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := s.Barrier(ctx); err != nil {
		t.Fatal(err)
	}
}

// client speaks to the broker beside the bus, as others can.
func client(t *testing.T, e *kafka.Embedded) *kgo.Client {
	t.Helper()
	c, err := kgo.NewClient(kgo.SeedBrokers(e.Addr()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func TestStateKeepsTheLastValue(t *testing.T) {
	l := connect(t, broker(t))
	a, b := follow(t, state(t, l, slog.Default())), follow(t, state(t, l, slog.Default()))
	wantNoState(t, a, "k")
	put(t, a, "k", "1")
	put(t, a, "k", "2")
	put(t, a, "empty", "")
	barrier(t, b)
	wantState(t, b, "k", "2")
	wantState(t, b, "empty", "")
	if err := b.Put(t.Context(), "k", nil); err != nil {
		t.Fatal(err)
	}
	barrier(t, a)
	wantNoState(t, a, "k")
	wantState(t, a, "empty", "")
}

func TestStateIsReplayed(t *testing.T) {
	l := connect(t, broker(t))
	first := state(t, l, slog.Default())
	defer first.Close()
	for i := range 20 {
		put(t, first, fmt.Sprint("k", i%4), fmt.Sprint(i))
	}
	if err := first.Put(t.Context(), "k3", nil); err != nil {
		t.Fatal(err)
	}
	again := state(t, l, slog.Default())
	defer again.Close()
	wantState(t, again, "k0", "16")
	wantState(t, again, "k2", "18")
	wantNoState(t, again, "k3")
	topics, err := l.Topics(t.Context(), control.StateTopic)
	if err != nil {
		t.Fatal(err)
	}
	if topic := topics[control.StateTopic]; topic.Partitions != 1 || topic.Configs["cleanup.policy"] != "compact" {
		t.Errorf("the topic is %+v", topic)
	}
}

func TestAStateRecordWithoutAKeyDoesNotCount(t *testing.T) {
	l := connect(t, broker(t))
	var logged bytes.Buffer // read after a barrier, which is after all writes
	logger := slog.New(slog.NewTextHandler(&logged, nil))
	s := follow(t, state(t, l, logger))
	put(t, s, "k", "1")
	if _, err := l.Write(t.Context(), kafka.Record{TP: kafka.TP{Topic: control.StateTopic}, Value: []byte("x"),
		Time: time.Now()}); err != nil {
		t.Fatal(err)
	}
	put(t, s, "k", "2")
	barrier(t, s)
	wantState(t, s, "k", "2")
	wantNoState(t, s, "")
	if !strings.Contains(logged.String(), "offset=1") {
		t.Errorf("logged: %s", &logged)
	}
}

// What was removed while nobody looked is gone, also when the log has neither the value nor the removal any more.
func TestStateGoesOnFromTheStart(t *testing.T) {
	e := broker(t)
	l := connect(t, e)
	s := state(t, l, slog.New(slog.DiscardHandler))
	put(t, s, "old", "1")
	put(t, s, "kept", "2")
	stale := state(t, l, slog.New(slog.DiscardHandler))
	wantState(t, stale, "old", "1")
	var before kadm.Offsets
	before.AddOffset(control.StateTopic, 0, 1, -1)
	if _, err := kadm.NewClient(client(t, e)).DeleteRecords(t.Context(), before); err != nil {
		t.Fatal(err)
	}
	if err := stale.Displace(0); err != nil {
		t.Fatal(err)
	}
	follow(t, stale)
	put(t, s, "new", "3")
	s.Close()
	for _, ok := stale.Get("new"); !ok; _, ok = stale.Get("new") {
		barrier(t, stale)
	}
	wantNoState(t, stale, "old")
	wantState(t, stale, "kept", "2")
}

// Somebody deletes the topic: it is made anew, and the instance goes on with what is written from then on.
func TestADeletedStateLogIsMadeAnew(t *testing.T) {
	t.Parallel() // it takes the client ten seconds to believe it
	e := broker(t)
	l := connect(t, e)
	warned := make(chan struct{}, 100)
	s := follow(t, state(t, l, slog.New(signal{slog.DiscardHandler, warned})))
	put(t, s, "k", "1")
	barrier(t, s)
	if _, err := kadm.NewClient(client(t, e)).DeleteTopic(t.Context(), control.StateTopic); err != nil {
		t.Fatal(err)
	}
	<-warned
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for err := s.Put(ctx, "new", []byte("2")); err != nil; err = s.Put(ctx, "new", []byte("2")) {
		if ctx.Err() != nil {
			t.Fatal(err)
		}
	}
	barrier(t, s)
	wantState(t, s, "new", "2")
	wantNoState(t, s, "k")
}

// signal tells that something was logged.
type signal struct {
	slog.Handler
	logged chan<- struct{}
}

func (s signal) Enabled(context.Context, slog.Level) bool { return true }

func (s signal) Handle(context.Context, slog.Record) error {
	select {
	case s.logged <- struct{}{}:
	default:
	}
	return nil
}

func TestStateSurvivesABrokerThatIsAway(t *testing.T) {
	cfg := kafka.EmbeddedConfig{Addr: "127.0.0.1:0", Dir: t.TempDir(), Logger: slog.Default()}
	e, err := kafka.OpenEmbedded(cfg)
	if err != nil {
		t.Fatal(err)
	}
	l := connect(t, e)
	s := follow(t, state(t, l, slog.Default()))
	put(t, s, "k", "1")
	cfg.Addr = e.Addr()
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if err := s.Put(ctx, "k", []byte("2")); reasonOf(err) != autobus.ReasonOutcomeUnknown {
		t.Errorf("without a broker: %v", err)
	}
	if e, err = kafka.OpenEmbedded(cfg); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.Close() })
	put(t, s, "k", "3")
	barrier(t, s)
	wantState(t, s, "k", "3")
}

func TestStateTooLarge(t *testing.T) {
	s := follow(t, state(t, connect(t, broker(t)), slog.Default()))
	value := strings.Repeat("x", autobus.MaxEventBytes)
	put(t, s, "k", value)
	if err := s.Put(t.Context(), "k", []byte(value+"x")); reasonOf(err) != autobus.ReasonEventTooLarge {
		t.Errorf("one byte more: %v", err)
	}
}

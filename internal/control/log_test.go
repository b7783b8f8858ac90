// SPDX-License-Identifier: Apache-2.0

package control_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/goleak"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/control"
	"github.com/autobus-io/autobus/internal/kafka"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func broker(t *testing.T) *kafka.Embedded {
	t.Helper()
	e, err := kafka.OpenEmbedded(kafka.EmbeddedConfig{Addr: "127.0.0.1:0", Logger: slog.Default()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.Close() })
	return e
}

func connect(t *testing.T, e *kafka.Embedded) *kafka.Log {
	t.Helper()
	l, err := kafka.Open(t.Context(), kafka.Config{Name: "main", Brokers: []string{e.Addr()}, Logger: slog.Default()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close(context.Background()) })
	return l
}

// instance opens the control log and follows it, as a gateway does.
func instance(t *testing.T, l *kafka.Log) *control.Log {
	t.Helper()
	c, err := control.Open(t.Context(), l, slog.Default())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ran := make(chan error, 1)
	go func() { ran <- c.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ran; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	return c
}

func ready(t *testing.T) (*kafka.Log, *control.Log) {
	t.Helper()
	l := connect(t, broker(t))
	s := control.Settings{ClusterName: "main", Replicas: 1}
	if _, created, err := control.Init(t.Context(), l, s); err != nil || !created {
		t.Fatalf("init: created %t, error %v", created, err)
	}
	return l, instance(t, l)
}

func set(t *testing.T, name string, prev int64, value any) control.Record {
	t.Helper()
	r, err := control.NewRecord("thing", name, prev, value)
	if err != nil {
		t.Fatal(err)
	}
	r.Actor, r.Reason = "tester", "because"
	return r
}

func reasonOf(err error) autobus.Reason {
	if e, ok := errors.AsType[*autobus.Error](err); ok {
		return e.Reason
	}
	return ""
}

func TestInitIsOnceAndNamesTheCluster(t *testing.T) {
	l, c := ready(t)
	id, created, err := control.Init(t.Context(), l, control.Settings{ClusterName: "other", Replicas: 1})
	if err != nil || created || id != c.ClusterID() || id == "" || c.ClusterName() != "main" {
		t.Errorf("second init: id %q, created %t, error %v; the first gave %q to %q", id, created, err, c.ClusterID(),
			c.ClusterName())
	}
}

func TestInitAtOnceGivesOneID(t *testing.T) {
	l := connect(t, broker(t))
	ids := make([]string, 4)
	var wg sync.WaitGroup
	for i := range ids {
		wg.Go(func() {
			id, _, err := control.Init(t.Context(), l, control.Settings{ClusterName: "main", Replicas: 1})
			if err != nil {
				t.Error(err)
			}
			ids[i] = id
		})
	}
	wg.Wait()
	for _, id := range ids {
		if id != ids[0] || id == "" {
			t.Errorf("ids %q", ids)
		}
	}
	if got := instance(t, l).ClusterID(); got != ids[0] {
		t.Errorf("an instance reads %q", got)
	}
}

func TestChangeIsCompareAndSet(t *testing.T) {
	_, c := ready(t)
	at, err := c.Change(t.Context(), set(t, "a", control.None, 1))
	if err != nil {
		t.Fatal(err)
	}
	got, ok := c.Get("thing", "a")
	if !ok || got.Offset != at || string(got.Value) != "1" || got.Actor != "tester" || got.Reason != "because" {
		t.Errorf("after the change: %+v", got)
	}
	if _, err := c.Change(t.Context(), set(t, "a", control.None, 2)); reasonOf(err) != autobus.ReasonControlConflict {
		t.Errorf("a change from a stale state: %v", err)
	}
	again, err := c.Change(t.Context(), set(t, "a", at, 2))
	if err != nil || again <= at {
		t.Errorf("a change from the current state: offset %d, error %v", again, err)
	}
}

// Of many that change the same thing at once through several instances, exactly one wins each round, and all
// instances agree.
func TestConcurrentChangesHaveOneWinner(t *testing.T) {
	l, first := ready(t)
	instances := []*control.Log{first, instance(t, l), instance(t, l)}
	prev := int64(control.None)
	for round := range 10 {
		var mu sync.Mutex
		var winners []int64
		var wg sync.WaitGroup
		for i, c := range instances {
			wg.Go(func() {
				at, err := c.Change(t.Context(), set(t, "race", prev, fmt.Sprintf("round %d instance %d", round, i)))
				mu.Lock()
				defer mu.Unlock()
				switch {
				case err == nil:
					winners = append(winners, at)
				case reasonOf(err) != autobus.ReasonControlConflict:
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if len(winners) != 1 {
			t.Fatalf("round %d: winners at %v", round, winners)
		}
		prev = winners[0]
	}
	want, _ := first.Get("thing", "race")
	for i, c := range instances {
		if err := c.Barrier(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got, _ := c.Get("thing", "race"); got.Offset != want.Offset || string(got.Value) != string(want.Value) {
			t.Errorf("instance %d has %s, another one %s", i, got.Value, want.Value)
		}
	}
}

func TestBarrierShowsWhatOthersChanged(t *testing.T) {
	l, a := ready(t)
	b := instance(t, l)
	if _, err := a.Change(t.Context(), set(t, "x", control.None, true)); err != nil {
		t.Fatal(err)
	}
	if err := b.Barrier(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, ok := b.Get("thing", "x"); !ok {
		t.Error("the barrier returned before the change was applied")
	}
}

func TestWatchSeesStateThenChangesInOrder(t *testing.T) {
	_, c := ready(t)
	at, err := c.Change(t.Context(), set(t, "w", control.None, 1))
	if err != nil {
		t.Fatal(err)
	}
	var seen []string
	c.Watch("thing", func(r control.Record) {
		value := string(r.Value)
		if r.Removed() {
			value = "removed"
		}
		seen = append(seen, value)
	})
	if at, err = c.Change(t.Context(), set(t, "w", at, 2)); err != nil {
		t.Fatal(err)
	}
	removal := set(t, "w", at, nil)
	removal.Value = nil
	if at, err = c.Change(t.Context(), removal); err != nil {
		t.Fatal(err)
	}
	if got, ok := c.Get("thing", "w"); ok || got.Offset != at {
		t.Errorf("after the removal: %+v, %t", got, ok)
	}
	if _, err := c.Change(t.Context(), set(t, "w", at, 3)); err != nil {
		t.Fatalf("made again: %v", err)
	}
	if want := []string{"1", "2", "removed", "3"}; fmt.Sprint(seen) != fmt.Sprint(want) {
		t.Errorf("watched %v, want %v", seen, want)
	}
}

func TestALostControlLogIsNotAFreshOne(t *testing.T) {
	l := connect(t, broker(t))
	if _, err := control.Open(t.Context(), l, slog.Default()); reasonOf(err) != autobus.ReasonClusterNotReady {
		t.Errorf("a fresh cluster: %v", err)
	}
	if _, err := l.CreateTopic(t.Context(), kafka.NewTopic{Name: "orders.order.placed.v1", Partitions: 1,
		Replicas: 1}); err != nil {
		t.Fatal(err)
	}
	if _, err := control.Open(t.Context(), l, slog.Default()); reasonOf(err) != autobus.ReasonControlLost {
		t.Errorf("no control log beside a type's topic: %v", err)
	}
	s := control.Settings{ClusterName: "main", Replicas: 1}
	if _, _, err := control.Init(t.Context(), l, s); reasonOf(err) != autobus.ReasonControlLost {
		t.Errorf("init beside a type's topic: %v", err)
	}
	empty := kafka.NewTopic{Name: control.Topic, Partitions: 1, Replicas: 1}
	if _, err := l.CreateTopic(t.Context(), empty); err != nil {
		t.Fatal(err)
	}
	if _, err := control.Open(t.Context(), l, slog.Default()); reasonOf(err) != autobus.ReasonControlLost {
		t.Errorf("an empty control log beside a type's topic: %v", err)
	}
	s.Adopt = true
	if _, created, err := control.Init(t.Context(), l, s); err != nil || !created {
		t.Errorf("init that adopts: created %t, error %v", created, err)
	}
	instance(t, l)
}

// Somebody deletes the control log under a running instance: it stops, instead of going on with what it remembers.
func TestADeletedControlLogStopsTheInstance(t *testing.T) {
	t.Parallel() // it takes the client ten seconds to believe it
	e := broker(t)
	l := connect(t, e)
	if _, _, err := control.Init(t.Context(), l, control.Settings{ClusterName: "main", Replicas: 1}); err != nil {
		t.Fatal(err)
	}
	c, err := control.Open(t.Context(), l, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ran := make(chan error, 1)
	go func() { ran <- c.Run(t.Context()) }()
	if _, err := c.Change(t.Context(), set(t, "a", control.None, 1)); err != nil {
		t.Fatal(err)
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(e.Addr()))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if _, err := kadm.NewClient(client).DeleteTopic(t.Context(), control.Topic); err != nil {
		t.Fatal(err)
	}
	if err := <-ran; reasonOf(err) != autobus.ReasonControlLost {
		t.Errorf("Run ended with %v", err)
	}
}

// A value as large as is allowed fits with its envelope; one byte more is refused, and certainly not written.
func TestTheLargestValueFits(t *testing.T) {
	_, c := ready(t)
	text := strings.Repeat("x", autobus.MaxEventBytes-2)
	at, err := c.Change(t.Context(), set(t, "large", control.None, text))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Change(t.Context(), set(t, "large", at, text+"x")); reasonOf(err) != autobus.ReasonEventTooLarge {
		t.Errorf("a larger one: %v", err)
	}
}

func TestGarbageInTheLogDoesNotCount(t *testing.T) {
	l, c := ready(t)
	for _, garbage := range []string{"", "not json", `{"version":0,"kind":"thing","name":"g","prev":-1}`,
		`{"version":1}`} {
		done := make(chan error, 1)
		if err := l.Append(&kafka.Append{TP: kafka.TP{Topic: control.Topic},
			Records: []kafka.Record{{Value: []byte(garbage), Time: time.Now()}},
			Done:    func(_ int, _ int64, err error) { done <- err }}); err != nil {
			t.Fatal(err)
		}
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
	if _, err := c.Change(t.Context(), set(t, "after", control.None, 1)); err != nil {
		t.Errorf("a change behind garbage: %v", err)
	}
	if got := c.All("thing"); len(got) != 1 {
		t.Errorf("state: %+v", got)
	}
}

func TestANewerValueIsNotGuessed(t *testing.T) {
	_, c := ready(t)
	r := set(t, "future", control.None, map[string]any{"shape": "unheard of"})
	r.Version = control.Version + 1
	at, err := c.Change(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	got, ok := c.Get("thing", "future")
	if !ok || got.Offset != at {
		t.Fatal("the envelope of a newer record still counts")
	}
	if _, err := control.Decode[map[string]string](got); reasonOf(err) != autobus.ReasonTypeUnreadable {
		t.Errorf("decode a newer value: %v", err)
	}
}

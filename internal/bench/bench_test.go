// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/kafka"
)

// site is an embedded broker in this process.
func site(t *testing.T) (*kafka.Log, Target) {
	t.Helper()
	logger := slog.New(slog.DiscardHandler)
	broker, err := kafka.OpenEmbedded(kafka.EmbeddedConfig{Addr: "127.0.0.1:0", Logger: logger})
	if err != nil {
		t.Fatal(err)
	}
	target := Target{Kafka: kafka.Config{Name: "test", Brokers: []string{broker.Addr()}, Logger: logger}}
	log, err := kafka.Open(t.Context(), target.Kafka)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(log.Close(context.Background()), broker.Close()); err != nil {
			t.Error(err)
		}
	})
	return log, target
}

var quick = Plan{WarmUp: 20 * time.Millisecond, Round: 50 * time.Millisecond, Rounds: 2}

func TestDirect(t *testing.T) {
	log, target := site(t)
	target.Broker = []int{os.Getpid()}
	told := 0
	row, err := Run(t.Context(), log, Case{Mode: Direct, Value: JSON, Size: 100, Batch: 10, Callers: 3, Clients: 2,
		Partitions: 3}, quick, target, func(n int, r Round) {
		if told++; n != told || r.Direct.Events == 0 {
			t.Errorf("round %d: %+v", n, r)
		}
	})
	if err != nil || told != 2 || len(row.Rounds) != 2 {
		t.Fatalf("%d rounds told: %v", told, err)
	}
	warm := row.Written.Acknowledged
	for _, r := range row.Rounds {
		warm -= r.Direct.Events
		d := r.Direct
		if d.Events%10 != 0 || d.PerSecond <= 0 || d.P50 <= 0 || d.P99 < d.P50 || d.Max < d.P99 || d.CPU.Client <= 0 ||
			d.CPU.Total == nil || *d.CPU.Total != d.CPU.Client+*d.CPU.Broker || d.CPU.Gateway != nil {
			t.Errorf("result %+v", d)
		}
	}
	if warm < 3*10 || row.Written.InTopics != row.Written.Acknowledged {
		t.Errorf("%d events beside the rounds, %+v", warm, row.Written)
	}
	if s := row.Direct.PerSecond; s.Min > s.Median || s.Median > s.Max || s.Min <= 0 || row.Ratio != (Ratio{}) {
		t.Errorf("summary %+v, ratio %+v", s, row.Ratio)
	}
	topics, err := log.Topics(t.Context())
	if err != nil || len(topics) != 0 {
		t.Errorf("topics are left: %v %v", topics, err)
	}
}

// Whoever waits for a broker that is gone is given up with the run.
func TestABrokerThatIsGone(t *testing.T) {
	logger := slog.New(slog.DiscardHandler)
	broker, err := kafka.OpenEmbedded(kafka.EmbeddedConfig{Addr: "127.0.0.1:0", Logger: logger})
	if err != nil {
		t.Fatal(err)
	}
	target := Target{Kafka: kafka.Config{Name: "test", Brokers: []string{broker.Addr()}, Logger: logger}}
	log, err := kafka.Open(t.Context(), target.Kafka)
	if err != nil {
		t.Fatal(err)
	}
	why := errors.New("the gateway ended")
	ctx, cancel := context.WithCancelCause(t.Context())
	ended := make(chan error, 1)
	go func() {
		plan := quick
		plan.Rounds = 1000
		_, err := Run(ctx, log, Case{Mode: Direct, Value: JSON, Size: 100, Batch: 10, Callers: 3, Clients: 1, Partitions: 1},
			plan, target, func(n int, _ Round) {
				if n == 1 {
					if err := broker.Close(); err != nil {
						t.Error(err)
					}
					time.AfterFunc(200*time.Millisecond, func() { cancel(why) }) // in the round that follows, which has no end
				}
			})
		ended <- err
	}()
	select {
	case err := <-ended:
		if err == nil {
			t.Error("a run without a broker succeeded")
		}
	case <-time.After(time.Minute):
		t.Error("the run does not end")
	}
	over, stop := context.WithCancel(context.Background())
	stop()
	_ = log.Close(over) // there is nobody to say goodbye to
}

// lossy is a bus that writes to the topic and, if told so, leaves one event out.
type lossy struct {
	autobus.Bus
	log   *kafka.Log
	loses bool
	lost  atomic.Bool
}

func (l *lossy) Publish(_ context.Context, b *autobus.Batch) error {
	if err := b.Open(); err != nil {
		return err
	}
	for i, e := range b.Events {
		written := autobus.Receipt{Status: autobus.Written}
		if l.loses && l.lost.CompareAndSwap(false, true) {
			b.Resolve(i, written)
			continue
		}
		if err := l.log.Append(&kafka.Append{TP: kafka.TP{Topic: e.Type}, Records: []kafka.Record{{Value: e.Data}},
			Done: func(int, int64, error) { b.Resolve(i, written) }}); err != nil {
			return err
		}
	}
	return nil
}

// Rounds alternate, ratios are those of a round, and a bus that loses an event is found out.
func TestPublish(t *testing.T) {
	for _, loses := range []bool{false, true} {
		log, target := site(t)
		dialed, hungUp := 0, 0
		target.Dial = func(context.Context) (autobus.Bus, func(), error) {
			dialed++
			return &lossy{log: log, loses: loses && dialed == 1}, func() { hungUp++ }, nil
		}
		topic := kafka.NewTopic{Name: TypeName(JSON, 2), Partitions: 2, Replicas: 1}
		if _, err := log.CreateTopic(t.Context(), topic); err != nil {
			t.Fatal(err)
		}
		row, err := Run(t.Context(), log, Case{Mode: Publish, Transport: Frames, Value: JSON, Size: 100, Batch: 2,
			Callers: 4, Connections: 2, Clients: 1, Partitions: 2}, quick, target, func(int, Round) {})
		if dialed != 4 || hungUp != dialed { // the warm-up has its own
			t.Errorf("%d connections opened, %d closed", dialed, hungUp)
		}
		if loses {
			if !errors.Is(err, &autobus.Error{Reason: autobus.ReasonInternal}) ||
				row.Written.InTopics != row.Written.Acknowledged-1 {
				t.Errorf("a lost event was not found out: %v %+v", err, row.Written)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range row.Rounds {
			if r.Direct.Events == 0 || r.Bus.Events == 0 || r.Bus.CPU.Total != nil {
				t.Errorf("round %+v", r)
			}
		}
		if s := row.Ratio.Slower; s.Min <= 0 || s.Min > s.Max || row.Ratio.CPU != nil {
			t.Errorf("ratio %+v", row.Ratio)
		}
	}
}

// hanging is a bus that has nothing to tell, as a client has none whose gateway is gone.
type hanging struct{ autobus.Bus }

func (hanging) Subscribe(ctx context.Context, _ autobus.Subscription, _ autobus.Handler) error {
	<-ctx.Done()
	return nil
}

func TestAGatewayThatIsGone(t *testing.T) {
	log, target := site(t)
	target.Dial = func(context.Context) (autobus.Bus, func(), error) { return hanging{}, func() {}, nil }
	topic := kafka.NewTopic{Name: TypeName(JSON, 1), Partitions: 1, Replicas: 1}
	if _, err := log.CreateTopic(t.Context(), topic); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() {
		_, err := Run(t.Context(), log, Case{Mode: Consume, Value: JSON, Size: 100, Batch: 1, Callers: 1, Connections: 1,
			Clients: 1, Partitions: 1, Events: 100, Window: 10}, Plan{Rounds: 1, Stall: 5 * time.Second}, target,
			func(int, Round) {})
		ended <- err
	}()
	select {
	case err := <-ended:
		if !errors.Is(err, &autobus.Error{Reason: autobus.ReasonInternal}) {
			t.Errorf("it ends with %v", err)
		}
	case <-time.After(time.Minute):
		t.Fatal("the round does not end")
	}
}

func TestSpread(t *testing.T) {
	rounds := func(values ...float64) (out []Round) {
		for _, v := range values {
			out = append(out, Round{Direct: Result{P50: v}})
		}
		return out
	}
	for _, c := range []struct {
		in   []Round
		want Spread
	}{
		{nil, Spread{}}, {rounds(3), Spread{3, 3, 3}}, {rounds(3, 1), Spread{1, 2, 3}}, {rounds(9, 1, 2), Spread{1, 2, 9}},
	} {
		if got := spread(c.in, func(r Round) float64 { return r.Direct.P50 }); got != c.want {
			t.Errorf("%v, want %v", got, c.want)
		}
	}
}

// SPDX-License-Identifier: Apache-2.0

package bustest

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/autobus-io/autobus/internal/kafka"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// write appends values to a partition, one after the other, each within the given time.
func write(ctx context.Context, l *kafka.Log, tp kafka.TP, values ...string) error {
	for _, v := range values {
		done := make(chan error, 1)
		err := l.Append(&kafka.Append{TP: tp, Records: []kafka.Record{{Value: []byte(v), Time: time.Now()}},
			Done: func(_ int, _ int64, err error) { done <- err }})
		if err == nil {
			select {
			case err = <-done:
			case <-ctx.Done():
				err = ctx.Err()
			}
		}
		if err != nil {
			return fmt.Errorf("append %q: %w", v, err)
		}
	}
	return nil
}

func TestReadAllOnEmbedded(t *testing.T) {
	l := Embedded(t).Open(t)
	topic := Prefix() + ".read"
	if _, err := l.CreateTopic(t.Context(), kafka.NewTopic{Name: topic, Partitions: 3, Replicas: 1}); err != nil {
		t.Fatal(err)
	}
	if got := ReadAll(t, l, topic); len(got) != 0 {
		t.Errorf("an empty topic has %d records", len(got))
	}
	if err := write(t.Context(), l, kafka.TP{Topic: topic, Partition: 1}, "a", "b", "c"); err != nil {
		t.Fatal(err)
	}
	if err := write(t.Context(), l, kafka.TP{Topic: topic, Partition: 0}, "d"); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, r := range ReadAll(t, l, topic) {
		got = append(got, fmt.Sprintf("%d/%d %s", r.Partition, r.Offset, r.Value))
	}
	if want := []string{"0/0 d", "1/0 a", "1/1 b", "1/2 c"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestStateOfEmbedded(t *testing.T) {
	k := Embedded(t)
	l := k.Open(t)
	topic := Prefix() + ".state"
	if _, err := l.CreateTopic(t.Context(), kafka.NewTopic{Name: topic, Partitions: 2, Replicas: 1}); err != nil {
		t.Fatal(err)
	}
	ps, err := k.state(t.Context(), topic)
	if err != nil || len(ps) != 2 || ps[1].Leader < 0 || len(ps[1].ISR) != 1 {
		t.Errorf("got %+v, %v", ps, err)
	}
	if _, err := k.state(t.Context(), "no-such-topic"); err == nil {
		t.Error("a topic that does not exist has a state")
	}
}

// TestKillBroker proves the harness itself: a killed leader is gone, another takes over, nothing acknowledged is lost,
// and the broker comes back into the in-sync replicas.
func TestKillBroker(t *testing.T) {
	k := Cluster(t)
	l := k.Open(t)
	tp := kafka.TP{Topic: "_" + Prefix() + ".kill"}
	if _, err := l.CreateTopic(t.Context(), kafka.NewTopic{Name: tp.Topic, Partitions: 1, Replicas: 3,
		Configs: map[string]string{"min.insync.replicas": "2"}}); err != nil {
		t.Fatal(err)
	}
	k.WaitISR(t, tp.Topic)
	ctx, cancel := context.WithTimeout(t.Context(), 2*Patience)
	defer cancel()
	if err := write(ctx, l, tp, "before"); err != nil {
		t.Fatal(err)
	}
	leader := k.Leader(t, tp.Topic, tp.Partition)
	k.KillBroker(t, leader)
	Eventually(t, "another leader", func(ctx context.Context) bool {
		ps, err := k.state(ctx, tp.Topic)
		return err == nil && ps[0].Leader >= 0 && ps[0].Leader != leader
	})
	if err := write(ctx, l, tp, "without it"); err != nil {
		t.Fatal(err)
	}
	k.RestartBroker(t, leader)
	k.WaitISR(t, tp.Topic)
	if err := write(ctx, l, tp, "after"); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, r := range ReadAll(t, l, tp.Topic) {
		got = append(got, string(r.Value))
	}
	if want := []string{"before", "without it", "after"}; !slices.Equal(got, want) {
		t.Errorf("the log has %q, want %q", got, want)
	}
}

func TestSpecsNameEveryType(t *testing.T) {
	types := NewTypes("x")
	files := types.LateSpecs()
	for _, name := range []string{types.Keyed, types.Number, types.Keyless, types.Sarama, types.Small, types.Weak,
		types.Loose, types.Work, types.Late} {
		if text := files["events/conf/"+name+".yaml"]; !strings.Contains(string(text), "address: "+name+"\n") {
			t.Errorf("no spec of %s", name)
		}
	}
}

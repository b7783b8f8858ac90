// SPDX-License-Identifier: Apache-2.0

package kafka_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/bustest"
	"github.com/autobus-io/autobus/internal/kafka"
)

// On a new cluster nobody coordinates a group until the first question made the topic of commits.
func TestTheFirstGroupOfAClusterIsWaitedFor(t *testing.T) {
	c, l := faulty(t, 1, nil)
	for name, ask := range map[string]func(group string) error{
		"committed": func(group string) error { _, err := l.Committed(t.Context(), group); return err },
		"describe":  func(group string) error { _, err := l.DescribeGroup(t.Context(), group); return err },
		"delete":    func(group string) error { return l.DeleteGroup(t.Context(), group) },
		"join":      func(group string) error { join(t, l, "w", group, "t").untilHolds(2); return nil },
	} {
		fault := c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.FindCoordinator}, Err: kerr.CoordinatorNotAvailable, Count: 2})
		if err := ask(name); err != nil || fault.Hits() == 0 {
			t.Errorf("%s: %v; refused %d times", name, err, fault.Hits())
		}
		fault.Remove()
		moving := c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.OffsetFetch, kmsg.DescribeGroups, kmsg.DeleteGroups,
			kmsg.JoinGroup}, Group: name + "2", Err: kerr.NotCoordinator})
		if err := ask(name + "2"); err != nil || moving.Hits() == 0 {
			t.Errorf("%s while the coordinator moves: %v; refused %d times", name, err, moving.Hits())
		}
		moving.Remove()
	}
}

// Brokers take 4,096 bytes of metadata. More is refused for its partition alone; only real brokers do that.
func TestOversizedMetadataIsRefusedForItsPartitionAlone(t *testing.T) {
	l := bustest.Cluster(t).Open(t)
	topic := bustest.Prefix()
	create(t, l, topic, 2, nil)
	ps := partitions(topic, 2)
	w := join(t, l, "w", topic, topic)
	w.untilHolds(2)
	err := w.m.Commit(t.Context(), map[kafka.TP]kafka.Commit{
		ps[0]: {Offset: 1, Metadata: strings.Repeat("m", 4097)},
		ps[1]: {Offset: 1, Metadata: strings.Repeat("m", 4096)}})
	if errs, ok := errors.AsType[kafka.CommitErrors](err); !ok || len(errs) != 1 ||
		!errors.Is(errs[ps[0]], kafka.ErrMetadataTooLarge) || errors.Is(err, kafka.ErrFenced) {
		t.Errorf("commit: %v", err)
	}
	if got, err := l.Committed(t.Context(), topic); err != nil || len(got) != 1 || len(got[ps[1]].Metadata) != 4096 {
		t.Errorf("committed %d partitions, error %v", len(got), err)
	}
}

func TestInternalTopicsTakeTheLargestEventAndMore(t *testing.T) {
	onBoth(t, func(t *testing.T, l *kafka.Log) {
		name := bustest.Prefix()
		for i := range 2 {
			created, err := l.CreateInternal(t.Context(), name, 2, map[string]string{"retention.ms": "-1"})
			if err != nil || created != (i == 0) {
				t.Fatalf("created %t, error %v", created, err)
			}
		}
		got := write(t, l, kafka.TP{Topic: name, Partition: 1},
			strings.Repeat("x", autobus.MaxEventBytes+autobus.InternalTopicExtra))
		if got[0].err != nil {
			t.Error(got[0].err)
		}
		topics, err := l.Topics(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		cluster, err := l.Describe(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		replicas, minISR := 1, 1
		if len(cluster.Brokers) >= 3 {
			replicas, minISR = 3, 2
		}
		if d := topics[name]; d.Partitions != 2 || d.Replicas != replicas || d.MinISR() != minISR || d.Unclean() ||
			d.Configs["retention.ms"] != "-1" {
			t.Errorf("topic %+v", d)
		}
	})
}

// Leave keeps to its time when no broker answers, and ends a Start that waits.
func TestLeaveKeepsItsTime(t *testing.T) {
	e, l := open(t, kafka.Config{})
	create(t, l, "t", 1, nil)
	asked, ended := make(chan struct{}), make(chan error, 1)
	m, err := kafka.JoinQuickly(t.Context(), l, kafka.Group{ID: "g", Topics: []string{"t"},
		Start: func(ctx context.Context, _ map[kafka.TP]kafka.Commit) (map[kafka.TP]int64, error) {
			close(asked)
			<-ctx.Done()
			return nil, ctx.Err()
		},
		Revoked: func(_ context.Context, tps []kafka.TP) { t.Errorf("revoked what was never started: %v", tps) }})
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		_, _, err := m.Poll(context.Background())
		ended <- err
	}()
	<-asked
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	begun := time.Now()
	if err := m.Leave(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("left without a broker: %v", err)
	}
	if took := time.Since(begun); took > 5*time.Second {
		t.Errorf("leaving took %s", took)
	}
	if err := <-ended; !errors.Is(err, kafka.ErrLeft) {
		t.Errorf("Poll ended with %v", err)
	}
	if err := m.Leave(t.Context()); err != nil {
		t.Errorf("leaving twice: %v", err)
	}
}

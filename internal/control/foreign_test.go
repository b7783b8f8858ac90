// SPDX-License-Identifier: Apache-2.0

package control_test

import (
	"context"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/control"
	"github.com/autobus-io/autobus/internal/kafka"
)

// transaction writes a record by a transaction of somebody else, and ends it as told.
func transaction(t *testing.T, e *kafka.Embedded, topic string, value []byte, end ...kgo.TransactionEndTry) {
	t.Helper()
	c, err := kgo.NewClient(kgo.SeedBrokers(e.Addr()), kgo.TransactionalID("foreign"),
		kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	if err := c.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	record := &kgo.Record{Topic: topic, Key: []byte("k"), Value: value}
	if err := c.ProduceSync(t.Context(), record).FirstErr(); err != nil {
		t.Fatal(err)
	}
	for _, how := range end {
		if err := c.EndTransaction(t.Context(), how); err != nil {
			t.Fatal(err)
		}
	}
}

// Somebody writes into the bus's own logs by a transaction. Its markers take offsets, an open one holds back what is
// committed: neither may keep an instance from working, or from starting.
func TestForeignTransactionsHoldUpNothing(t *testing.T) {
	for name, end := range map[string][]kgo.TransactionEndTry{
		"committed": {kgo.TryCommit}, "aborted": {kgo.TryAbort}, "open": nil,
	} {
		t.Run(name, func(t *testing.T) {
			e := broker(t)
			l := connect(t, e)
			if _, _, err := control.Init(t.Context(), l, control.Settings{ClusterName: "main", Replicas: 1}); err != nil {
				t.Fatal(err)
			}
			c, st := instance(t, l), follow(t, state(t, l, slog.Default()))
			for _, topic := range []string{control.Topic, control.StateTopic} {
				transaction(t, e, topic, []byte("garbage"), end...)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			if err := c.Barrier(ctx); err != nil {
				t.Errorf("barrier of the control log: %v", err)
			}
			if err := st.Barrier(ctx); err != nil {
				t.Errorf("barrier of the state log: %v", err)
			}
			instance(t, l) // another start
			follow(t, state(t, l, slog.Default()))
			if _, err := c.Change(ctx, set(t, "after", control.None, 1)); err != nil {
				t.Errorf("a change behind it: %v", err)
			}
		})
	}
}

// The first record names the cluster for good, whatever a later one says.
func TestTheClusterKeepsItsName(t *testing.T) {
	l, c := ready(t)
	r, err := control.NewRecord(control.KindCluster, c.ClusterName(), 0, control.ClusterValue{ID: "another"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Change(t.Context(), r); err == nil {
		t.Error("the cluster was renamed")
	}
	if again := instance(t, l); again.ClusterID() != c.ClusterID() {
		t.Errorf("after another start it is %s, was %s", again.ClusterID(), c.ClusterID())
	}
}

// A cluster that a newer build prepared is not lost, and not for this build.
func TestAClusterOfANewerVersionIsLeftAlone(t *testing.T) {
	e := broker(t)
	l := connect(t, e)
	if _, err := l.CreateTopic(t.Context(), kafka.NewTopic{Name: control.Topic, Partitions: 1, Replicas: 1}); err != nil {
		t.Fatal(err)
	}
	first := fmt.Appendf(nil, `{"version":%d,"kind":"cluster","name":"main","prev":-1,"change":"X","value":{"realm":1}}`,
		control.Version+1)
	if _, err := l.Write(t.Context(), kafka.Record{TP: kafka.TP{Topic: control.Topic}, Time: time.Now(),
		Value: first}); err != nil {
		t.Fatal(err)
	}
	if _, err := control.Open(t.Context(), l, slog.Default()); reasonOf(err) != autobus.ReasonTypeUnreadable {
		t.Errorf("opened: %v", err)
	}
	if _, _, err := control.Init(t.Context(), l, control.Settings{ClusterName: "main", Replicas: 1}); reasonOf(err) !=
		autobus.ReasonTypeUnreadable {
		t.Errorf("prepared again: %v", err)
	}
}

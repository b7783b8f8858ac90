// SPDX-License-Identifier: Apache-2.0

package bustest

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/autobus-io/autobus/internal/kafka"
)

// Patience is how long a test waits for something that should have happened long before.
const Patience = 60 * time.Second

// Kafka is a cluster that tests talk to.
type Kafka struct {
	Brokers []string // bootstrap list
	dir     string   // of the real cluster's nodes; "" = embedded
}

// Cluster returns the real three-broker cluster of this test run. Without one the test is skipped; under CI=true it
// fails, because there a skip would hide it.
func Cluster(t testing.TB) *Kafka {
	t.Helper()
	brokers, dir := os.Getenv("AUTOBUS_TEST_KAFKA"), os.Getenv("AUTOBUS_TEST_KAFKA_DIR")
	if brokers != "" {
		return ClusterIn(brokers, dir)
	}
	const why = "needs a real Kafka cluster: run it by make test, or after make kafka-up with " +
		"AUTOBUS_TEST_KAFKA=127.0.0.1:29100 AUTOBUS_TEST_KAFKA_DIR=.cache/cluster (absolute)"
	if os.Getenv("CI") == "true" {
		t.Fatal(why)
	}
	t.Skip(why)
	return nil
}

// ClusterIn is a real cluster that tools/kafka.sh started with its data in a folder.
func ClusterIn(brokers, dir string) *Kafka {
	return &Kafka{Brokers: strings.Split(brokers, ","), dir: dir}
}

// Embedded starts an embedded broker with its data in a folder of the test, and ends it with the test.
func Embedded(t testing.TB) *Kafka {
	t.Helper()
	e, err := kafka.OpenEmbedded(kafka.EmbeddedConfig{Dir: t.TempDir(), Addr: "127.0.0.1:0", Logger: Logger(t)})
	if err != nil {
		t.Fatalf("open the embedded broker: %v", err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ran := make(chan error, 1)
	go func() { ran <- e.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ran; err != nil {
			t.Errorf("embedded broker: %v", err)
		}
		if err := e.Close(); err != nil {
			t.Errorf("close the embedded broker: %v", err)
		}
	})
	return &Kafka{Brokers: []string{e.Addr()}}
}

// Open connects to the cluster; the handle is closed with the test.
func (k *Kafka) Open(t testing.TB) *kafka.Log {
	t.Helper()
	return k.OpenAs(t, "autobus-test")
}

// OpenAs is Open under a client id, by which instances of the bus find each other.
func (k *Kafka) OpenAs(t testing.TB, clientID string) *kafka.Log {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	defer cancel()
	l, err := kafka.Open(ctx, kafka.Config{Name: "test", Brokers: k.Brokers, ClientID: clientID, Logger: Logger(t)})
	if err != nil {
		t.Fatalf("connect to %v: %v", k.Brokers, err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		// Appends that a test left in flight settle here with an error; that is no fault of the test.
		_ = l.Close(ctx)
	})
	return l
}

// Prefix returns a first segment for the types and topics of one test that no other test has.
func Prefix() string {
	b := make([]byte, 5)
	_, _ = rand.Read(b) // never fails
	return "t" + hex.EncodeToString(b)
}

// Logger writes warnings and errors into the test's log.
func Logger(t testing.TB) *slog.Logger {
	return slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))
}

// Eventually waits until ok, which is asked again and again, says yes.
func Eventually(t testing.TB, what string, ok func(context.Context) bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), Patience)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for !ok(ctx) {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("waited %s for: %s", Patience, what)
		}
	}
}

// SPDX-License-Identifier: Apache-2.0

// Package conformance runs the conformance suite of internal/bustest against the whole bus: log, control and state log,
// registry and hot path, as cmd/autobus wires them, on the embedded broker and on a real Kafka cluster. It does so in
// process, and through each protocol against a server with the edges: small clients implement autobus.Bus over
// WebSocket, NDJSON, server-sent events and long poll.
package conformance

import (
	"context"
	"flag"
	"maps"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/bus"
	"github.com/autobus-io/autobus/internal/bustest"
	"github.com/autobus-io/autobus/internal/control"
	"github.com/autobus-io/autobus/internal/registry"
	"github.com/autobus-io/autobus/spec"
)

// wide is how many suites run at once: most of each is waiting.
const wide = "4"

func TestMain(m *testing.M) {
	flag.Parse()
	if f := flag.Lookup("test.parallel"); f.Value.String() == f.DefValue {
		_ = f.Value.Set(wide)
	}
	goleak.VerifyTestMain(m)
}

func TestEmbedded(t *testing.T) {
	t.Parallel()
	bustest.Exercise(t, func(t *testing.T, specs map[string][]byte) bustest.Target {
		return open(t, bustest.Embedded(t), specs, true)
	}, bustest.Features{NoDurability: "one process has one copy, so every route is best-effort"})
}

func TestKafka(t *testing.T) {
	t.Parallel()
	k := bustest.Cluster(t)
	bustest.Exercise(t, func(t *testing.T, specs map[string][]byte) bustest.Target {
		return open(t, k, specs, false)
	}, bustest.Features{NoSchedules: sharedDelays})
}

// sharedDelays is why nothing is scheduled on the cluster of a test run: buses of other suites would publish it.
const sharedDelays = "suites that share a cluster would share what is delayed"

// open starts a bus on a cluster and pushes the specs.
func open(t *testing.T, k *bustest.Kafka, specs map[string][]byte, embedded bool) bustest.Target {
	t.Helper()
	_, target := instance(t, k, "conformance", embedded)
	target.Push(t, specs)
	return target
}

// instance starts a bus on a cluster.
func instance(t testing.TB, k *bustest.Kafka, name string, embedded bool) (*bus.Bus, bustest.Target) {
	t.Helper()
	return instanceAt(t, k, name, "", embedded, nil)
}

// instanceAt starts a bus that others reach at an address and that reaches others by dial.
func instanceAt(t testing.TB, k *bustest.Kafka, name, address string, embedded bool,
	dial func(instance, address string) (autobus.Bus, error)) (*bus.Bus, bustest.Target) {
	t.Helper()
	log, logger := k.OpenAs(t, "autobus/"+name+"/"+address), bustest.Logger(t)
	ctx, cancel := context.WithTimeout(t.Context(), bustest.Patience)
	defer cancel()
	replicas := 3
	if embedded {
		replicas = 1
	}
	// The cluster of a test run has topics of other suites by now; they are no reason to refuse it.
	if _, _, err := control.Init(ctx, log, control.Settings{ClusterName: "test", Actor: "conformance",
		Replicas: replicas, Adopt: true}); err != nil {
		t.Fatal(err)
	}
	records, err := control.Open(ctx, log, logger)
	if err != nil {
		t.Fatal(err)
	}
	state, err := control.OpenState(ctx, log, logger)
	if err != nil {
		t.Fatal(err)
	}
	reg := registry.New(registry.Config{Log: log, Control: records, ClusterName: "test", Embedded: embedded,
		Logger: logger})
	var full atomic.Bool
	b := bus.New(bus.Config{Log: log, Control: records, State: state, Snapshot: reg.Snapshot, Instance: name,
		Address: address, Embedded: embedded, Logger: logger, Dial: dial,
		Full: func(int64) *autobus.Error {
			if full.Load() {
				return autobus.NewError(autobus.ReasonStorageFull, "the test says so")
			}
			return nil
		}})
	start(t, records.Run, state.Run, b.Run)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		b.DrainDeliveries(ctx)
		if err := b.Drain(ctx); err != nil {
			t.Errorf("drain: %v", err)
		}
	})
	suite := t.Name()
	push := func(t testing.TB, specs map[string][]byte) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), bustest.Patience)
		defer cancel()
		if !embedded {
			all, done := cluster.with(suite, specs)
			defer done()
			specs = all
		}
		if _, err := reg.Push(ctx, spec.Files(specs), "conformance", "test run"); err != nil {
			t.Fatalf("push the specs: %v", err)
		}
	}
	t.Cleanup(func() { cluster.forget(suite) })
	return b, bustest.Target{Bus: b, Log: log, Full: full.Store, Push: push, API: operators(b)}
}

// start runs parts until the test ends.
func start(t testing.TB, parts ...func(context.Context) error) {
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, len(parts))
	for _, run := range parts {
		go func() { ended <- run(ctx) }()
	}
	t.Cleanup(func() {
		stop()
		for range parts {
			if err := <-ended; err != nil {
				t.Errorf("a part ended with %v, want nil at the end of its context", err)
			}
		}
	})
}

// together is what suites that run side by side have in force on one cluster, of which a push replaces all.
type together struct {
	mu    sync.Mutex
	specs map[string]map[string][]byte // by suite
}

var cluster = together{specs: map[string]map[string][]byte{}}

// with gives the specs of all suites, one of which has these from now on. Until done no other one pushes.
func (s *together) with(suite string, specs map[string][]byte) (all map[string][]byte, done func()) {
	s.mu.Lock()
	s.specs[suite] = specs
	all = map[string][]byte{}
	for _, of := range s.specs {
		maps.Copy(all, of)
	}
	return all, s.mu.Unlock
}

// forget lets the types of a suite go with the next push.
func (s *together) forget(suite string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.specs, suite)
}

// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/control"
	"github.com/autobus-io/autobus/internal/kafka"
	"github.com/autobus-io/autobus/spec"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// broker starts an embedded broker with a control log.
func broker(t *testing.T) *kafka.Log {
	t.Helper()
	e, err := kafka.OpenEmbedded(kafka.EmbeddedConfig{Addr: "127.0.0.1:0", Logger: slog.Default()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.Close() })
	l, err := kafka.Open(t.Context(), kafka.Config{Name: "main", Brokers: []string{e.Addr()}, Logger: slog.Default()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = l.Close(ctx)
	})
	if _, _, err := control.Init(t.Context(), l, control.Settings{ClusterName: "main", Replicas: 1}); err != nil {
		t.Fatal(err)
	}
	return l
}

// instance is a registry as one more gateway has it.
type instance struct {
	*Registry
	control *control.Log
	logged  *syncBuffer
	put     Put // what its edge makes subscriptions by
}

func start(t *testing.T, l *kafka.Log) instance {
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
	logged := &syncBuffer{}
	return instance{New(Config{
		Log: l, Control: c, ClusterName: "main", Embedded: true, Dev: true, Poll: 5 * time.Millisecond,
		Logger: slog.New(slog.NewTextHandler(logged, nil)),
	}), c, logged, nil}
}

// specFile is the spec of orders.<noun>.placed.v1.
func specFile(noun, version, binding string) []byte {
	return fmt.Appendf(nil, `asyncapi: 3.1.0
id: urn:event:orders.%[1]s.placed.v1
info: {title: orders.%[1]s.placed, version: %[2]s, description: Placed., x-owner: team-checkout, x-lifecycle: active,
  tags: [{name: 'kind:event'}]}
channels:
  placed:
    address: orders.%[1]s.placed.v1
    messages: {placed: {$ref: '#/components/messages/placed'}}
    bindings: {kafka: {%[3]s}}
operations:
  publish: {action: send, channel: {$ref: '#/channels/placed'}}
components:
  messages:
    placed:
      name: Placed
      bindings: {kafka: {key: {type: string, x-from: /id}, bindingVersion: 0.5.0}}
      payload: {type: object, required: [id], properties: {id: {type: string}}}
      examples: [{name: small, payload: {id: o-1}}]
`, noun, version, binding)
}

// serviceFile is a service that reads what bundleOf("order") declares, in a group of its name.
func serviceFile(name string) []byte {
	return fmt.Appendf(nil, `asyncapi: 3.1.0
info: {title: %[1]s, version: 1.0.0, contact: {name: team-%[1]s}}
operations:
  onOrder:
    action: receive
    channel: {$ref: '../events/orders/order.placed.v1.yaml#/channels/placed'}
    bindings: {kafka: {groupId: {type: string, const: %[1]s}, bindingVersion: 0.5.0}}
`, name)
}

func bundleOf(nouns ...string) spec.Files {
	files := spec.Files{}
	for _, n := range nouns {
		files["events/orders/"+n+".placed.v1.yaml"] = specFile(n, "1.0.0", "partitions: 3, bindingVersion: 0.5.0")
	}
	return files
}

func has(err error, reason autobus.Reason) bool {
	return errors.Is(err, &autobus.Error{Reason: reason})
}

// syncBuffer takes the log of several goroutines.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

func (s *syncBuffer) count(text string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return bytes.Count(s.b.Bytes(), []byte(text))
}

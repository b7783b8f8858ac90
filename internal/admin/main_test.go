// SPDX-License-Identifier: Apache-2.0

package admin

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/control"
	"github.com/autobus-io/autobus/internal/kafka"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// broker starts an embedded broker with a control log.
func broker(t *testing.T) (*kafka.Embedded, *kafka.Log) {
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
	return e, l
}

// follow opens the control log as one more instance does.
func follow(t *testing.T, l *kafka.Log) *control.Log {
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

func has(err error, reason autobus.Reason) bool {
	return errors.Is(err, &autobus.Error{Reason: reason})
}

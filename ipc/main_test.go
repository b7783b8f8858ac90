// SPDX-License-Identifier: Apache-2.0

package ipc_test

import (
	"context"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/autobustest"
	"github.com/autobus-io/autobus/ipc"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const quotes = "pricing.quote.price.v1"

// patience is how long a test waits for what comes at once.
const patience = 30 * time.Second

// within gives a context with the tests' patience.
func within(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

// open opens a caller that ends with the test.
func open(t *testing.T, bus autobus.Bus) *ipc.Caller {
	t.Helper()
	c, err := ipc.Open(t.Context(), bus)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// serve runs a responder of a subscription until the test ends.
func serve(t *testing.T, bus *autobustest.Bus, name string, handle ipc.HandleFunc) {
	t.Helper()
	bus.Subscription(name, autobus.Policy{Types: []string{quotes}, Start: autobus.Start{Earliest: true}})
	work(t, bus, name, ipc.Answer(bus, name, handle))
}

// work runs a worker until the test ends.
func work(t *testing.T, bus autobus.Bus, name string, handle autobus.HandleFunc) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	w := autobus.Worker{Bus: bus, Subscription: name, Handle: handle, Logger: slog.New(slog.DiscardHandler)}
	go func() { done <- w.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("worker of %s: %v", name, err)
		}
	})
}

// echo answers with the request's own data.
func echo(_ context.Context, r *ipc.Request) (any, error) { return ipc.Raw{Data: r.Data}, nil }

type nonce struct {
	N int `json:"n"`
}

func (n nonce) String() string { return fmt.Sprint(n.N) }

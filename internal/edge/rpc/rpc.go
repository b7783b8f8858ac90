// SPDX-License-Identifier: Apache-2.0

// Package rpc is JSON-RPC 2.0 over HTTP: POST /v1/rpc. The method is an event type, with or without its version, the
// params are the data of a request, and the result is the data of the reply.
//
// Supported: single calls and batches, whose calls run side by side; notifications, which want no reply and are
// answered by nothing; every error object of the standard. Params may be by name or by position, whatever the type's
// schema takes; absent ones are {}. A call whose id is a UUID is published under it, so that one that is sent again is
// not done twice; other ids say nothing to the bus, because every client counts from 1.
//
// Deliberately not supported: several replies to one call, and what is not JSON.
//
// It owns the form of calls and answers and nothing else. It refuses to know Kafka and specs: which type a method
// without a version means, it is told by a function; what params are right, the bus says.
package rpc

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/ipc"
)

// How long calls wait for their replies, and how much one request may hold.
const (
	defaultTimeout = 5 * time.Second
	maxTimeout     = 60 * time.Second
	maxCalls       = 100
	maxBody        = 2 * autobus.MaxEventBytes
)

// Config is what the edge needs.
type Config struct {
	Bus     autobus.Bus
	Callers *ipc.Callers
	Logger  *slog.Logger // nil = none

	// Newest gives the type of the highest version that a method without one names; false = there is none.
	Newest func(method string) (typ string, ok bool)
}

// Edge serves JSON-RPC; it implements edge.Edge.
type Edge struct{ cfg Config }

// New makes the edge.
func New(c Config) *Edge {
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return &Edge{cfg: c}
}

// Name is the edge's name in the list of edges.
func (*Edge) Name() string { return "rpc" }

// Mount registers the route.
func (e *Edge) Mount(mux *http.ServeMux) { mux.HandleFunc("POST /v1/rpc", e.serve) }

// Run has nothing to do between requests.
func (*Edge) Run(ctx context.Context) error {
	<-ctx.Done()
	return nil
}

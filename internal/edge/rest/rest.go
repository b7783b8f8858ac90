// SPDX-License-Identifier: Apache-2.0

// Package rest is the HTTP API of the data plane: publish in every CloudEvents content mode and as NDJSON streamed both
// ways, requests and their replies, tail, subscriptions by long poll and as a stream of NDJSON or server-sent events,
// acks, and the pages that explain problems.
//
// It owns the forms of bodies, headers and query parameters and nothing else: what an event may hold, who may publish
// it and what becomes of it is the bus's to say. It refuses to know Kafka, specs and tokens. Between reading an event
// and Bus.Publish there is neither queue nor goroutine, so the poster gets the brokers' true answer; the only queue
// holds batches that are already appended, in order, and its bound is the back-pressure of a stream.
package rest

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/ipc"
)

// Config is what the edge needs; only Bus has no default.
type Config struct {
	Bus       autobus.Bus
	Logger    *slog.Logger
	Heartbeat time.Duration // silence on a stream after which a heartbeat is sent; 0 = 15 s
	Callers   *ipc.Callers  // by which requests are made; nil = none are taken
	Progress  time.Duration // how long a reader may take nothing before its stream is closed; 0 = 60 s

	// Leave ends a stream at another instance, as DELETE .../sessions/{session} does here; nil = there are no others.
	// Its errors are of the bus: ReasonSessionUnknown where none has it.
	Leave func(ctx context.Context, subscription, session string) error
}

// Edge serves the API; it implements edge.Edge.
type Edge struct {
	bus       autobus.Bus
	callers   *ipc.Callers
	logger    *slog.Logger
	heartbeat time.Duration
	progress  time.Duration
	sessions  sessions
	elsewhere func(ctx context.Context, subscription, session string) error
}

// New makes the edge.
func New(c Config) *Edge {
	e := &Edge{bus: c.Bus, callers: c.Callers, logger: c.Logger, heartbeat: c.Heartbeat, progress: c.Progress,
		elsewhere: c.Leave, sessions: sessions{open: map[session]context.CancelCauseFunc{}}}
	if e.logger == nil {
		e.logger = slog.New(slog.DiscardHandler)
	}
	if e.heartbeat == 0 {
		e.heartbeat = 15 * time.Second
	}
	if e.progress == 0 {
		e.progress = 60 * time.Second
	}
	return e
}

// Name is the edge's name in the list of edges.
func (e *Edge) Name() string { return "rest" }

// Mount registers the routes.
func (e *Edge) Mount(mux *http.ServeMux) {
	mux.HandleFunc("POST /v1/events", e.publish)
	mux.HandleFunc("POST /v1/events/{type}", e.publishTyped)
	mux.HandleFunc("POST /v1/requests/{type}", e.request)
	mux.HandleFunc("GET /v1/requests/{token}", e.resume)
	mux.HandleFunc("GET /v1/tail", e.tail)
	mux.HandleFunc("GET /v1/subscriptions/{name}/events", e.poll)
	mux.HandleFunc("GET /v1/subscriptions/{name}/stream", e.subscribe)
	mux.HandleFunc("DELETE /v1/subscriptions/{name}/sessions/{session}", e.leave)
	mux.HandleFunc("POST /v1/subscriptions/{name}/acks", e.acks)
	mux.HandleFunc("GET /problems/{reason}", problem)
}

// Run has nothing to do between requests.
func (e *Edge) Run(ctx context.Context) error {
	<-ctx.Done()
	return nil
}

// SPDX-License-Identifier: Apache-2.0

// Package ws is the WebSocket protocol: GET /v1/ws, one file per operation.
//
// Supported, under the subprotocol autobus.v1, as text frames with one JSON object each or as binary frames with their
// events behind it (package wire): publish (any number in flight, appended in the order of their frames, in streams),
// forget, subscribe, window, unsubscribe, ack, tail, inbox, auth; hello comes first. Beyond the protocol page:
//   - every subscribe, tail and unsubscribe is answered: {"op":"subscribed"}, for a tail without a subscription, and
//     {"op":"unsubscribed"}, after which nothing of it comes any more;
//   - a tail's events are {"op":"events","seq"} with the seq of the tail; an unsubscribe with that seq and without a
//     subscription ends it; so it is with an inbox, which may name the address of one that was opened before, and from
//     when its replies are wanted;
//   - fields that an operation does not have are refused, as everywhere: they stand for something the caller relies on;
//   - without a seq an ack that is no outcome is answered by {"op":"error","leases"}; the lease still stands.
//
// Under the subprotocol cloudevents.json a text frame is one structured event, published and answered by "published" or
// "error" without a seq; with the query of GET /v1/tail the connection also tails, an event per frame. There is neither
// hello nor drain.
//
// Deliberately not supported: a client without a subprotocol, compression.
//
// One goroutine reads and does what a frame asks in the frames' order, one writes, one per subscription waits in the
// bus. The answer to a publish is queued by whoever settles its last event. When too much is in flight or too little is
// read, reading stops: that is the back-pressure. A client that takes nothing for 10 s, or answers no ping for 10 s, is
// dead. It owns connections and frames; it refuses to know Kafka, groups and tokens.
package ws

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/edge"
)

// Subprotocols, the preferred one first.
const (
	protocolFrames = "autobus.v1"
	protocolEvents = "cloudevents.json"
)

// Bounds of one connection.
const (
	maxFrame         = autobus.MaxBatchBytes + 64<<10 // a whole batch and what stands around it
	maxPublishes     = 64                             // frames whose events are not settled
	maxPublishBytes  = autobus.MaxBatchBytes          // of those frames; one always fits
	maxStreams       = 1024                           // numbered by the client
	maxSubscriptions = 64                             // tails among them
	maxKept          = 64 << 10                       // bytes of an answer, whose memory the next one uses again
	maxUnread        = 1 << 20                        // bytes of frames that the client has still to take

	publishTime = 15 * time.Second // after which an outcome is unknown
	pingEvery   = 20 * time.Second
	pongTime    = 10 * time.Second
	writeTime   = 10 * time.Second      // of what is given to the connection at once
	closeTime   = 2 * time.Second       // for what is still to be sent and the closing handshake
	lookAgain   = 50 * time.Millisecond // for room that other connections gave back
	quietTime   = time.Second           // without a frame, after which a connection that drains is done
)

// Config is what the edge needs; only Bus has no default.
type Config struct {
	Bus      autobus.Bus
	Instance string // told in hello
	Version  string // told in hello
	Logger   *slog.Logger
}

// Edge serves WebSockets; it implements edge.Edge.
type Edge struct {
	bus    autobus.Bus
	logger *slog.Logger
	hello  []byte
}

// New makes the edge.
func New(c Config) *Edge {
	e := &Edge{bus: c.Bus, logger: c.Logger, hello: hello(c.Version, c.Instance)}
	if e.logger == nil {
		e.logger = slog.New(slog.DiscardHandler)
	}
	return e
}

// Name is the edge's name in the list of edges.
func (e *Edge) Name() string { return "ws" }

// Mount registers the route.
func (e *Edge) Mount(mux *http.ServeMux) { mux.HandleFunc("GET /v1/ws", e.serve) }

// Run has nothing to do between connections; the server waits for those that are open.
func (e *Edge) Run(ctx context.Context) error {
	<-ctx.Done()
	return nil
}

// serve lives as long as the connection.
func (e *Edge) serve(w http.ResponseWriter, r *http.Request) {
	protocol, err := offered(r)
	if err != nil {
		edge.WriteProblem(w, r, err)
		return
	}
	tail, err := tailOf(r, protocol)
	if err != nil {
		edge.WriteProblem(w, r, err)
		return
	}
	if err := edge.Occupy(r.Context()); err != nil {
		edge.WriteProblem(w, r, err)
		return
	}
	socket, raw, err := accept(w, r, protocol)
	if err != nil {
		edge.WriteProblem(w, r, err)
		return
	}
	c := newConn(e, r, socket, raw)
	c.frames, c.text = protocol == protocolFrames, c.publishOne
	if c.frames {
		c.text, c.binary = c.readText, c.readBinary
		c.out.push(e.hello)
	}
	if tail != nil {
		c.tailEvents(*tail)
	}
	c.run()
}

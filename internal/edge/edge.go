// SPDX-License-Identifier: Apache-2.0

// Package edge is what all protocols share: the interface a protocol implements, the one table from errors to HTTP
// status, WebSocket close code and exit status, the handler that stands before every route (request id, host, token,
// problems, panics, metrics), the server with its limits and its drain, and the objects of the wire that more than one
// protocol carries: parcels of events and their results, deliveries, frames about a subscription, outcomes.
//
// It refuses to know what is served: protocols are folders below it, and it knows events only by autobus.Error and
// autobus.Principal. An edge never picks a status by hand and never sees a token.
//
// How a request ends early: its context is cancelled when the client leaves, when its token is revoked, or when the
// server's drain is over. Streams ask StreamContext instead, which ends as soon as the drain begins; context.Cause
// then is the *autobus.Error to send as the last word. Streams whose readers still have work to settle ask OnDrain and
// end by themselves; the server waits for them as for any request, also when they took over their connection.
package edge

import (
	"context"
	"net/http"
)

// Edge is one protocol. Mount registers its routes, each with its method; Run does its background work, if any, and
// returns nil once ctx ends.
type Edge interface {
	Name() string
	Mount(mux *http.ServeMux)
	Run(ctx context.Context) error
}

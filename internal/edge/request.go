// SPDX-License-Identifier: Apache-2.0

package edge

import (
	"context"
	"crypto/rand"
	"log/slog"
	"net/http"
	"time"
)

const maxRequestID = 128

type (
	requestKey struct{}
	drainKey   struct{}
)

// request is what Handler knows of a request and everything below may ask.
type request struct {
	id      string
	logger  *slog.Logger
	session *session
}

// RequestID is the id that answers and log lines of this request carry; "" outside of Handler.
func RequestID(ctx context.Context) string {
	r, _ := ctx.Value(requestKey{}).(request)
	return r.id
}

// Logger is the logger of the handler that serves ctx; outside of one it drops everything.
func Logger(ctx context.Context) *slog.Logger {
	if r, ok := ctx.Value(requestKey{}).(request); ok && r.logger != nil {
		return r.logger
	}
	return slog.New(slog.DiscardHandler)
}

// drain is how the server that serves a request goes down.
type drain struct {
	begun  context.Context //nolint:containedctx // ends when the drain begins
	cut    context.Context //nolint:containedctx // ends when requests are cut off
	within time.Duration
}

// StreamContext is the context for answers without an end: it ends with the request and besides as soon as the server
// begins to drain. Its cause is an *autobus.Error unless the client left.
func StreamContext(ctx context.Context) (context.Context, context.CancelCauseFunc) {
	stream, cancel := context.WithCancelCause(ctx)
	d, ok := ctx.Value(drainKey{}).(drain)
	if !ok {
		return stream, cancel
	}
	stop := context.AfterFunc(d.begun, func() { cancel(context.Cause(d.begun)) })
	return stream, func(cause error) {
		stop()
		cancel(cause)
	}
}

// OutcomeContext is for what waits for an outcome of the bus: it ends when the server cuts requests off, not with the
// request. That one net/http ends for reasons that say nothing of the outcome, such as a client that closed its side
// or a deadline of reading, and what would be told then is unknown to nobody but us.
func OutcomeContext(ctx context.Context) (context.Context, context.CancelFunc) {
	outcome, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	stop := func() bool { return true }
	if d, ok := ctx.Value(drainKey{}).(drain); ok {
		stop = context.AfterFunc(d.cut, func() { cancel(context.Cause(d.cut)) })
	}
	return outcome, func() {
		stop()
		cancel(nil)
	}
}

// OnDrain is for answers that go on while the server drains: f is called when that begins, with the time by which the
// answer has to come to its end. stop makes sure that it is not called any more, or reports that it was.
func OnDrain(ctx context.Context, f func(deadline time.Time)) (stop func() bool) {
	d, ok := ctx.Value(drainKey{}).(drain)
	if !ok {
		return func() bool { return true }
	}
	return context.AfterFunc(d.begun, func() { f(time.Now().Add(d.within)) })
}

// takeRequestID keeps the client's id when it is harmless in logs and headers, else makes one.
func takeRequestID(h http.Header) string {
	id := h.Get("X-Request-Id")
	if id == "" || len(id) > maxRequestID {
		return rand.Text()
	}
	for i := range len(id) {
		if c := id[i]; c <= ' ' || c > '~' || c == '"' || c == '\\' {
			return rand.Text()
		}
	}
	return id
}

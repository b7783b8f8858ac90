// SPDX-License-Identifier: Apache-2.0

package rest

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/edge"
)

// subscribe serves GET /v1/subscriptions/{name}/stream: the events of a subscription as they come, in the frames of the
// WebSocket. Outcomes come by POST /v1/subscriptions/{name}/acks.
func (e *Edge) subscribe(w http.ResponseWriter, r *http.Request) {
	window, bad := streamWindow(r)
	if bad != nil {
		edge.WriteProblem(w, r, bad)
		return
	}
	if r.Method == http.MethodHead {
		return // nobody would read what is leased
	}
	if err := edge.Occupy(r.Context()); err != nil {
		edge.WriteProblem(w, r, err)
		return
	}
	ctx, cancel := readerContext(r.Context())
	defer cancel(nil)
	end, bad := e.sessions.add(r, cancel)
	if bad != nil {
		edge.WriteProblem(w, r, bad)
		return
	}
	defer end()
	name := r.PathValue("name")
	f := newFeed(w, e, prefersSSE(r.Header), cancel)
	var told sync.Once
	drain := func(deadline time.Time) { told.Do(func() { f.note(edge.AppendDrain(nil, deadline)) }) }
	defer edge.OnDrain(r.Context(), drain)()
	err := e.feed(ctx, f, autobus.Subscription{
		Name:     name,
		Window:   window,
		Opened:   func(autobus.Address) { f.write(f.begin) },
		Revoke:   func(ls []autobus.Lease) { f.note(edge.AppendRevoke(nil, name, ls)) },
		Lost:     func(p autobus.PositionLost) { f.note(edge.AppendPositionLost(nil, name, p)) },
		Draining: drain,
	}, func(ds []autobus.Delivery) error { return f.leased(name, ds) })
	f.end(r, e.lastWord(ctx, r, err), `{"op":"error","error":`)
}

// leased writes what a subscription brought.
func (f *feed) leased(name string, ds []autobus.Delivery) error {
	if err := f.begin(); err != nil {
		return err
	}
	return edge.Portions(ds, func(part []autobus.Delivery) error {
		f.buf = f.shut(edge.AppendEvents(f.open(f.buf[:0]), name, part))
		return f.send(f.buf)
	})
}

// readerContext is the context of a reader over HTTP, which cannot say goodbye: when it leaves, it has died. A server
// that drains does not end it, the bus does.
func readerContext(request context.Context) (context.Context, context.CancelCauseFunc) {
	ctx, cancel := context.WithCancelCause(context.WithoutCancel(request))
	stop := context.AfterFunc(request, func() {
		if cause, ok := errors.AsType[*autobus.Error](context.Cause(request)); ok {
			cancel(cause) // the token was revoked, or the drain is over
			return
		}
		cancel(autobus.ErrReaderDied)
	})
	return ctx, func(cause error) {
		stop()
		if _, ok := errors.AsType[*autobus.Error](cause); cause != nil && !ok {
			cause = autobus.ErrReaderDied // writing to it failed
		}
		cancel(cause)
	}
}

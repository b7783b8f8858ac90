// SPDX-License-Identifier: Apache-2.0

package rest

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/edge"
)

// tail serves GET /v1/tail: everything that comes, to a reader without a group.
func (e *Edge) tail(w http.ResponseWriter, r *http.Request) {
	sub, bad := edge.TailOf(r, time.Now())
	if bad != nil {
		edge.WriteProblem(w, r, bad)
		return
	}
	if r.Method == http.MethodHead {
		return // an answer without a body has no tail
	}
	if err := edge.Occupy(r.Context()); err != nil {
		edge.WriteProblem(w, r, err)
		return
	}
	ctx, cancel := edge.StreamContext(r.Context())
	defer cancel(nil)
	f := newFeed(w, e, false, cancel)
	switch with, err := edge.Single(r.URL.Query(), "cursors"); {
	case err != nil:
		edge.WriteProblem(w, r, err)
		return
	case with == "true":
		sub.Moved = func(at autobus.TailPosition) { f.write(func() error { return f.moved(at) }) }
	case with != "" && with != "false":
		edge.WriteProblem(w, r, autobus.NewError(autobus.ReasonRequestInvalid, "cursors is %q", edge.Clip(with)).
			WithHint("Use cursors=true to be told where the tail stands."))
		return
	}
	sub.Opened = func(autobus.Address) { f.write(f.begin) }
	err := e.feed(ctx, f, sub, f.tailed)
	f.end(r, e.lastWord(ctx, r, err), `{"error":`)
}

// feed subscribes for a reader and keeps its answer alive meanwhile. Each call of deliver writes what came.
func (e *Edge) feed(
	ctx context.Context, f *feed, sub autobus.Subscription, deliver func(ds []autobus.Delivery) error,
) error {
	beating, stop := context.WithCancel(ctx)
	defer stop()
	var beat sync.WaitGroup
	beat.Go(func() { f.beat(beating, e.heartbeat) })
	err := e.bus.Subscribe(ctx, sub, func(_ context.Context, ds []autobus.Delivery) {
		f.write(func() error { return deliver(ds) })
	})
	stop()
	beat.Wait()
	return err
}

// lastWord is why a feed ends; nil when the client left or nothing is to be said.
func (e *Edge) lastWord(ctx context.Context, r *http.Request, err error) *autobus.Error {
	if ctx.Err() == nil {
		return autobus.AsError(err)
	}
	cause, _ := errors.AsType[*autobus.Error](context.Cause(ctx))
	if cause != nil && cause.Reason == autobus.ReasonSlowConsumer {
		e.logger.Info("slow reader given up", slog.String("request_id", edge.RequestID(r.Context())))
	}
	return cause
}

// moved writes where a tail stands.
func (f *feed) moved(at autobus.TailPosition) error {
	if err := f.begin(); err != nil {
		return err
	}
	line, err := json.Marshal(at)
	if err != nil {
		return err
	}
	f.buf = f.shut(append(f.open(f.buf[:0]), line...))
	return f.send(f.buf)
}

// tailed writes what a tail brought.
func (f *feed) tailed(ds []autobus.Delivery) error {
	if err := f.begin(); err != nil {
		return err
	}
	f.buf = f.buf[:0]
	for i := range ds {
		f.buf = f.shut(edge.AppendTailed(f.open(f.buf), &ds[i]))
	}
	return f.send(f.buf)
}

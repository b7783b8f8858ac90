// SPDX-License-Identifier: Apache-2.0

package autobus

import (
	"context"
	"errors"
	"log/slog"
	"runtime"
	"time"
)

// Defaults of a Worker.
const (
	DefaultGrace       = 25 * time.Second // of Worker.Grace: below the 30 s that Kubernetes gives a pod
	DefaultBatchEvents = 100              // of BatchLimits
	DefaultBatchBytes  = 1 << 20
	DefaultBatchWait   = 100 * time.Millisecond
)

// Causes of the end of a handler's context.
var (
	// ErrLeaseLost: the event is somebody else's now. What the handler returns is told to nobody.
	ErrLeaseLost = errors.New("the lease of the event was lost")
	// ErrWorkTooLong: Worker.MaxWork is over. What the handler returns counts if it returns within the rest of the lease.
	ErrWorkTooLong = errors.New("the handler worked longer than it may")
	// ErrGraceOver: the worker stops, and Worker.Grace is over. It is also what Run returns if a handler runs on
	// nevertheless.
	ErrGraceOver = errors.New("the worker's grace is over")
)

// Work handles the events of a subscription until ctx ends, as a Worker with nothing but defaults.
func Work(ctx context.Context, b Bus, subscription string, handle HandleFunc) error {
	return (&Worker{Bus: b, Subscription: subscription, Handle: handle}).Run(ctx)
}

// Worker handles the events of one subscription. Bus, Subscription and one of Handle and HandleBatch are needed; the
// zero value of everything else is its default. Run may be called several times.
//
// What becomes of an event, its handler's error says: see OutcomeOf. A handler that panics is logged with its stack,
// and the event tried again. Delivery is at least once, so a handler has to bear seeing an event twice; but never twice
// at a time within one Run.
//
// Leases are extended when two thirds of their time are over, from the delivery until the handler returns, also those
// of events that wait for a free handler. Outcomes are told to the bus at once, those that come meanwhile together.
//
// Order needs nothing from the worker. With OrderKey the bus has one event of a key in flight, so any number of
// handlers keep it; with OrderPartition one of a partition, so no more handlers than partitions have work; with
// OrderNone events end in any order.
type Worker struct {
	Bus          Bus
	Subscription string

	// Create makes the subscription when there is none; nil = it has to exist. One that exists with another policy is not
	// changed: Run returns ReasonSubscriptionExists.
	Create *Policy

	Handle HandleFunc // one event

	// HandleBatch handles several events at a time. nil = all are done; Errors = each ends by its own; any other error is
	// every event's. With OrderKey no two of them are of one key. An event that was tried before comes alone, so that one
	// that fails, or panics, takes the others along only once. The context ends when all leases are lost.
	HandleBatch func(ctx context.Context, ds []*Delivery) error
	Limits      BatchLimits // of HandleBatch

	Workers int           // handlers at a time; default 4 for each processor, since most of them wait for something
	Window  *Window       // most events and bytes in hand; nil = the policy's, with HandleBatch a batch more than fit
	MaxWork time.Duration // of one call of a handler, which then loses its lease in the end; 0 = as long as it likes
	Grace   time.Duration // from the end of Run's context to that of the handlers'; default DefaultGrace
	Hooks   []Hooks       // around each event
	Ready   func(is bool) // told when events can come, and when the subscription ended; for health checks; must not wait
	Logger  *slog.Logger  // never told an event's data; nil = slog.Default()
}

// BatchLimits say when a batch is full: at whichever limit is reached first. One event always fits.
type BatchLimits struct {
	Events int           // default DefaultBatchEvents, at most what the window holds
	Bytes  int           // of Event.Size; default DefaultBatchBytes
	Wait   time.Duration // of the first event for others; default DefaultBatchWait
}

// Run handles events until ctx ends, and returns nil then; or until the subscription cannot go on, and says why. An
// end that may pass, such as a gateway that stops, is logged and the subscription opened anew, after 1 s at first, 30 s
// in the end.
//
// When ctx ends, no further handler starts. Those that run go on until they are done or Grace is over, when their
// context ends; their outcomes are told to the bus, and only then the subscription is left. What was not begun, or was
// given up with an error because the grace was over, comes again elsewhere and does not count as an attempt. Run
// returns at most 2 s after the grace, with ErrGraceOver if a handler did not return.
func (w *Worker) Run(ctx context.Context) error {
	if err := w.check(); err != nil {
		return err
	}
	return newCrew(ctx, w.withDefaults()).run(ctx)
}

func (w *Worker) check() error {
	invalid := func(what string) error {
		return NewError(ReasonRequestInvalid, "the worker of %q: %s", clip(w.Subscription), what).
			WithHint("See the documentation of autobus.Worker.")
	}
	switch {
	case w.Bus == nil:
		return invalid("Bus is missing")
	case w.Subscription == "":
		return invalid("Subscription is missing")
	case (w.Handle == nil) == (w.HandleBatch == nil):
		return invalid("it takes one of Handle and HandleBatch")
	case w.Workers < 0, w.MaxWork < 0, w.Grace < 0:
		return invalid("Workers, MaxWork and Grace cannot be negative")
	case w.Limits.Events < 0, w.Limits.Bytes < 0, w.Limits.Wait < 0:
		return invalid("Limits cannot be negative")
	}
	if w.Window != nil {
		if err := w.Window.Check(); err != nil {
			return err
		}
	}
	return nil
}

func (w *Worker) withDefaults() Worker {
	d := *w
	d.Workers = orDefault(d.Workers, 4*runtime.GOMAXPROCS(0))
	d.Grace = orDefault(d.Grace, DefaultGrace)
	if d.Logger == nil {
		d.Logger = slog.Default()
	}
	d.Logger = d.Logger.With("subscription", d.Subscription)
	if d.HandleBatch == nil {
		return d
	}
	l := &d.Limits
	l.Events = orDefault(l.Events, DefaultBatchEvents)
	l.Bytes = orDefault(l.Bytes, DefaultBatchBytes)
	l.Wait = orDefault(l.Wait, DefaultBatchWait)
	window := Window{Events: min((d.Workers+1)*l.Events, MaxWindowEvents),
		Bytes: min((d.Workers+1)*l.Bytes, MaxWindowBytes)}
	if d.Window != nil {
		window = d.Window.WithDefaults()
	}
	d.Window = &window
	// A batch larger than the window would never be full and always wait.
	l.Events, l.Bytes = min(l.Events, window.Events), min(l.Bytes, window.Bytes)
	return d
}

func orDefault[T int | time.Duration | Duration](v, otherwise T) T {
	if v == 0 {
		return otherwise
	}
	return v
}

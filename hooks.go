// SPDX-License-Identifier: Apache-2.0

package autobus

import (
	"context"
	"log/slog"
	"runtime/debug"
	"slices"
)

// Hooks are called around the work on events, for traces, metrics and the like. Each may be nil. They run in the
// goroutine that does the work, so they should not wait. One that panics is logged and changes nothing.
//
// The order is fixed: Before, the handler, Error, Retry, After. Of several Hooks, the first one's Before comes first,
// and its Error, Retry and After come last of their kind. All get the context that the Befores made.
type Hooks struct {
	// Before a handler, whose context it may change; that of a batch handler stays as it is.
	Before func(ctx context.Context, d *Delivery) context.Context
	// Error tells what a handler returned to have the event retried or rejected, that it panicked, or that its outcome
	// did not count: ErrLeaseLost, or the refusal of Bus.Settle, which comes after After and in a goroutine of its own.
	Error func(ctx context.Context, d *Delivery, err error)
	// Retry tells that the event will be asked for again.
	Retry func(ctx context.Context, d *Delivery, o Outcome)
	// After every handler, whatever became of it. The outcome is about to be told to the bus; it is the zero Outcome
	// when nothing will be told, because the lease was lost or the worker stopped.
	After func(ctx context.Context, d *Delivery, o Outcome)

	// BeforePublish may change the event: set a trace context, for example. Its context goes to AfterPublish, and to the
	// bus where the batch has one event.
	BeforePublish func(ctx context.Context, e *Event) context.Context
	// AfterPublish tells the receipt, before anybody else hears of it, in the bus's own goroutine.
	AfterPublish func(ctx context.Context, e *Event, r Receipt)
}

// hookChain calls several Hooks in their order.
type hookChain struct {
	hooks []Hooks
	log   *slog.Logger
}

func newHookChain(hooks []Hooks, log *slog.Logger) hookChain {
	if log == nil {
		log = slog.Default()
	}
	return hookChain{hooks: hooks, log: log}
}

// guard calls a hook; its panic ends here.
func (c hookChain) guard(ctx context.Context, name string, hook func()) {
	defer func() {
		if r := recover(); r != nil {
			c.log.ErrorContext(ctx, "a hook panicked", "hook", name, "panic", r, "stack", string(debug.Stack()))
		}
	}()
	hook()
}

func (c hookChain) before(ctx context.Context, d *Delivery) context.Context {
	for _, h := range c.hooks {
		if h.Before != nil {
			c.guard(ctx, "Before", func() { ctx = or(h.Before(ctx, d), ctx) })
		}
	}
	return ctx
}

// or keeps a hook that returns no context from taking it away from all that follows.
func or(made, otherwise context.Context) context.Context {
	if made == nil {
		return otherwise
	}
	return made
}

func (c hookChain) failed(ctx context.Context, d *Delivery, err error) {
	for _, h := range slices.Backward(c.hooks) {
		if h.Error != nil {
			c.guard(ctx, "Error", func() { h.Error(ctx, d, err) })
		}
	}
}

func (c hookChain) retry(ctx context.Context, d *Delivery, o Outcome) {
	for _, h := range slices.Backward(c.hooks) {
		if h.Retry != nil {
			c.guard(ctx, "Retry", func() { h.Retry(ctx, d, o) })
		}
	}
}

func (c hookChain) after(ctx context.Context, d *Delivery, o Outcome) {
	for _, h := range slices.Backward(c.hooks) {
		if h.After != nil {
			c.guard(ctx, "After", func() { h.After(ctx, d, o) })
		}
	}
}

func (c hookChain) beforePublish(ctx context.Context, e *Event) context.Context {
	for _, h := range c.hooks {
		if h.BeforePublish != nil {
			c.guard(ctx, "BeforePublish", func() { ctx = or(h.BeforePublish(ctx, e), ctx) })
		}
	}
	return ctx
}

func (c hookChain) afterPublish(ctx context.Context, e *Event, r Receipt) {
	for _, h := range slices.Backward(c.hooks) {
		if h.AfterPublish != nil {
			c.guard(ctx, "AfterPublish", func() { h.AfterPublish(ctx, e, r) })
		}
	}
}

// Hooked is a bus that calls BeforePublish and AfterPublish around every event published through it. Without a logger
// the default one hears of hooks that panic. The other Hooks are a Worker's to call.
func Hooked(b Bus, log *slog.Logger, hooks ...Hooks) Bus {
	return &hookedBus{Bus: b, chain: newHookChain(hooks, log)}
}

type hookedBus struct {
	Bus
	chain hookChain
}

// Publish implements Bus.
func (h *hookedBus) Publish(ctx context.Context, b *Batch) error {
	if len(b.Events) == 0 {
		return h.Bus.Publish(ctx, b)
	}
	made := make([]context.Context, len(b.Events))
	after := func(i int, r Receipt) { h.chain.afterPublish(made[i], &b.Events[i], r) }
	unwatch, err := b.watch(after)
	if err != nil {
		return err
	}
	for i := range b.Events {
		made[i] = h.chain.beforePublish(ctx, &b.Events[i])
	}
	if len(made) == 1 {
		ctx = made[0]
	}
	if err := h.Bus.Publish(ctx, b); err != nil {
		unwatch()
		for i := range made {
			after(i, Receipt{Status: Refused, Err: AsError(err)})
		}
		return err
	}
	return nil
}

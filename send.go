// SPDX-License-Identifier: Apache-2.0

package autobus

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"
)

// ErrUnknown is what errors.Is finds in the error of an event that may or may not have been written: the answer did not
// come in time. Send the same Event again, under the same id: the bus does not write it twice as far as it remembers.
var ErrUnknown error = NewError(ReasonOutcomeUnknown, "the event may still be written")

// Send publishes one event and returns when it is written or certainly is not, or when ctx ends:
//
//	_, err := autobus.Send(ctx, bus, "orders.order.placed.v1", order, autobus.WithKey(order.ID))
//
// The data is as NewEvent takes it. The error is nil exactly if the event is written; else it is the *Error of the
// refusal, or one that errors.Is ErrUnknown. Who wants to send again then makes the event by NewEvent first and hands
// it to PublishOne, because a second Send would be another event.
func Send(ctx context.Context, b Bus, typ string, data any, opts ...EventOption) (Receipt, error) {
	return SendAsync(ctx, b, typ, data, opts...).Wait(ctx)
}

// SendAsync publishes one event and does not wait for the brokers. It waits only where the bus has no room for more, as
// long as ctx allows; that ctx ends later does not take the event back. Events of one key are appended in the order of
// the calls; each stands alone, so one that fails does not hold back the next. For that, use a Batch with a Stream.
func SendAsync(ctx context.Context, b Bus, typ string, data any, opts ...EventOption) *Promise {
	e, err := NewEvent(typ, data, opts...)
	if err != nil {
		return &Promise{Event: e, failed: AsError(err), settled: true}
	}
	return PublishAsync(ctx, b, e)
}

// PublishOne publishes an event and returns as Send does. The same event may be handed in again until its outcome is
// known, if it has an id, as those of NewEvent have. Its Data must stay as it is until then, and after an unknown
// outcome for good: it may still be on its way.
func PublishOne(ctx context.Context, b Bus, e Event) (Receipt, error) {
	return PublishAsync(ctx, b, e).Wait(ctx)
}

// PublishAsync publishes an event and does not wait for the brokers. Without an id the event gets one.
func PublishAsync(ctx context.Context, b Bus, e Event) *Promise {
	if e.ID == "" {
		e.ID = NewID(time.Now())
	}
	p := &Promise{Event: e}
	e.Extensions = slices.Clone(e.Extensions) // the bus may add to them, and the event may be sent again meanwhile
	p.batch.Events = []Event{e}
	p.batch.Done = func(*Batch) { p.settle() }
	if err := b.Publish(ctx, &p.batch); err != nil {
		p.failed = unlooked(err)
		p.settle()
	}
	return p
}

// unlooked is the error of a batch that was not looked at. A bus that answers with the end of a context cannot have
// meant that nothing was written.
func unlooked(err error) *Error {
	if _, ours := errors.AsType[*Error](err); !ours &&
		(errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)) {
		return NewError(ReasonOutcomeUnknown, "%v; the event may still be written", err).WithCause(err)
	}
	return AsError(err)
}

// Promise is an event whose outcome may not be known yet.
type Promise struct {
	Event Event // as it was handed to the bus, with its id: what to send again

	batch  Batch
	failed *Error // it did not even become a batch

	mu      sync.Mutex
	settled bool
	then    []func(Receipt, error)
}

// Wait returns the outcome as Send does. It may be called several times. When ctx ends first, the outcome is unknown
// for now, and waiting again may tell it.
func (p *Promise) Wait(ctx context.Context) (Receipt, error) {
	r := p.receipt(ctx)
	return r, r.AsError()
}

func (p *Promise) receipt(ctx context.Context) Receipt {
	switch {
	case p.failed == nil:
		return p.batch.Wait(ctx)[0]
	case p.failed.Reason == ReasonOutcomeUnknown:
		return Receipt{Status: Unknown, Err: p.failed}
	}
	return Receipt{Status: Refused, Err: p.failed}
}

// Then calls f once, in a goroutine of its own, as soon as the outcome is known for good; at once when it is.
func (p *Promise) Then(f func(Receipt, error)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.settled {
		p.then = append(p.then, f)
		return
	}
	go f(p.Wait(context.Background()))
}

func (p *Promise) settle() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.settled = true
	for _, f := range p.then {
		go f(p.Wait(context.Background()))
	}
	p.then = nil
}

// AsError is nil exactly if the event is written: else why not, and errors.Is finds ErrUnknown where nobody knows.
func (r Receipt) AsError() error {
	switch {
	case r.Status == Written:
		return nil
	case r.Status == Refused && r.Err != nil:
		return r.Err
	case r.Status == Refused:
		return NewError(ReasonInternal, "the bus refused the event and did not say why")
	case r.Err != nil && r.Err.Reason == ReasonOutcomeUnknown:
		return r.Err
	case r.Err != nil:
		return NewError(ReasonOutcomeUnknown, "%s; the event may still be written", r.Err.Detail).WithCause(r.Err)
	}
	return NewError(ReasonOutcomeUnknown, "the event may still be written")
}

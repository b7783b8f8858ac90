// SPDX-License-Identifier: Apache-2.0

package ipc

import (
	"context"
	"errors"
	"time"

	"github.com/autobus-io/autobus"
)

// Request is a request as its handler gets it. Its Expiry is when the caller stops waiting; the handler's context ends
// then.
type Request struct {
	*autobus.Delivery
}

// HandleFunc answers a request: by data, as autobus.NewEvent takes it, or Raw; or by an error. See Answer.
type HandleFunc func(ctx context.Context, r *Request) (any, error)

// Serve answers the requests of a subscription until ctx ends, as an autobus.Worker with nothing but defaults does. It
// makes no subscription; for that, for hooks, health and limits, use a Worker with Answer as its handler.
func Serve(ctx context.Context, bus autobus.Bus, subscription string, handle HandleFunc) error {
	return autobus.Work(ctx, bus, subscription, Answer(bus, subscription, handle))
}

// Answer makes the handler of a Worker of the subscription, which publishes the reply and is done when it is written:
//
//	w := autobus.Worker{Bus: bus, Subscription: "pricing", Hooks: hooks, Handle: ipc.Answer(bus, "pricing", price)}
//
// A request whose deadline is over is skipped without a call. What the handler returns instead of an answer:
//   - *Error: an error that the spec declares. It is replied, and the request done.
//   - autobus.RetryAfter: nothing is replied, and the request comes again.
//   - autobus.Skipped: nothing is replied, and the request is done.
//   - any other error, autobus.Rejected among them: the caller is told that the responder failed, and of the reason not
//     more than an *autobus.Error says; the request is rejected, a dead letter, unless the subscription says otherwise.
//
// Where nobody waits for a reply, an answer is dropped, and an error means what it means to a Worker. A handler that
// panics, or whose process dies, is replaced: the request comes again, to another worker as well.
//
// An answer that the bus refuses, because it is too large or not as the spec says, is told to the caller as a failure.
func Answer(bus autobus.Bus, subscription string, handle HandleFunc) autobus.HandleFunc {
	return func(ctx context.Context, d *autobus.Delivery) error {
		if d.Expired(time.Now()) {
			return autobus.Skipped("its deadline is over")
		}
		work, cancel := ctx, context.CancelFunc(func() {})
		if until := d.Expiry(); !until.IsZero() {
			work, cancel = context.WithDeadline(ctx, until)
		}
		result, err := handle(work, &Request{d})
		late := err != nil && errors.Is(work.Err(), context.DeadlineExceeded) && ctx.Err() == nil
		cancel()
		a := answer{bus: bus, subscription: subscription, request: &d.Event}
		kind, said := autobus.OutcomeOf(err).Kind, autobus.SaysOutcome(err)
		declared, isDeclared := errors.AsType[*Error](err)
		switch {
		case d.ReplyTo() == "" && isDeclared:
			return autobus.Rejected(err) // there is nobody to say it to, and it would be said again
		case d.ReplyTo() == "":
			return err
		case err == nil:
			return a.send(ctx, "", result)
		case isDeclared:
			return a.send(ctx, declared.Name, declared.Data)
		case late:
			return autobus.Skipped("its deadline came while it was worked on: " + err.Error())
		case ctx.Err() != nil, kind == autobus.Skip, kind == autobus.Retry && said:
			return err
		}
		return a.fail(ctx, err)
	}
}

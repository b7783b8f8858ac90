// SPDX-License-Identifier: Apache-2.0

package ipc

import (
	"context"
	"errors"
	"time"

	"github.com/autobus-io/autobus"
)

// How long a reply is tried to be written, again and again under the same id; the lease is extended meanwhile.
const (
	replyTime  = 30 * time.Second
	replyPause = 100 * time.Millisecond // doubled each time
)

// answer is the reply to one request on its way.
type answer struct {
	bus          autobus.Bus
	subscription string
	request      *autobus.Event
}

// send publishes a reply. What cannot be published is told to the caller instead, once; that is a failure of the
// responder and returned.
func (a answer) send(ctx context.Context, name string, data any) error {
	e, err := a.event(name, data)
	if err == nil {
		err = a.publish(ctx, e)
	}
	refused, ours := errors.AsType[*autobus.Error](err)
	if err == nil || !ours || refused.Retriable() || refused.Reason == autobus.ReasonReplyAddress {
		return err // an address that is none is the caller's own fault, and he cannot be told
	}
	return a.fail(ctx, autobus.NewError(refused.Reason, "the answer was refused: %s", refused.Detail).WithCause(err))
}

// fail tells the caller that there will be no answer, and why as far as it is his business.
func (a answer) fail(ctx context.Context, why error) error {
	public, ours := errors.AsType[*autobus.Error](why)
	if !ours {
		public = autobus.NewError(autobus.ReasonResponderFailed, "the responder has the reason in its log")
	}
	e, err := a.event(autobus.ErrorProblem, problemOf(public))
	if err == nil {
		err = a.publish(ctx, e)
	}
	if err != nil {
		return errors.Join(why, err)
	}
	return autobus.Rejected(why)
}

func (a answer) event(name string, data any) (autobus.Event, error) {
	opts := []autobus.EventOption{autobus.CausedBy(a.request),
		autobus.WithExtension(autobus.ExtTo, string(a.request.ReplyTo())),
		autobus.WithExtension(autobus.ExtResponder, a.subscription)}
	if name != "" {
		opts = append(opts, autobus.WithExtension(autobus.ExtError, name))
	}
	if raw, ok := data.(Raw); ok {
		data = raw.Data
		opts = append(opts, autobus.WithContentType(raw.ContentType))
	}
	for _, x := range []string{autobus.ExtTraceParent, autobus.ExtTraceState} {
		if v, ok := a.request.Ext(x); ok {
			opts = append(opts, autobus.WithExtension(x, v))
		}
	}
	return autobus.NewEvent(a.request.Type+autobus.ReplySuffix, data, opts...)
}

// publish writes the reply, as long as trying again may help and anybody waits for it.
func (a answer) publish(ctx context.Context, e autobus.Event) error {
	until := time.Now().Add(replyTime)
	if expiry := a.request.Expiry(); !expiry.IsZero() && expiry.Before(until) {
		until = expiry.Add(autobus.ExpiryGrace)
	}
	for pause := replyPause; ; pause *= 2 {
		_, err := autobus.PublishOne(ctx, a.bus, e)
		if err == nil {
			return nil
		}
		refused, ours := errors.AsType[*autobus.Error](err)
		if !ours || !refused.Retriable() || time.Now().Add(pause).After(until) {
			return err
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return err
		}
	}
}

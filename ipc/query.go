// SPDX-License-Identifier: Apache-2.0

package ipc

import (
	"context"
	"errors"
	"iter"
	"slices"
	"time"

	"github.com/autobus-io/autobus"
)

// Query is a request that was sent and whose replies come. It is for one goroutine.
type Query struct {
	caller  *Caller
	ctx     context.Context //nolint:containedctx // of the request: its end is the deadline
	cancel  context.CancelFunc
	id, typ string
	want    int
	unknown error // the request may not be written

	wake chan struct{} // one token

	// Guarded by the caller's mutex.
	responders []string
	known      bool // responders is
	got        map[string]bool
	seen       map[string]bool // ids of replies: one may be read twice, see recall
	queue      []*Reply
	duplicates int
	done       bool // no more is wanted
}

// Result is what came of a request.
type Result struct {
	Got        int
	Missing    []string // subscriptions that serve the type and did not reply
	Duplicates int      // further replies of the same responders, dropped
}

// Ask sends a request and returns when it is written. want is how many replies of different responders are wanted; All
// is one of each subscription that serves the type, and never more than these are waited for.
//
// The data is as autobus.NewEvent takes it. The request's deadline is that of ctx, else DefaultTimeout from now; an
// expirytime that an option sets stays. Errors are the bus's: ReasonNoResponder when no subscription serves the type,
// ReasonDeadlinePassed. A request of which it is not known whether it is written is waited for: see Err.
func (c *Caller) Ask(ctx context.Context, typ string, data any, want int, opts ...autobus.EventOption) (*Query, error) {
	e, err := autobus.NewEvent(typ, data, opts...)
	if err != nil {
		return nil, err
	}
	return c.AskEvent(ctx, e, want)
}

// AskEvent is Ask with an event that is made already. It gets an id if it has none, a reply address and a deadline.
func (c *Caller) AskEvent(ctx context.Context, e autobus.Event, want int) (*Query, error) {
	if want == 0 || want < All {
		return nil, autobus.NewError(autobus.ReasonRequestInvalid, "%d replies cannot be waited for", want).
			WithHint("Ask for 1 or more, or All. What wants no reply is sent by autobus.Send.")
	}
	if err := ctx.Err(); err != nil {
		return nil, autobus.NewError(autobus.ReasonDeadlinePassed, "nothing was asked: %v", err).WithCause(context.Cause(ctx))
	}
	e.Extensions = slices.Clone(e.Extensions)
	if e.ID == "" {
		e.ID = autobus.NewID(time.Now())
	}
	q := &Query{caller: c, id: e.ID, typ: e.Type, want: want, wake: make(chan struct{}, 1), got: map[string]bool{},
		seen: map[string]bool{}}
	if _, has := ctx.Deadline(); has {
		q.ctx, q.cancel = context.WithCancel(ctx)
	} else {
		q.ctx, q.cancel = context.WithTimeout(ctx, DefaultTimeout)
	}
	if deadline, _ := q.ctx.Deadline(); e.Expiry().IsZero() {
		if _, has := e.Ext(autobus.ExtExpiryTime); !has {
			e.SetExt(autobus.ExtExpiryTime, deadline.UTC().Format(time.RFC3339Nano))
		}
	}
	e.SetExt(autobus.ExtReplyTo, string(c.address))
	if err := c.add(q); err != nil {
		q.cancel()
		return nil, err
	}
	rc, err := autobus.PublishOne(q.ctx, c.bus, e)
	switch {
	case errors.Is(err, autobus.ErrUnknown):
		q.unknown = err // the reply will tell
	case err != nil:
		q.Close()
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	q.responders, q.known = rc.Responders, err == nil
	if rc.Duplicate {
		go q.recall()
	}
	q.look()
	return q, nil
}

// recallFor is how far back the replies are looked for to a request that was written before, under the same id. It is
// as long as the bus keeps them.
const recallFor = 15 * time.Minute

// recall looks for replies that came when nobody waited for them.
func (q *Query) recall() {
	c := q.caller
	// Its error says that there is nothing to be found, which is no worse than not to look.
	_ = c.bus.Subscribe(q.ctx, autobus.Subscription{Inbox: true, Address: c.address,
		From: autobus.Start{Time: time.Now().Add(-recallFor)}}, func(_ context.Context, ds []autobus.Delivery) {
		c.mu.Lock()
		defer c.mu.Unlock()
		for i := range ds {
			if id, _ := ds[i].Ext(autobus.ExtCausationID); id == q.id && ds[i].Type == q.typ+autobus.ReplySuffix {
				q.take(ReplyOf(&ds[i].Event))
			}
		}
	})
}

// take keeps a reply, the first of each responder. The caller's mutex is held.
func (q *Query) take(r *Reply) {
	stats := &q.caller.stats
	switch {
	case q.seen[r.ID], q.done:
		return
	case q.got[r.Responder]:
		q.duplicates++
		stats.Duplicates++
	default:
		stats.Replies++
		q.got[r.Responder] = true
		q.queue = append(q.queue, r)
	}
	q.seen[r.ID] = true
	q.look()
}

// ID is the request's.
func (q *Query) ID() string { return q.id }

// Responders are the subscriptions whose workers are to reply, as the bus knew them when it took the request.
func (q *Query) Responders() []string { return q.responders }

// look decides whether more replies are to be waited for. The caller's mutex is held.
func (q *Query) look() {
	all := q.known && len(q.responders) > 0 &&
		!slices.ContainsFunc(q.responders, func(name string) bool { return !q.got[name] })
	if all || q.want > 0 && len(q.got) >= q.want {
		q.done = true
		delete(q.caller.pending, q.id)
	}
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// Next waits for the next reply. nil: no more are wanted, or none came in time; Err tells which.
func (q *Query) Next() *Reply {
	for {
		q.caller.mu.Lock()
		if len(q.queue) > 0 {
			r := q.queue[0]
			q.queue = q.queue[1:]
			q.caller.mu.Unlock()
			return r
		}
		done := q.done
		q.caller.mu.Unlock()
		if done {
			q.Close()
			return nil
		}
		select {
		case <-q.wake:
		case <-q.ctx.Done():
			q.Close()
		case <-q.caller.over:
			q.Close()
		}
	}
}

// Replies gives each reply as it comes, until no more are wanted or the time is over. Leaving the loop gives the others
// up.
func (q *Query) Replies() iter.Seq[*Reply] {
	return func(yield func(*Reply) bool) {
		defer q.Close()
		for r := q.Next(); r != nil; r = q.Next() {
			if !yield(r) {
				return
			}
		}
	}
}

// Close waits for no more replies; those that come are late. It may be called several times.
func (q *Query) Close() {
	q.caller.mu.Lock()
	defer q.caller.mu.Unlock()
	q.done = true
	if q.caller.pending[q.id] == q {
		delete(q.caller.pending, q.id)
	}
	q.cancel()
}

// Result tells what came until now.
func (q *Query) Result() Result {
	q.caller.mu.Lock()
	defer q.caller.mu.Unlock()
	res := Result{Got: len(q.got), Duplicates: q.duplicates}
	for _, name := range q.responders {
		if !q.got[name] {
			res.Missing = append(res.Missing, name)
		}
	}
	return res
}

// Err tells why fewer replies came than were wanted: nil when they came, else ReasonReplyTimeout, the end of the
// caller's context, that the request may not be written (autobus.ErrUnknown), or that the inbox is over.
func (q *Query) Err() error {
	res := q.Result()
	if enough := q.want == All && q.known && len(res.Missing) == 0 || q.want > 0 && res.Got >= q.want ||
		q.known && res.Got > 0 && len(res.Missing) == 0; enough {
		return nil
	}
	select {
	case <-q.caller.over:
		return q.caller.ended()
	default:
	}
	if q.unknown != nil {
		return q.unknown
	}
	err := autobus.NewError(autobus.ReasonReplyTimeout, "no reply to %s came in time", q.typ)
	if res.Got > 0 {
		err.Detail = "not all replies to " + q.typ + " came in time"
	}
	return err.WithCause(context.Cause(q.ctx))
}

// Call sends a request and waits for one reply. A reply that is an error is the error: *ErrorReply for one that the
// spec declares, ReasonResponderFailed where the responder could not answer. Else the errors are those of Ask and of
// Query.Err.
func (c *Caller) Call(ctx context.Context, typ string, data any, opts ...autobus.EventOption) (*Reply, error) {
	e, err := autobus.NewEvent(typ, data, opts...)
	if err != nil {
		return nil, err
	}
	return c.CallEvent(ctx, e)
}

// CallEvent is Call with an event that is made already.
func (c *Caller) CallEvent(ctx context.Context, e autobus.Event) (*Reply, error) {
	q, err := c.AskEvent(ctx, e, 1)
	if err != nil {
		return nil, err
	}
	defer q.Close()
	r := q.Next()
	if r == nil {
		if err := ctx.Err(); errors.Is(err, context.Canceled) {
			return nil, context.Cause(ctx)
		}
		return nil, q.Err()
	}
	if err := r.Err(); err != nil {
		return nil, err
	}
	return r, nil
}

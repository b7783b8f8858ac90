// SPDX-License-Identifier: Apache-2.0

package ws

import (
	"context"
	"slices"
	"sync"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/edge"
)

// subscription is one that runs on the connection: of a name, or a tail.
type subscription struct {
	seq     *int64 // of the frame that opened it; nil = the query did
	name    string // "" = a tail
	cancel  context.CancelCauseFunc
	resize  chan autobus.Window // holds the newest
	leaving *int64              // seq of the unsubscribe; guarded by subscriptions
	over    bool                // its name is free, the client is yet to hear of it; guarded by subscriptions
}

// subscriptions are those that run on the connection.
type subscriptions struct {
	mu  sync.Mutex
	all []*subscription
}

// add takes one in, unless there is no room or it runs already.
func (s *subscriptions) add(sub *subscription) *autobus.Error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if sub.seq != nil && s.find(sub.name, *sub.seq) != nil {
		return autobus.NewError(autobus.ReasonRequestInvalid, "this connection has it already").
			WithHint("Unsubscribe and wait for the answer, or open another connection.")
	}
	if len(s.all) >= maxSubscriptions {
		return autobus.NewError(autobus.ReasonRequestInvalid, "this connection has %d subscriptions and tails already",
			maxSubscriptions).WithHint("Open another connection.")
	}
	s.all = append(s.all, sub)
	return nil
}

// find gives the subscription of a name, or the tail of a seq; nil = there is none.
func (s *subscriptions) find(name string, seq int64) *subscription {
	i := slices.IndexFunc(s.all, func(o *subscription) bool {
		return !o.over && o.name == name && (name != "" || o.seq != nil && *o.seq == seq)
	})
	if i < 0 {
		return nil
	}
	return s.all[i]
}

// end frees the name of one, which stays until its end is told: a client may subscribe again as soon as it hears of it,
// and a connection that drains waits for it. It gives the seq by which the client said goodbye; nil = it did not.
func (s *subscriptions) end(sub *subscription) (left *int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	sub.over = true
	return sub.leaving
}

func (s *subscriptions) remove(sub *subscription) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all = slices.DeleteFunc(s.all, func(o *subscription) bool { return o == sub })
}

func (s *subscriptions) none() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.all) == 0
}

// subscribe opens a durable subscription; the events come as frames until unsubscribe or the end.
func (c *conn) subscribe(f frame) *autobus.Error {
	s := autobus.Subscription{Draining: c.drain}
	if err := f.get("subscription", &s.Name); err != nil {
		return err
	}
	if s.Name == "" {
		return invalid("the name of the subscription is empty")
	}
	if err := f.get("window", &s.Window); err != nil {
		return err
	}
	if s.Window != nil {
		if err := s.Window.Check(); err != nil {
			return err
		}
	}
	if err := f.get("create", &s.Create); err != nil {
		return err
	}
	if err := f.get("detached", &s.Detached); err != nil {
		return err
	}
	sub := &subscription{seq: f.seq, name: s.Name, resize: make(chan autobus.Window, 1)}
	s.Resize = sub.resize
	s.Opened = func(autobus.Address) { c.out.push(append(appendHead(nil, "subscribed", f.seq, s.Name), '}')) }
	s.Revoke = func(ls []autobus.Lease) { c.out.push(edge.AppendRevoke(nil, s.Name, ls)) }
	s.Lost = func(p autobus.PositionLost) { c.out.push(edge.AppendPositionLost(nil, s.Name, p)) }
	return c.open(sub, s, func(ctx context.Context, ds []autobus.Delivery) error {
		if s.Detached { // what was leased until the end goes along
			ctx = c.ctx
		}
		if f.binary {
			return c.sendRecords(ctx, s.Name, nil, ds)
		}
		return edge.Portions(ds, func(part []autobus.Delivery) error {
			return c.out.send(ctx, edge.AppendEvents(nil, s.Name, part))
		})
	})
}

// open runs a subscription beside the reader. deliver waits until the client took enough of what came before.
func (c *conn) open(
	sub *subscription, s autobus.Subscription, deliver func(context.Context, []autobus.Delivery) error,
) *autobus.Error {
	var ctx context.Context
	ctx, sub.cancel = context.WithCancelCause(c.who.Context())
	if err := c.subs.add(sub); err != nil {
		sub.cancel(nil)
		return err
	}
	if c.drains() {
		c.subs.remove(sub)
		sub.cancel(nil)
		return autobus.NewError(autobus.ReasonShuttingDown, "this instance is going down")
	}
	c.work.Go(func() {
		defer sub.cancel(nil)
		err := c.edge.bus.Subscribe(ctx, s, func(_ context.Context, ds []autobus.Delivery) {
			// It fails when the subscription is over; what was leased comes again.
			_ = deliver(ctx, ds)
		})
		c.ended(sub, autobus.AsError(err))
	})
	return nil
}

// ended tells the client that a subscription is over, unless the whole connection is.
func (c *conn) ended(sub *subscription, err *autobus.Error) {
	defer c.subs.remove(sub)
	switch left := c.subs.end(sub); {
	case left != nil:
		c.reply(append(appendHead(nil, "unsubscribed", left, sub.name), '}'))
	case err == nil, c.drains():
	case !c.frames:
		c.fail(nil, err) // it was all that the client asked for
	default:
		edge.LogCause(c.r, err)
		c.reply(c.appendError(nil, sub.seq, sub.name, nil, err))
	}
}

// window resizes what a subscription may hold unsettled.
func (c *conn) window(f frame) *autobus.Error {
	var name string
	if err := f.get("subscription", &name); err != nil {
		return err
	}
	var w autobus.Window
	if err := f.get("window", &w); err != nil {
		return err
	}
	if err := w.Check(); err != nil && !(w.NoMore() && c.relays()) {
		return err
	}
	c.subs.mu.Lock()
	sub := c.subs.find(name, 0)
	c.subs.mu.Unlock()
	if sub == nil || name == "" {
		return noSubscription(name)
	}
	select {
	case <-sub.resize: // only the newest counts
	default:
	}
	sub.resize <- w
	return nil
}

// unsubscribe says goodbye to a subscription, or to the tail that was opened with the same seq. A client that hands the
// events on to workers of its own tells by it that one of them died.
func (c *conn) unsubscribe(f frame) *autobus.Error {
	var name string
	if err := f.get("subscription", &name); err != nil {
		return err
	}
	var died bool
	if err := f.get("died", &died); err != nil {
		return err
	}
	c.subs.mu.Lock()
	sub := c.subs.find(name, *f.seq)
	ours := sub != nil && sub.leaving == nil
	if ours {
		sub.leaving = f.seq
	}
	c.subs.mu.Unlock()
	if !ours {
		return noSubscription(name)
	}
	var cause error
	if died {
		cause = autobus.ErrReaderDied
	}
	sub.cancel(cause)
	return nil
}

func noSubscription(name string) *autobus.Error {
	if name == "" {
		return invalid("this connection has no tail of that seq")
	}
	return invalid("this connection has no subscription %q", edge.Clip(name))
}

// SPDX-License-Identifier: Apache-2.0

package client

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/autobus-io/autobus"
)

// Subscribe implements autobus.Bus. It opens the subscription again whenever a connection is lost, until ctx ends, the
// gateway refuses it for good (its error is returned), or the client is closed (ReasonShuttingDown). An inbox keeps its
// address over all connections, and what was replied to it meanwhile comes then.
func (c *Client) Subscribe(ctx context.Context, s autobus.Subscription, h autobus.Handler) error {
	switch {
	case s.Inbox && (s.Name != "" || len(s.Tail) > 0 || s.Filter != ""):
		return autobus.NewError(autobus.ReasonRequestInvalid, "an inbox has neither a name nor types nor a filter")
	case s.Inbox:
	case (s.Name == "") == (len(s.Tail) == 0):
		return autobus.NewError(autobus.ReasonRequestInvalid, "a subscription has either a name or types to tail")
	case s.Name != "" && s.Filter != "":
		return autobus.NewError(autobus.ReasonRequestInvalid, "a subscription's filter is in its policy")
	}
	sub := &subscription{client: c, s: s, handle: h, inbox: newInbox(), over: make(chan struct{}),
		pause: backoff{least: c.cfg.MinBackoff, most: c.cfg.MaxBackoff}}
	if s.Name == "" {
		sub.tail = newTail(s.From)
	}
	if err := c.enlist(sub); err != nil {
		return err
	}
	defer c.delist(sub)
	if err := sub.run(ctx); err != nil {
		return err
	}
	return nil
}

// subscription is one call of Subscribe. Its own goroutine calls all functions of the caller.
type subscription struct {
	client *Client
	s      autobus.Subscription
	handle autobus.Handler
	inbox  *inbox
	tail   *tail // of a tail: where it is
	over   chan struct{}

	isOpen  atomic.Bool
	opened  bool
	current *attachment   // nil = none at the moment
	old     []*attachment // of gateways that go down
	pause   backoff
	seeking sync.WaitGroup
}

// attachment is a session of the subscription on one connection.
type attachment struct {
	sub  *subscription
	conn *conn
}

func (s *subscription) title() string {
	if s.s.Inbox {
		return "(inbox)"
	}
	if s.tail != nil {
		return "(tail)"
	}
	return s.s.Name
}

// run hands out what comes until there is an end.
func (s *subscription) run(ctx context.Context) *autobus.Error {
	seeking, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer func() {
		stop()
		s.seeking.Wait()
		for it, ok := s.inbox.next(); ok; it, ok = s.inbox.next() {
			if it.what == sought && it.err == nil {
				s.client.pool.leave(it.by.conn, it.by)
			}
		}
		s.inbox.close()
	}()
	again := time.NewTimer(0)
	defer again.Stop()
	resize := s.s.Resize
	for {
		select {
		case <-ctx.Done():
			s.leave(ctx, errors.Is(context.Cause(ctx), autobus.ErrReaderDied))
			return nil
		case <-s.client.ending:
			s.leave(ctx, false)
			return closed()
		case w := <-resize:
			if err := w.Check(); err != nil && !w.NoMore() {
				s.leave(ctx, false)
				return autobus.AsError(err)
			}
			s.s.Window = &w
			if s.current != nil {
				s.current.conn.send(&outgoing{Op: "window", Subscription: s.s.Name, Window: &w})
			}
			continue
		case <-again.C:
			s.seek(seeking)
			continue
		case <-s.inbox.wake:
		}
		for ctx.Err() == nil { // else nothing is handed out any more
			it, ok := s.inbox.next()
			if !ok {
				break
			}
			err, lacking := s.take(ctx, it)
			if err != nil {
				s.leave(ctx, false)
				return err
			}
			if lacking {
				again.Reset(s.pause.next())
			}
		}
	}
}

// seek looks for a connection, beside the loop.
func (s *subscription) seek(ctx context.Context) {
	s.seeking.Go(func() {
		a := &attachment{sub: s}
		n, err := s.client.pool.seat(ctx, s.s.Name, a)
		if err == nil {
			a.conn = n
			if ctx.Err() != nil {
				s.client.pool.leave(n, a)
				return
			}
		}
		s.inbox.put(item{what: sought, by: a, err: err})
	})
}

// take does what an item says. lacking: another connection has to be sought, after a while.
func (s *subscription) take(ctx context.Context, it item) (err *autobus.Error, lacking bool) {
	switch it.what {
	case sought:
		if it.err != nil {
			return s.failed(it.err)
		}
		return nil, !s.ask(it.by)
	case answer:
		if s.current == it.by {
			s.moved(it.at)
		}
		s.begin(it.by, it.address)
	case moved:
		if s.current == it.by {
			s.moved(it.at)
		}
	case deliveries:
		if ds := s.tail.fresh(it.ds); len(ds) > 0 {
			s.handle(ctx, ds)
		}
	case revoked:
		if s.s.Revoke != nil && len(it.leases) > 0 {
			s.s.Revoke(it.leases)
		}
	case lost:
		if s.s.Lost != nil {
			s.s.Lost(it.lost)
		}
	case draining:
		if s.current != it.by {
			return nil, false
		}
		s.current = nil
		s.old = append(s.old, it.by)
		s.isOpen.Store(false)
		s.pause.reset()
		if s.s.Draining != nil {
			s.s.Draining(it.deadline)
		}
		return nil, true
	case ended:
		s.drop(it.by)
		err, lacking := s.failed(it.err)
		if lacking && s.s.Revoke != nil && len(it.leases) > 0 {
			s.s.Revoke(it.leases)
		}
		return err, lacking
	case gone:
		was := s.current == it.by
		s.drop(it.by)
		s.tail.cut(it.by.conn)
		if s.s.Revoke != nil && len(it.leases) > 0 {
			s.s.Revoke(it.leases)
		}
		return nil, was
	case left:
		s.drop(it.by)
	}
	return nil, false
}

// failed decides whether the subscription can go on.
func (s *subscription) failed(err *autobus.Error) (*autobus.Error, bool) {
	if permanent(err) {
		return err, false
	}
	s.client.cfg.Logger.Warn("the subscription is not open, it is tried again", slog.String("subscription", s.title()),
		slog.String("reason", string(err.Reason)), slog.String("detail", err.Detail))
	return nil, true
}

// ask opens the subscription on a connection.
func (s *subscription) ask(a *attachment) bool {
	o := &outgoing{Op: "subscribe", Subscription: s.s.Name, Window: s.s.Window, Create: s.s.Create,
		Detached: s.s.Detached}
	switch {
	case s.s.Inbox && s.s.Address == "":
		o = &outgoing{Op: "inbox"}
	case s.s.Inbox:
		o = &outgoing{Op: "inbox", Address: s.s.Address, From: s.tail.from(false)}
	case s.tail != nil:
		o = &outgoing{Op: "tail", Types: s.s.Tail, Filter: s.s.Filter}
		o.Cursors = slices.Contains(a.conn.hello.Features, featureCursors)
		if !o.Cursors && len(s.s.From.Cursors) > 0 {
			return s.tooOld(a)
		}
		o.From = s.tail.from(o.Cursors)
	}
	s.current = a
	ok := a.conn.ask(o, a)
	if !ok {
		s.drop(a)
	}
	return ok
}

func (s *subscription) begin(a *attachment, at autobus.Address) {
	if s.current != a {
		return
	}
	s.s.Address = at
	s.isOpen.Store(true)
	s.pause.reset()
	if s.tail != nil {
		s.tail.opened()
	}
	if !s.opened && s.s.Opened != nil {
		s.opened = true
		s.s.Opened(at)
	}
	s.opened = true
}

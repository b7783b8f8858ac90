// SPDX-License-Identifier: Apache-2.0

package ipc

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/autobus-io/autobus"
)

// Limits and defaults of calls.
const (
	DefaultTimeout = 30 * time.Second // of a request whose context has no deadline
	MaxOutstanding = 50_000           // requests of one Caller
)

// All as the number of replies that are wanted: one of each subscription that serves the type.
const All = -1

// Caller asks through one inbox; it is safe for concurrent use. Hooks of a bus that autobus.Hooked made are called
// around its requests as around every publish.
type Caller struct {
	bus     autobus.Bus
	address autobus.Address
	cancel  context.CancelFunc
	over    chan struct{} // closed when the inbox is

	mu      sync.Mutex
	pending map[string]*Query // by the request's id
	err     error             // why it is over
	used    time.Time         // when something was asked last
	stats   Stats
}

// Stats count what came of the requests of a Caller.
type Stats struct {
	Outstanding int    // requests that wait for replies now
	Replies     uint64 // that were taken
	Late        uint64 // that nobody waited for any more; dropped
	Duplicates  uint64 // further ones of the same responder; dropped
	Foreign     uint64 // of another type than the request's; dropped
}

// Open opens an inbox and returns when it is ready. It is closed when ctx ends, or by Close. The principal in ctx needs
// a grant to request something.
func Open(ctx context.Context, bus autobus.Bus) (*Caller, error) {
	ctx, cancel := context.WithCancel(ctx)
	c := &Caller{bus: bus, cancel: cancel, over: make(chan struct{}), pending: map[string]*Query{}, used: time.Now()}
	opened := make(chan autobus.Address, 1)
	go c.receive(ctx, opened)
	select {
	case c.address = <-opened:
		return c, nil
	case <-c.over:
	}
	return nil, c.ended()
}

// receive takes replies until the inbox is over.
func (c *Caller) receive(ctx context.Context, opened chan<- autobus.Address) {
	defer c.cancel()
	err := c.bus.Subscribe(ctx, autobus.Subscription{Inbox: true, Opened: func(a autobus.Address) { opened <- a }},
		func(_ context.Context, ds []autobus.Delivery) {
			for i := range ds {
				c.take(&ds[i])
			}
		})
	if err == nil {
		err = context.Cause(ctx)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.err = err
	close(c.over)
}

// Close ends the inbox. Whoever waits for a reply gets an error.
func (c *Caller) Close() {
	c.cancel()
	<-c.over
}

// Done is closed when the inbox is over: its context ended, or the bus ended it.
func (c *Caller) Done() <-chan struct{} { return c.over }

// Address is that of the inbox.
func (c *Caller) Address() autobus.Address { return c.address }

// Stats tells the counts as they are now.
func (c *Caller) Stats() Stats {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.stats
	s.Outstanding = len(c.pending)
	return s
}

// idle tells since when nothing is asked and nobody waits; zero = somebody does.
func (c *Caller) idle() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.pending) > 0 {
		return time.Time{}
	}
	return c.used
}

// ended is the error of a Caller that is over.
func (c *Caller) ended() error {
	c.mu.Lock()
	err := c.err
	c.mu.Unlock()
	if _, ours := errors.AsType[*autobus.Error](err); ours {
		return err
	}
	return autobus.NewError(autobus.ReasonShuttingDown, "the inbox is closed").WithCause(err)
}

// add enlists a request before it is published.
func (c *Caller) add(q *Query) error {
	select {
	case <-c.over:
		return c.ended()
	default:
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case len(c.pending) >= MaxOutstanding:
		full := autobus.NewError(autobus.ReasonQuota, "%d requests wait for their replies", len(c.pending))
		full.RetryAfter = time.Second
		return full
	case c.pending[q.id] != nil:
		return autobus.NewError(autobus.ReasonIDConflict, "a request of the id %s waits for its replies already", q.id)
	}
	c.pending[q.id] = q
	c.used = time.Now()
	return nil
}

// take gives a reply to the request that it answers.
func (c *Caller) take(d *autobus.Delivery) {
	r := ReplyOf(&d.Event)
	id, _ := d.Ext(autobus.ExtCausationID)
	c.mu.Lock()
	defer c.mu.Unlock()
	q := c.pending[id]
	switch {
	case q == nil:
		c.stats.Late++
	case d.Type != q.typ+autobus.ReplySuffix:
		c.stats.Foreign++
	default:
		q.take(r)
	}
}

// SPDX-License-Identifier: Apache-2.0

package client

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/autobus-io/autobus"
)

// pool holds the connections: the main one, over which everything goes, and others beside it: those of tails, those of
// second sessions of a subscription, and those that a gateway which goes down still answers.
type pool struct {
	client *Client
	urls   []string

	mu      sync.Mutex
	main    *conn // nil = there is none at the moment
	others  []*conn
	err     *autobus.Error // why there is no main one
	at      int            // of urls
	changed chan struct{}  // closed at every change
	closed  bool
	running sync.WaitGroup
}

func newPool(c *Client, urls []string) *pool {
	return &pool{client: c, urls: urls, changed: make(chan struct{}),
		err: unreachable("the client has not connected yet")}
}

func (p *pool) announce() {
	close(p.changed)
	p.changed = make(chan struct{})
}

func (p *pool) all() []*conn {
	p.mu.Lock()
	defer p.mu.Unlock()
	all := slices.Clone(p.others)
	if p.main != nil {
		all = append(all, p.main)
	}
	return all
}

// state is the main connection, or why there is none.
func (p *pool) state() (*conn, *autobus.Error, <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.main, p.err, p.changed
}

// unlinked is why there is no main connection; nil = there is one.
func (p *pool) unlinked() *autobus.Error {
	_, err, _ := p.state()
	return err
}

// keep sees to it that there is a main connection until ctx ends.
func (p *pool) keep(ctx context.Context) {
	pause := backoff{least: p.client.cfg.MinBackoff, most: p.client.cfg.MaxBackoff}
	logger := p.client.cfg.Logger
	for first := true; ; first = false {
		if !first && !wait(ctx, pause.next()) {
			return
		}
		n, err := p.open(ctx, "", nil)
		if err != nil {
			if ctx.Err() != nil {
				return
			}
			p.mu.Lock()
			p.err = err
			p.at++
			p.announce()
			p.mu.Unlock()
			logger.Warn("no connection to the bus", slog.String("reason", string(err.Reason)), slog.String("detail", err.Detail))
			continue
		}
		p.setMain(n)
		logger.Info("connected to the bus", slog.String("url", n.url), slog.String("instance", n.hello.Instance))
		select {
		case <-n.over:
		case <-n.drained:
			logger.Info("the gateway goes down, another connection is made", slog.String("instance", n.hello.Instance))
		case <-ctx.Done():
			return
		}
		p.demote(n)
		if time.Since(n.born) > 2*p.client.cfg.MinBackoff {
			pause.reset() // it was more than a gateway that hangs up at once
		}
	}
}

// open dials the address whose turn it is and lets the connection run. One beside the main connection is made for an
// attachment, which has its place on it from the start.
func (p *pool) open(ctx context.Context, name string, a *attachment) (*conn, *autobus.Error) {
	p.mu.Lock()
	url := p.urls[p.at%len(p.urls)]
	p.mu.Unlock()
	n, err := p.client.dial(ctx, url)
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		_ = n.socket.CloseNow()
		return nil, closed()
	}
	if a != nil {
		n.side = true
		n.seat(name, a)
	}
	p.others = append(p.others, n)
	p.running.Go(func() {
		n.run()
		p.forget(n)
	})
	return n, nil
}

func (p *pool) setMain(n *conn) {
	p.mu.Lock()
	p.others = slices.DeleteFunc(p.others, func(o *conn) bool { return o == n })
	p.main, p.err = n, nil
	p.announce()
	p.mu.Unlock()
	p.client.courier.use(n)
}

// demote takes a connection that is over or drains from its place.
func (p *pool) demote(n *conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.main, p.err = nil, unreachable("the connection was lost, another one is being made")
	if n.draining.Load() {
		p.at++
	} // else it may be the same gateway again, which remembers the ids of what was in flight
	select {
	case <-n.over:
	default:
		p.others = append(p.others, n)
	}
	p.announce()
}

func (p *pool) forget(n *conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.others = slices.DeleteFunc(p.others, func(o *conn) bool { return o == n })
	p.announce()
}

// seat finds a connection for a session of a subscription, and reserves its place; "" is a tail, which has one to
// itself. It waits for the main connection, unless the gateway says that there will be none.
func (p *pool) seat(ctx context.Context, name string, a *attachment) (*conn, *autobus.Error) {
	for {
		main, err, changed := p.state()
		switch {
		case main == nil && permanent(err):
			return nil, err
		case main == nil:
			select {
			case <-changed:
			case <-ctx.Done():
				return nil, err
			}
			continue
		}
		if name != "" {
			for _, n := range append([]*conn{main}, p.all()...) {
				if n.seat(name, a) {
					return n, nil
				}
			}
			if !main.alive() || main.draining.Load() {
				select {
				case <-changed:
				case <-ctx.Done():
					return nil, unreachable("there is no connection")
				}
				continue
			}
		}
		return p.open(ctx, name, a)
	}
}

// leave gives a session's place back. A connection beside the main one that has no more of them is closed.
func (p *pool) leave(n *conn, a *attachment) {
	if !n.unseat(a) {
		return
	}
	if n.side && !n.draining.Load() {
		n.goodbye()
	}
}

// close says goodbye on all connections and waits for their end, until ctx is over.
func (p *pool) close(ctx context.Context) {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	for _, n := range p.all() {
		n.goodbye()
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		p.running.Wait()
	}()
	select {
	case <-ended:
		return
	case <-ctx.Done():
	}
	for _, n := range p.all() {
		n.cut(errGoodbye)
	}
	<-ended
}

// SPDX-License-Identifier: Apache-2.0

package client

import (
	"context"
	"sync"

	"github.com/autobus-io/autobus"
)

// Client is a connection to the bus that mends itself. It implements autobus.Bus; all methods may be called by any
// number of goroutines.
type Client struct {
	cfg     Config
	tokens  tokens
	pool    *pool
	courier *courier
	leases  *leases

	mu            sync.Mutex
	closed        bool
	ending        chan struct{} // closed when subscriptions have to end
	subscriptions map[*subscription]bool
	work          sync.WaitGroup // of the client's own goroutines and of running subscriptions
	stop          context.CancelFunc
}

// New makes a client and begins to connect. The error is for a Config that cannot be used (ReasonConfigInvalid);
// whether there is a gateway, and one that takes the token, Ready tells.
func New(cfg Config) (*Client, error) {
	urls, err := cfg.check()
	if err != nil {
		return nil, err
	}
	c := &Client{cfg: cfg, ending: make(chan struct{}), subscriptions: map[*subscription]bool{}, leases: newLeases()}
	c.tokens = tokens{fetch: cfg.TokenFunc, fresh: make(chan struct{}, 1), token: cfg.Token, stale: true}
	c.pool = newPool(c, urls)
	c.courier = newCourier(cfg.MaxInFlightBytes, cfg.ResendFor, c.pool.unlinked)
	var ctx context.Context
	ctx, c.stop = context.WithCancel(context.Background())
	c.work.Go(func() { c.pool.keep(ctx) })
	c.work.Go(func() { c.courier.sweep(ctx) })
	if cfg.TokenFunc != nil {
		c.work.Go(func() { c.keepToken(ctx) })
	}
	return c, nil
}

// Close ends the client. No more is published or subscribed from now on (ReasonShuttingDown); what is in flight gets
// its outcome, until ctx is over; then subscriptions end and the gateway is told goodbye. The error says that ctx was
// over before all outcomes were known: the rest is Refused or Unknown by now.
func (c *Client) Close(ctx context.Context) error {
	c.mu.Lock()
	again := c.closed
	c.closed = true
	c.mu.Unlock()
	err := c.courier.close(ctx)
	if again {
		c.work.Wait()
		return err
	}
	close(c.ending)
	c.stop()
	c.subscribed(ctx)
	c.pool.close(ctx)
	c.courier.abandon()
	c.work.Wait()
	if err != nil {
		return err
	}
	return nil
}

// subscribed waits until no subscription runs, or ctx is over.
func (c *Client) subscribed(ctx context.Context) {
	for {
		c.mu.Lock()
		var any *subscription
		for s := range c.subscriptions {
			any = s
		}
		c.mu.Unlock()
		if any == nil {
			return
		}
		select {
		case <-any.over:
		case <-ctx.Done():
			return
		}
	}
}

// Live is nil as long as the client works, connected or not: for the liveness probe of the service.
func (c *Client) Live() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return closed()
	}
	return nil
}

// Ready is nil when the client is connected and every subscription is open, else it says what is missing: for the
// readiness probe of the service.
func (c *Client) Ready() error {
	if err := c.Live(); err != nil {
		return err
	}
	if _, err, _ := c.pool.state(); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for s := range c.subscriptions {
		if !s.isOpen.Load() {
			return unreachable("the subscription %s is not open", s.title())
		}
	}
	return nil
}

// enlist takes a subscription in, unless the client is closed.
func (c *Client) enlist(s *subscription) *autobus.Error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return closed()
	}
	c.subscriptions[s] = true
	return nil
}

func (c *Client) delist(s *subscription) {
	c.mu.Lock()
	delete(c.subscriptions, s)
	c.mu.Unlock()
	close(s.over)
}

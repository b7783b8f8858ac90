// SPDX-License-Identifier: Apache-2.0

package peer

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/client"
)

// Times of the connections.
const (
	keepFor    = 30 * time.Second // a connection that nobody uses
	minBackoff = 50 * time.Millisecond
	maxBackoff = time.Second
	closeFor   = 2 * time.Second
	dialTime   = 3 * time.Second
)

// Config says who talks to the others, and how.
type Config struct {
	Instance string
	Keys     Keys
	TLS      *tls.Config // nil = the others are called without it
}

// Pool keeps the connections to other instances: one for each principal who acts there.
type Pool struct {
	cfg Config

	mu      sync.Mutex
	lines   map[lineKey]*line
	closed  bool
	closing sync.WaitGroup
}

type lineKey struct{ address, token string }

// line is a client of another instance that acts for one principal.
type line struct {
	client *client.Client
	users  int
	idle   *time.Timer // closes it; nil = it is used
}

// New makes a pool. Close ends it.
func New(cfg Config) *Pool {
	return &Pool{cfg: cfg, lines: map[lineKey]*line{}}
}

// Dial gives the bus of an instance. Whether there is one at the address shows when it is used.
func (p *Pool) Dial(_, address string) (autobus.Bus, error) {
	return &remote{pool: p, address: address}, nil
}

// Close says goodbye to all.
func (p *Pool) Close() {
	p.mu.Lock()
	p.closed = true
	for key, l := range p.lines {
		p.drop(key, l)
	}
	p.mu.Unlock()
	p.closing.Wait()
}

// take gives the client for a principal at an address, and who gives it back.
func (p *Pool) take(who autobus.Principal, address string) (*client.Client, func(), error) {
	token, err := p.cfg.Keys.Token(p.cfg.Instance, who)
	if err != nil {
		return nil, nil, err
	}
	key := lineKey{address, token}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, nil, autobus.NewError(autobus.ReasonShuttingDown, "this instance goes down")
	}
	l := p.lines[key]
	if l == nil {
		c, err := client.New(client.Config{URL: p.url(address), Token: token, Service: "autobus-peer",
			HTTPClient: p.http(), MinBackoff: minBackoff, MaxBackoff: maxBackoff,
			Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			return nil, nil, err
		}
		l = &line{client: c}
		p.lines[key] = l
	}
	l.users++
	if l.idle != nil {
		l.idle.Stop()
		l.idle = nil
	}
	return l.client, sync.OnceFunc(func() { p.give(key, l) }), nil
}

func (p *Pool) url(address string) string {
	if p.cfg.TLS != nil {
		return "https://" + address
	}
	return "http://" + address
}

// http makes what calls the others. No proxy stands between instances.
func (p *Pool) http() *http.Client {
	dialer := &net.Dialer{Timeout: dialTime}
	return &http.Client{Transport: &http.Transport{DialContext: dialer.DialContext, TLSClientConfig: p.cfg.TLS,
		DisableKeepAlives: true}}
}

func (p *Pool) give(key lineKey, l *line) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if l.users--; l.users > 0 || p.lines[key] != l {
		return
	}
	if l.client.Ready() != nil {
		p.drop(key, l) // it would go on trying, for nobody
		return
	}
	l.idle = time.AfterFunc(keepFor, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		if l.users == 0 && p.lines[key] == l {
			p.drop(key, l)
		}
	})
}

// drop closes a client. It is called with the lock.
func (p *Pool) drop(key lineKey, l *line) {
	delete(p.lines, key)
	if l.idle != nil {
		l.idle.Stop()
	}
	p.closing.Go(func() {
		ctx, cancel := context.WithTimeout(context.Background(), closeFor)
		defer cancel()
		_ = l.client.Close(ctx) // nothing is published over it
	})
}

// remote is the bus of another instance.
type remote struct {
	pool    *Pool
	address string
}

func (r *remote) take(ctx context.Context) (*client.Client, func(), error) {
	who, ok := autobus.PrincipalOf(ctx)
	if !ok {
		return nil, nil, autobus.NewError(autobus.ReasonUnauthenticated, "nobody is known to act at another instance")
	}
	return r.pool.take(who, r.address)
}

// Publish implements autobus.Bus: every instance appends by itself.
func (*remote) Publish(context.Context, *autobus.Batch) error {
	return autobus.NewError(autobus.ReasonUnimplemented, "nothing is published at another instance")
}

// Subscribe implements autobus.Bus.
func (r *remote) Subscribe(ctx context.Context, s autobus.Subscription, h autobus.Handler) error {
	c, give, err := r.take(ctx)
	if err != nil {
		return err
	}
	defer give()
	return c.Subscribe(ctx, s, h)
}

// Settle implements autobus.Bus.
func (r *remote) Settle(ctx context.Context, ss []autobus.Settlement) error {
	c, give, err := r.take(ctx)
	if err != nil {
		return err
	}
	defer give()
	return c.Settle(ctx, ss)
}

// SPDX-License-Identifier: Apache-2.0

package kafka

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// dialTimeout is how long a connection may take to be made, with TLS if that is set.
	dialTimeout = 3 * time.Second

	// firstAnswer is how long a broker may take for its first answer on a new connection. The client asks it for no more
	// than the versions it speaks.
	firstAnswer = 2 * time.Second

	// shunned is how long a broker that was silent is not dialled again: for all that waits behind, which fails at once
	// so and goes elsewhere, and not for longer, for it may be back.
	shunned = 500 * time.Millisecond
)

// errSilent says that a broker's address does not answer.
var errSilent = errors.New("it does not answer")

// dialer makes the producers' connections. It turns a broker that says nothing into one that cannot be dialled.
//
// A process that stands still, and a machine that is gone, refuse nothing: connections to the one are still made, those
// to the other time out. The client takes both for a mishap and tries again at the same broker, each request twice, one
// after the other, with no thought of another leader; five requests of 6 s each had to fail so before it went on, and
// questions of who leads stood in the same queue. A broker that cannot be dialled it leaves alone until it has asked
// another one who leads.
type dialer struct {
	dial func(ctx context.Context, network, addr string) (net.Conn, error)

	mu     sync.Mutex
	silent map[string]time.Time // address -> until when it is not dialled
}

func newDialer(cfg Config) *dialer {
	d := &dialer{dial: cfg.Dial, silent: map[string]time.Time{}}
	plain := &net.Dialer{Timeout: dialTimeout}
	switch {
	case d.dial != nil:
	case cfg.TLS != nil:
		d.dial = (&tls.Dialer{NetDialer: plain, Config: cfg.TLS}).DialContext
	default:
		d.dial = plain.DialContext
	}
	return d
}

// Dial connects, or says that the address is silent.
func (d *dialer) Dial(ctx context.Context, network, addr string) (net.Conn, error) {
	d.mu.Lock()
	until := d.silent[addr]
	d.mu.Unlock()
	if time.Now().Before(until) {
		return nil, silent(network)
	}
	c, err := d.dial(ctx, network, addr)
	switch {
	case err == nil:
		return &unproven{Conn: c, by: d, addr: addr, until: time.Now().Add(firstAnswer)}, nil
	case ctx.Err() == nil && (os.IsTimeout(err) || errors.Is(err, context.DeadlineExceeded)):
		d.shun(addr)
		return nil, silent(network)
	}
	return nil, err
}

func (d *dialer) shun(addr string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.silent[addr] = time.Now().Add(shunned)
}

// silent is what the client takes for a broker that cannot be dialled, which is not the same to it as one that could
// not be in time.
func silent(network string) error { return &net.OpError{Op: "dial", Net: network, Err: errSilent} }

// unproven is a connection over which nothing has come yet, until something has.
type unproven struct {
	net.Conn
	by     *dialer
	addr   string
	until  time.Time
	proven atomic.Bool
}

// SetReadDeadline gives the first answer no more time than it has.
func (c *unproven) SetReadDeadline(t time.Time) error {
	if !c.proven.Load() && t.After(c.until) {
		t = c.until
	}
	return c.Conn.SetReadDeadline(t)
}

// Read tells of a broker that did not give its first answer in time.
func (c *unproven) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	switch {
	case c.proven.Load():
	case n > 0:
		c.proven.Store(true)
	case errors.Is(err, os.ErrDeadlineExceeded) && !time.Now().Before(c.until): // before, the client is being closed
		c.by.shun(c.addr)
		return 0, silent(c.RemoteAddr().Network())
	}
	return n, err
}

// SPDX-License-Identifier: Apache-2.0

package client

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/autobus-io/autobus"
)

// tokens hands out the token in force.
type tokens struct {
	fetch TokenFunc     // nil = token is all there is
	fresh chan struct{} // holds a token when there is another one

	mu      sync.Mutex
	token   string
	expires time.Time
	stale   bool // a gateway refused it, or there is none yet
}

// get gives the token, a new one if the one in force is not good any more.
func (t *tokens) get(ctx context.Context) (string, *autobus.Error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.fetch == nil || !t.stale && (t.expires.IsZero() || time.Now().Before(t.expires)) {
		return t.token, nil
	}
	return t.renew(ctx)
}

func (t *tokens) renew(ctx context.Context) (string, *autobus.Error) {
	token, expires, err := t.fetch(ctx)
	if err != nil {
		return "", autobus.NewError(autobus.ReasonServerUnreachable, "there is no token: %v", err).WithCause(err).
			WithHint("The client's TokenFunc failed; it is called again.")
	}
	t.token, t.expires, t.stale = token, expires, false
	select {
	case t.fresh <- struct{}{}:
	default:
	}
	return token, nil
}

// refused notes that a gateway did not take the token. True: there may be a better one.
func (t *tokens) refused(token string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.fetch == nil {
		return false
	}
	t.stale = t.stale || t.token == token
	return true
}

// early is how long before its end a token is renewed.
func (t *tokens) early() (at time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.expires.IsZero() {
		return time.Time{}
	}
	left := time.Until(t.expires)
	return t.expires.Add(-min(time.Minute, left/5))
}

// keepToken renews the token before it expires and tells all connections.
func (c *Client) keepToken(ctx context.Context) {
	pause := backoff{least: c.cfg.MinBackoff, most: c.cfg.MaxBackoff}
	for {
		var due <-chan time.Time
		if at := c.tokens.early(); !at.IsZero() { // else there is none yet, or one for good
			due = time.After(time.Until(at))
		}
		select {
		case <-due:
		case <-c.tokens.fresh:
			continue
		case <-ctx.Done():
			return
		}
		c.tokens.mu.Lock()
		token, err := c.tokens.renew(ctx)
		c.tokens.mu.Unlock()
		if err != nil {
			c.cfg.Logger.Warn("the token could not be renewed", slog.Any("error", err.Cause))
			if !wait(ctx, pause.next()) {
				return
			}
			continue
		}
		for _, conn := range c.pool.all() {
			conn.send(&outgoing{Op: "auth", Token: token})
		}
		if time.Now().Before(c.tokens.early()) {
			pause.reset()
		} else if !wait(ctx, pause.next()) { // one that is over already
			return
		}
	}
}

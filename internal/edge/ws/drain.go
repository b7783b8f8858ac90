// SPDX-License-Identifier: Apache-2.0

package ws

import (
	"context"
	"errors"
	"time"

	"github.com/coder/websocket"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/edge"
)

// drain tells the client that the instance is going down, once, whoever says it first: the server or the bus. Outcomes
// and events are still taken; subscriptions end when the bus says so, tails at once.
func (c *conn) drain(deadline time.Time) {
	c.drainOnce.Do(func() {
		if c.frames {
			c.out.push(edge.AppendDrain(nil, deadline))
		}
		close(c.draining)
		c.subs.mu.Lock()
		defer c.subs.mu.Unlock()
		for _, s := range c.subs.all {
			if s.name == "" {
				s.cancel(nil)
			}
		}
	})
}

func (c *conn) drains() bool {
	select {
	case <-c.draining:
		return true
	default:
		return false
	}
}

// watch ends the connection when the token is revoked, when the server's drain is over, or, while it lasts, when there
// is nothing left to do.
func (c *conn) watch() {
	select {
	case <-c.ctx.Done():
		return
	case <-c.r.Context().Done():
		c.cut()
		return
	case <-c.draining:
	}
	ticker := time.NewTicker(quietTime / 10)
	defer ticker.Stop()
	for {
		select {
		case <-c.ctx.Done():
			return
		case <-c.r.Context().Done():
			c.cut()
			return
		case <-ticker.C:
		}
		if c.quiet() {
			c.close(websocket.StatusServiceRestart, "the instance is going down")
			return
		}
	}
}

// quiet reports whether nothing runs and nothing has come for a while.
func (c *conn) quiet() bool {
	heard := time.Duration(c.heard.Load())
	return c.subs.none() && c.inflight.none() && !c.busy.Load() && time.Since(c.start)-heard >= quietTime
}

// cut ends the connection because its request must not go on.
func (c *conn) cut() {
	cause, ok := errors.AsType[*autobus.Error](context.Cause(c.r.Context()))
	if !ok || cause.Reason == autobus.ReasonShuttingDown {
		c.close(websocket.StatusServiceRestart, "the instance is going down")
		return
	}
	c.fail(nil, cause)
}

// SPDX-License-Identifier: Apache-2.0

package client

import (
	"context"
	"time"

	"github.com/autobus-io/autobus"
)

func (n *conn) touch() { n.heard.Store(int64(time.Since(n.born))) }

// guard finds out that the gateway is gone without a word.
func (n *conn) guard(stop <-chan struct{}) {
	ticker := time.NewTicker(guardEvery)
	defer ticker.Stop()
	for {
		select {
		case <-stop:
			return
		case <-ticker.C:
		}
		now := int64(time.Since(n.born))
		switch at := n.writing.Load(); {
		case at > 0 && now-at > int64(writeTime):
			n.cut(errSlow)
		case n.draining.Load() && time.Now().After(n.deadline.Add(leaveTime)):
			n.cut(errDrained)
		case n.client.courier.overdue(n):
			n.cut(errNoAnswer)
		case !n.busy.Load() && now-n.heard.Load() > int64(quietTime) && !n.answers():
			n.cut(errQuiet)
		}
	}
}

// answers asks the gateway for a sign of life.
func (n *conn) answers() bool {
	began := int64(time.Since(n.born))
	ctx, cancel := context.WithTimeout(context.Background(), pongTime)
	defer cancel()
	return n.socket.Ping(ctx) == nil || n.busy.Load() || n.heard.Load() > began
}

// drain notes that the gateway goes down.
func (n *conn) drain(deadline time.Time) {
	if n.draining.Load() {
		return
	}
	n.deadline = deadline
	n.draining.Store(true)
	close(n.drained)
	n.mu.Lock()
	attached := make([]*attachment, 0, len(n.named))
	for _, a := range n.named {
		attached = append(attached, a)
	}
	n.mu.Unlock()
	for _, a := range attached {
		a.sub.drain(a, deadline)
	}
}

var (
	errSlow     = autobus.NewError(autobus.ReasonServerUnreachable, "the gateway takes no frames")
	errDrained  = autobus.NewError(autobus.ReasonShuttingDown, "the gateway went down")
	errNoAnswer = autobus.NewError(autobus.ReasonServerUnreachable, "the gateway does not answer")
	errQuiet    = autobus.NewError(autobus.ReasonServerUnreachable, "the gateway answers no pings")
)

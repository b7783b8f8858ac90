// SPDX-License-Identifier: Apache-2.0

package ws

import (
	"net"
	"sync"
	"time"
)

// corkBytes is about how much is kept back while more is to come.
const corkBytes = 64 << 10

// corked is the connection below the WebSocket. The library gives it every frame by itself; while more of them are to
// come it keeps them back, so that small ones go together. A write takes writeTime at most.
type corked struct {
	net.Conn

	mu   sync.Mutex
	cork bool
	held []byte // not yet written
}

// hold says whether the next writes are followed by more.
func (c *corked) hold(more bool) {
	c.mu.Lock()
	c.cork = more
	c.mu.Unlock()
}

func (c *corked) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.held)+len(p) > corkBytes {
		if err := c.flush(); err != nil {
			return 0, err
		}
		return len(p), c.put(p)
	}
	if !c.cork && len(c.held) == 0 {
		return len(p), c.put(p)
	}
	c.held = append(c.held, p...)
	if c.cork {
		return len(p), nil
	}
	return len(p), c.flush()
}

func (c *corked) flush() error {
	if len(c.held) == 0 {
		return nil
	}
	err := c.put(c.held)
	if c.held = c.held[:0]; !c.cork {
		c.held = nil // an idle connection keeps no buffer
	}
	return err
}

func (c *corked) put(p []byte) error {
	if err := c.SetWriteDeadline(time.Now().Add(writeTime)); err != nil {
		return err
	}
	_, err := c.Conn.Write(p)
	return err
}

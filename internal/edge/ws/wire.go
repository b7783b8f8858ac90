// SPDX-License-Identifier: Apache-2.0

package ws

import (
	"context"
	"time"

	"github.com/coder/websocket"
)

// write writes what the outbox holds, and the close frame when this side ends the connection.
func (c *conn) write() {
	var buf []byte
	for {
		m, more, ok := c.out.next()
		if !ok {
			break
		}
		began := time.Now()
		c.writing.Store(true)
		frame := m.frame
		if m.answer != nil {
			buf = c.appendPublished(buf[:0], m.answer)
			frame, m.kind = buf, websocket.MessageText
			if m.answer.binary {
				m.kind = websocket.MessageBinary
			}
		}
		c.raw.hold(more)
		// The connection below bounds how long it takes.
		if err := c.socket.Write(context.Background(), m.kind, frame); err != nil {
			c.hangUp()
			return
		}
		if c.out.taken(len(m.frame)); m.answer != nil {
			c.inflight.leave(m.answer)
		}
		if cap(buf) > maxKept {
			buf = nil
		}
		if time.Since(began) > time.Second {
			c.touch() // a ping may have waited behind it
		}
		c.writing.Store(false)
	}
	if e := c.ending.Load(); e != nil {
		_ = c.socket.Close(e.code, e.reason) // the client may not wait for it
	}
}

// ping finds out that a client is gone without a word.
func (c *conn) ping() {
	ticker := time.NewTicker(pingEvery)
	defer ticker.Stop()
	for {
		select {
		case <-c.ctx.Done():
			return
		case <-ticker.C:
		}
		began := time.Since(c.start)
		ctx, cancel := context.WithTimeout(context.Background(), pongTime)
		err := c.socket.Ping(ctx)
		cancel()
		// Pings are written and pongs are read between frames: while one is under way, or came in meanwhile, their
		// absence says nothing. A frame that is not taken has a time of its own.
		if err != nil && !c.busy.Load() && !c.writing.Load() && c.heard.Load() < int64(began) {
			c.logger.Info("websocket answers no pings")
			c.hangUp()
			return
		}
	}
}

// SPDX-License-Identifier: Apache-2.0

package ws

import (
	"context"
	"errors"
	"sync"

	"github.com/coder/websocket"
)

var errOver = errors.New("the connection takes no more frames")

// message is one that is to be written: a frame as it is, or the answer to a publish, which is made only then.
type message struct {
	kind   websocket.MessageType
	frame  []byte
	answer *publication
}

// outbox holds the messages that are still to be written. Who may wait sends; who must not pushes, which is bounded by
// what the client itself began.
type outbox struct {
	mu     sync.Mutex
	queue  []message
	taker  int           // place in the queue of the next one
	bytes  int           // of frames; answers are bounded as publishes in flight
	done   bool          // no more are taken
	filled chan struct{} // holds a token when there is something to see
	room   chan struct{} // closed when there may be room again; nil = nobody waits for that
}

func newOutbox() outbox { return outbox{filled: make(chan struct{}, 1)} }

// push takes a text frame at once; after the end it is dropped.
func (o *outbox) push(frame []byte) { o.add(message{kind: websocket.MessageText, frame: frame}) }

// add takes a message at once; after the end it is dropped.
func (o *outbox) add(m message) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.put(m)
}

func (o *outbox) put(m message) {
	if o.done {
		return
	}
	o.queue = append(o.queue, m)
	o.bytes += len(m.frame)
	o.signal()
}

func (o *outbox) signal() {
	select {
	case o.filled <- struct{}{}:
	default:
	}
}

// send waits until the client has taken enough of what came before.
func (o *outbox) send(ctx context.Context, frame []byte) error {
	return o.sendAs(ctx, websocket.MessageText, frame)
}

// sendAs is send for a frame of either kind.
func (o *outbox) sendAs(ctx context.Context, kind websocket.MessageType, frame []byte) error {
	for {
		o.mu.Lock()
		if o.done {
			o.mu.Unlock()
			return errOver
		}
		if o.bytes < maxUnread {
			o.put(message{kind: kind, frame: frame})
			o.mu.Unlock()
			return nil
		}
		if o.room == nil {
			o.room = make(chan struct{})
		}
		room := o.room
		o.mu.Unlock()
		select {
		case <-room:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// next waits for a message; more tells whether others wait behind it, ok whether there is one at all. For one writer.
func (o *outbox) next() (m message, more, ok bool) {
	for {
		o.mu.Lock()
		if o.taker < len(o.queue) {
			m = o.queue[o.taker]
			o.queue[o.taker] = message{}
			o.taker++
			more = o.taker < len(o.queue)
			o.compact()
			o.mu.Unlock()
			return m, more, true
		}
		done := o.done
		o.mu.Unlock()
		if done {
			return message{}, false, false
		}
		<-o.filled
	}
}

// compact uses the places of what was taken again, once they are half of the queue.
func (o *outbox) compact() {
	if 2*o.taker < len(o.queue) {
		return
	}
	n := copy(o.queue, o.queue[o.taker:])
	clear(o.queue[n:])
	o.queue, o.taker = o.queue[:n], 0
}

// taken makes room for as many bytes as the client took.
func (o *outbox) taken(n int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.bytes -= n
	if o.bytes < maxUnread {
		o.call()
	}
}

// finish takes no more frames. What is there is still given out.
func (o *outbox) finish() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.done {
		return
	}
	o.done = true
	o.call()
	o.signal()
}

// call wakes those who wait for room.
func (o *outbox) call() {
	if o.room != nil {
		close(o.room)
		o.room = nil
	}
}

// SPDX-License-Identifier: Apache-2.0

package ws

import (
	"context"
	"errors"
	"sync"
)

var errOver = errors.New("the connection takes no more frames")

// outbox holds the frames that are still to be written. Who may wait sends; who must not pushes, which is bounded by
// what the client itself began.
type outbox struct {
	mu     sync.Mutex
	frames [][]byte
	bytes  int
	done   bool          // no more are taken
	filled chan struct{} // holds a token when there is something to see
	room   chan struct{} // closed when there may be room again
}

func newOutbox() outbox { return outbox{filled: make(chan struct{}, 1), room: make(chan struct{})} }

// push takes a frame at once; after the end it is dropped.
func (o *outbox) push(frame []byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.put(frame)
}

func (o *outbox) put(frame []byte) {
	if o.done {
		return
	}
	o.frames = append(o.frames, frame)
	o.bytes += len(frame)
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
	for {
		o.mu.Lock()
		if o.done {
			o.mu.Unlock()
			return errOver
		}
		if o.bytes < maxUnread {
			o.put(frame)
			o.mu.Unlock()
			return nil
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

// next waits for a frame; false = there is none any more. For one writer.
func (o *outbox) next() ([]byte, bool) {
	for {
		o.mu.Lock()
		if len(o.frames) > 0 {
			frame := o.frames[0]
			o.frames[0] = nil
			o.frames = o.frames[1:]
			o.mu.Unlock()
			return frame, true
		}
		done := o.done
		o.mu.Unlock()
		if done {
			return nil, false
		}
		<-o.filled
	}
}

// taken makes room for as many bytes as the client took.
func (o *outbox) taken(n int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.bytes -= n
	if o.bytes < maxUnread && !o.done {
		close(o.room)
		o.room = make(chan struct{})
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
	close(o.room)
	o.signal()
}

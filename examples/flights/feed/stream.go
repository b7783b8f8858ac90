// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"context"
	"io"
	"time"
)

// window is how many events may be sent and not answered.
const window = 1024

// stream is one request: events go up while results come down, in the same order. It ends early when an outcome is
// open, so that what has to be tried again stays small.
type stream struct {
	lane   *lane
	ctx    context.Context
	cancel context.CancelFunc
	todo   []item // to send before new ones

	sent chan item     // sent and not answered, in order
	stop chan struct{} // closed: send nothing more
	body *io.PipeReader

	drained bool // lane.in ended

	// What the receiving side finds; the sending side looks only after it has ended.
	halted  bool   // stop is closed
	failed  []item // open outcomes, in order
	settled int
	why     error         // of the first open outcome
	fatal   error         // trying again makes no sense
	after   time.Duration // when the bus wants to hear from us again
}

func newStream(ctx context.Context, l *lane, todo []item) *stream {
	s := &stream{lane: l, todo: todo, sent: make(chan item, window), stop: make(chan struct{})}
	s.ctx, s.cancel = context.WithCancel(ctx)
	return s
}

// run sends and receives until either side has enough.
func (s *stream) run() {
	defer s.cancel()
	var up *io.PipeWriter
	s.body, up = io.Pipe()
	received := make(chan struct{})
	go func() {
		defer close(received)
		defer s.body.Close() // a sender that waits to write gets an error
		defer s.halt()
		s.receive()
	}()
	s.send(up)
	up.Close()
	<-received
	close(s.sent)
}

// halt makes the sending side send nothing more.
func (s *stream) halt() {
	if !s.halted {
		s.halted = true
		close(s.stop)
	}
}

// left gives what has to be sent again, in order.
func (s *stream) left() []item {
	left := s.failed
	for it := range s.sent {
		left = append(left, it)
	}
	return append(left, s.todo...)
}

func (s *stream) send(up io.Writer) {
	w := bufio.NewWriterSize(up, 32<<10)
	for {
		it, ok := s.next(w)
		if !ok {
			break
		}
		if !s.remember(w, it) {
			break
		}
		if _, err := w.Write(it.line); err != nil {
			return // the receiving side knows why
		}
	}
	_ = w.Flush() // as above
}

// next gives the event to send. While there is none, what was written goes out.
func (s *stream) next(w *bufio.Writer) (it item, ok bool) {
	select {
	case <-s.stop:
		return it, false
	default:
	}
	if len(s.todo) > 0 {
		return s.todo[0], true
	}
	select {
	case it, ok = <-s.lane.in:
	default:
		if w.Flush() != nil {
			return it, false
		}
		select {
		case it, ok = <-s.lane.in:
		case <-s.stop:
			return it, false
		}
	}
	if !ok {
		s.drained = true
		return it, false
	}
	s.todo = append(s.todo, it)
	return it, true
}

// remember moves an event from what is to be done to what awaits an answer, when there is room.
func (s *stream) remember(w *bufio.Writer, it item) bool {
	select {
	case s.sent <- it:
	default:
		if w.Flush() != nil {
			return false
		}
		select {
		case s.sent <- it:
		case <-s.stop:
			return false
		}
	}
	s.todo = s.todo[1:]
	return true
}

// SPDX-License-Identifier: Apache-2.0

package rest

import (
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/edge"
)

const (
	maxParcel = 100 // events of a stream that are appended together
	inFlight  = 16  // parcels of a stream that are appended and not yet answered
)

// stream publishes NDJSON while it comes. The reading goroutine parses and appends what has come so far; a second one
// waits for the outcomes in order and writes results, the head of the answer with the first. When results are not read,
// the queue between them fills and the body is no longer read. Between lines a client may take any time, within one it
// may not.
type stream struct {
	edge   *Edge
	w      *sender
	r      *http.Request
	o      options
	parse  func(line []byte) (autobus.Event, *autobus.Error)
	lines  lines
	trace  trace
	order  autobus.Stream
	count  int         // events so far
	broken bool        // see edge.Parcel
	ended  atomic.Bool // all of the body was read

	flight chan *edge.Parcel // nil until the first event was read
	done   chan struct{}
	cancel context.CancelCauseFunc
}

func (e *Edge) stream(
	w http.ResponseWriter, r *http.Request, o options, parse func(line []byte) (autobus.Event, *autobus.Error),
) {
	if err := edge.Occupy(r.Context()); err != nil {
		edge.WriteProblem(w, r, err)
		return
	}
	rc := http.NewResponseController(w)
	if err := rc.EnableFullDuplex(); err != nil {
		edge.WriteProblem(w, r, err)
		return
	}
	ctx, cancel := edge.StreamContext(r.Context())
	defer cancel(nil)
	// Only a deadline ends a read of the body.
	interrupt := func() { _ = rc.SetReadDeadline(time.Unix(1, 0)) }
	interrupted := make(chan struct{})
	unhook := context.AfterFunc(ctx, func() { defer close(interrupted); interrupt() })
	// An interrupt under way is waited for: once the handler has returned, there is nothing left whose deadline could be
	// set.
	stop := sync.OnceFunc(func() {
		if !unhook() {
			<-interrupted
		}
	})
	defer stop()
	s := &stream{edge: e, w: newSender(w, e.progress, cancel), r: r, o: o, parse: parse, cancel: cancel,
		lines: lines{r: r.Body, max: maxSingle, hold: edge.IntakeOf(r.Context()).Hold},
		trace: traceOf(r.Header), done: make(chan struct{})}

	s.lines.wait = func(begun time.Time) {
		var deadline time.Time
		if !begun.IsZero() {
			deadline = begun.Add(e.progress)
		}
		_ = rc.SetReadDeadline(deadline)
		if ctx.Err() != nil {
			interrupt() // it may have come just before
		}
	}

	err := s.publish()
	// After the body's end net/http reads ahead to notice when the client leaves; a deadline would look the same and
	// would turn the outcomes that are still to come into unknown.
	stop()
	_ = rc.SetReadDeadline(time.Time{})
	if s.flight == nil {
		s.answerNothing(ctx, err)
		return
	}
	close(s.flight)
	<-s.done
	if err != nil {
		// The stream may be broken towards the client as well.
		_ = s.w.send(append(edge.AppendProblem([]byte(`{"error":`), s.reason(ctx, err),
			edge.RequestID(r.Context())), "}\n"...))
	}
}

// answerNothing ends a request in which no event was read.
func (s *stream) answerNothing(ctx context.Context, err error) {
	if err != nil {
		s.keep()
		edge.WriteProblem(s.w.w, s.r, s.reason(ctx, err))
		return
	}
	s.begin()
}

func (s *stream) begin() {
	s.keep()
	s.w.w.Header().Set("Content-Type", mediaNDJSON)
	s.w.w.WriteHeader(http.StatusOK)
	// When the client is gone already the first result finds out.
	_ = s.w.send(nil)
}

// keep lets the next request have the connection if this one's body is over. What net/http does with the rest of a
// body, in full duplex, collides with it: there must be none.
func (s *stream) keep() {
	if s.r.ProtoMajor == 1 && !s.ended.Load() {
		s.w.w.Header().Set("Connection", "close")
	}
}

// reason tells why the stream ends before its body does.
func (s *stream) reason(ctx context.Context, err error) *autobus.Error {
	var cause *autobus.Error
	if errors.As(context.Cause(ctx), &cause) || errors.As(err, &cause) {
		return cause
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return autobus.NewError(autobus.ReasonBodyUnreadable, "a line did not come to its end within %s",
			s.edge.progress)
	}
	return edge.BodyError(s.r, err, autobus.ReasonEventTooLarge)
}

// publish reads and appends until the body ends, which is no error, or breaks.
func (s *stream) publish() error {
	for {
		p, end := s.read()
		s.ended.Store(errors.Is(s.lines.err, io.EOF))
		if p.Len() > 0 {
			if s.flight == nil {
				s.flight = make(chan *edge.Parcel, inFlight)
				go s.answer()
			}
			refused := p.Publish(s.edge.bus, s.o.timeout)
			s.flight <- p
			if refused != nil {
				// Nothing of it was looked at, so the order of its keys is no longer kept by s.order.
				return refused
			}
		}
		if errors.Is(end, io.EOF) {
			return nil
		}
		if end != nil {
			return end
		}
	}
}

// read waits for one event and takes along what has come besides.
func (s *stream) read() (*edge.Parcel, error) {
	p := edge.NewParcel(s.r, s.o.mode, &s.order, s.count)
	p.Broken = s.broken
	defer func() { s.count, s.broken = s.count+p.Len(), p.Broken }()
	for p.Len() < maxParcel {
		line, err := s.lines.next(p.Len() == 0)
		switch {
		case errors.Is(err, errNotYet):
			return p, nil
		case errors.Is(err, errLong):
			p.Add(autobus.Event{}, autobus.NewError(autobus.ReasonEventTooLarge, "the line has more than %d bytes", maxSingle))
		case err != nil:
			return p, err
		case len(line) > 0:
			ev, invalid := s.parse(line)
			if invalid == nil {
				s.trace.set(&ev)
				invalid = s.o.schedule(&ev)
			}
			p.Add(ev, invalid)
		}
	}
	return p, nil
}

// answer writes the results of each parcel, in order. A client that takes none of them for too long ends the stream;
// what is in flight then is still taken from the queue, so that the reading side never hangs.
func (s *stream) answer() {
	defer close(s.done)
	var (
		buf    []byte
		begun  int
		failed error
	)
	for p := range s.flight {
		if failed != nil {
			p.Cancel()
			continue
		}
		outcomes := p.Wait()
		if begun++; begun == 1 { // not before, so that a body that comes at once leaves the connection to others
			s.begin()
		}
		buf = buf[:0]
		for i, rc := range outcomes {
			buf = append(p.AppendResult(buf, i, rc), '\n')
		}
		p.Forget()
		if failed = s.w.send(buf); failed != nil {
			s.cancel(failed)
		}
	}
}

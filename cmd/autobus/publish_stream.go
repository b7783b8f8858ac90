// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/autobus-io/autobus"
)

// maxLine bounds one line of a stream: an event whose data is base64, with room for its attributes.
const maxLine = 4 << 20

// lineSource calls send for each line to publish, without its end.
type lineSource func(ctx context.Context, send func(line []byte) error) error

func (p *publishFlags) streamPath() string {
	if p.typ == "" {
		return "/v1/events"
	}
	return "/v1/events/" + url.PathEscape(p.typ)
}

// stream publishes lines and prints the receipts while they come. The bus's slowness holds up the source: nothing is
// gathered in between. An interrupt ends the sending; the receipts of what was sent are still waited for.
func (p *publishFlags) stream(ctx context.Context, c *api, path string, in *inputLines, source lineSource) error {
	body, out := io.Pipe()
	sender := &sender{out: out}
	done := make(chan error, 1)
	go func() {
		err := source(ctx, sender.send)
		done <- err
		sender.end()
	}()
	exchanging, giveUp := context.WithCancel(context.WithoutCancel(ctx))
	defer giveUp()
	defer context.AfterFunc(ctx, func() {
		late := time.AfterFunc(answerGrace, giveUp)
		context.AfterFunc(exchanging, func() { late.Stop() })
		sender.end()
	})()
	r := &receipts{app: p.app, typ: p.typ, input: in}
	err := p.exchange(exchanging, c, path, body, r)
	r.close(err != nil)
	// Ends the source where it waits for the pipe; one that waits for stdin ends with the process.
	_ = body.Close()
	var badInput *exitError
	select {
	case sourceErr := <-done:
		errors.As(sourceErr, &badInput)
	default:
	}
	switch {
	case err == nil && ctx.Err() != nil:
		r.summary()
		return &exitError{code: exitInterrupted}
	case err == nil && badInput != nil:
		r.summary()
		return badInput
	case err == nil:
		return r.end()
	}
	r.summary()
	unknown := ctx.Err() != nil || errors.Is(err, &autobus.Error{Reason: autobus.ReasonOutcomeUnknown})
	if left := sender.sent.Load() - r.total(); unknown && left > 0 {
		p.app.note("%d events were sent and not answered; they may have been written.", left)
	}
	return err
}

// sender writes whole lines into the request, until its end.
type sender struct {
	sent atomic.Int64

	mu  sync.Mutex // a line is written whole or not at all
	out *io.PipeWriter
}

func (s *sender) send(line []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, err := s.out.Write(append(line, '\n')); err != nil {
		return err
	}
	s.sent.Add(1)
	return nil
}

// end ends the request in good order, so that what was sent gets its receipts.
func (s *sender) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	_ = s.out.Close() // it never fails
}

func (p *publishFlags) exchange(ctx context.Context, c *api, path string, body io.Reader, r *receipts) error {
	// The request goes out with the first line: a body that is still empty would have the bus wait for it.
	first := bufio.NewReaderSize(body, 64<<10)
	if _, err := first.Peek(1); err != nil {
		if !errors.Is(err, io.EOF) {
			return err
		}
		p.app.note("stdin was empty: nothing published.")
		return nil
	}
	publish := call{method: http.MethodPost, path: path, query: p.query(), body: first, changes: true,
		header: http.Header{"Content-Type": {"application/x-ndjson"}}}
	resp, err := c.do(ctx, publish)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	answers := bufio.NewReaderSize(resp.Body, 64<<10)
	for {
		line, err := readLine(answers)
		if len(line) > 0 {
			if err := r.take(line); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return c.lost(ctx, publish, err)
		}
	}
}

// lines reads stdin. Without a type it takes the event out of what tail and consume wrote.
func (p *publishFlags) lines(ctx context.Context, c *api, sent *inputLines, send func([]byte) error) error {
	tailed := &tailedLines{keyed: func(name string) bool { return c.keyed(ctx, name, p.app.timeout) }}
	in := bufio.NewReaderSize(p.app.in, 64<<10)
	for n := 1; ; n++ {
		line, err := readLine(in)
		if errors.Is(err, bufio.ErrTooLong) {
			return usage("line %d of stdin is over %d bytes", n, maxLine).
				WithHint("The lines before it were published; an event has at most %d bytes.", autobus.MaxEventBytes)
		}
		if p.typ == "" {
			line = tailed.event(line)
		}
		if len(bytes.TrimSpace(line)) > 0 {
			at := inputLine{number: n}
			if p.typ == "" {
				at.typ = namedType(line)
			}
			sent.add(at)
			if err := send(line); err != nil {
				return err
			}
		}
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return usage("stdin cannot be read: %s", err).WithHint("The lines before were published.")
		case ctx.Err() != nil:
			return context.Cause(ctx)
		}
	}
}

// readLine reads up to the end of a line, which it cuts off. The line is the caller's until the next call.
func readLine(r *bufio.Reader) ([]byte, error) {
	line, err := r.ReadSlice('\n')
	if !errors.Is(err, bufio.ErrBufferFull) {
		return bytes.TrimRight(line, "\r\n"), err
	}
	long := bytes.Clone(line)
	for errors.Is(err, bufio.ErrBufferFull) {
		line, err = r.ReadSlice('\n')
		long = append(long, line...)
		if len(long) > maxLine {
			return nil, bufio.ErrTooLong
		}
	}
	return bytes.TrimRight(long, "\r\n"), err
}

// repeat sends the same event --count times, at --rate if there is one.
func (p *publishFlags) repeat(ctx context.Context, data []byte, send func([]byte) error) error {
	if !json.Valid(data) {
		return usage("the data is not JSON").WithHint("Mend it, or publish it once to see where the fault is.")
	}
	event := map[string]any{"specversion": "1.0", "type": p.typ, "data": json.RawMessage(data)}
	for name, value := range p.attributes() {
		event[name] = value
	}
	line, err := json.Marshal(event)
	if err != nil {
		return err
	}
	var tick <-chan time.Time
	if p.rate > 0 {
		t := time.NewTicker(max(time.Microsecond, time.Duration(float64(time.Second)/p.rate)))
		defer t.Stop()
		tick = t.C
	}
	for i := range p.count {
		if i > 0 && tick != nil {
			select {
			case <-tick:
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}
		if err := send(line); err != nil {
			return err
		}
	}
	return nil
}

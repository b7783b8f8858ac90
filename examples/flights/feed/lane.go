// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"
)

const (
	rounds   = 12                     // streams in a row that write nothing, before a lane gives up
	pause    = 100 * time.Millisecond // before the second stream; doubled until maxPause
	maxPause = 5 * time.Second
)

// item is an event on its way.
type item struct {
	id   string
	row  int    // line of the file
	line []byte // of NDJSON
}

// lane publishes the events of some keys, in order, over one connection at a time.
type lane struct {
	feed   *feed
	client *http.Client
	in     <-chan item
}

// run publishes until in is closed and everything is settled. When a stream leaves something open, nothing new is sent
// before that was tried again: what was sent after it, with the same key, would overtake it.
func (l *lane) run(ctx context.Context) error {
	first := l.feed.pause
	if first == 0 {
		first = pause
	}
	var open []item
	wait, idle := first, 0
	for {
		s := newStream(ctx, l, open)
		s.run()
		open = s.left()
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case s.fatal != nil:
			return s.fatal
		case len(open) == 0 && s.drained:
			return nil
		case s.settled > 0:
			wait, idle = first, 0
		default:
			idle++
		}
		if idle == rounds {
			return fmt.Errorf("nothing was written %d times in a row: %w", rounds, s.why)
		}
		l.feed.count.add(func(c *counts) { c.repetitions += len(open) })
		if err := sleep(ctx, max(wait, s.after)); err != nil {
			return err
		}
		wait = min(2*wait, maxPause)
	}
}

// sleep waits for d, or for the end of ctx.
func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// result is one line of the answer: the outcome of an event, or with nothing but an error the end of the stream.
type result struct {
	ID        string   `json:"id"`
	Status    string   `json:"status"`
	Duplicate bool     `json:"duplicate"`
	Error     *problem `json:"error"`
}

// problem is what the bus says when something goes wrong.
type problem struct {
	Reason     string `json:"reason"`
	Detail     string `json:"detail"`
	Retriable  bool   `json:"retriable"`
	RetryAfter string `json:"retry_after"`
}

func (p *problem) err() error {
	if p == nil {
		return errors.New("the bus did not say why")
	}
	return errors.New(p.Reason + ": " + p.Detail)
}

func (p *problem) after() time.Duration {
	if p == nil {
		return 0
	}
	d, err := time.ParseDuration(p.RetryAfter)
	if err != nil {
		return 0
	}
	return min(d, maxPause)
}

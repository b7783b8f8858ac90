// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/autobus-io/autobus"
)

// delivery is an event handed to a worker, as the bus tells it.
type delivery struct {
	Lease   string `json:"lease"`
	Attempt int    `json:"attempt"`
	Fence   uint64 `json:"fence"`
	placedEvent
}

// news is what a reader has to tell.
type news struct {
	deliveries []json.RawMessage
	lost       *positionLost
	connected  bool  // again, or for the first time
	broken     error // why the connection ended; it is tried again if that can help
}

// positionLost says that retention overtook the subscription.
type positionLost struct {
	Type      string `json:"type"`
	Partition int32  `json:"partition"`
	From      int64  `json:"from"`
	To        int64  `json:"to"`
}

// reader brings the events of a subscription. What holds it up is who takes its news.
//
// It reads a stream, whose leases end with the connection, or fetches by long poll as many events as are wanted, whose
// leases live on. A stream hears at once of a worker that is gone, but brings the next events as soon as others are
// acked, also to a worker that wants to leave: so it says goodbye first. Who works long on few events fetches them.
type reader struct {
	api     *api
	path    string
	window  int           // 0 = the subscription's
	answer  time.Duration // how long the bus may take to answer
	news    chan news
	want    chan int     // how many events to fetch; nil = a stream
	connect bool         // whether the next sign of life is worth telling
	session atomic.Value // string, of the stream that is open
}

// How long a reader waits before it connects again.
const (
	firstPause = 200 * time.Millisecond
	lastPause  = 5 * time.Second
)

// run reads until ctx ends, over as many connections as it takes, or until an error that another one would meet too.
func (r *reader) run(ctx context.Context) {
	pause := firstPause
	for {
		r.connect = true
		err := r.once(ctx)
		if ctx.Err() != nil {
			return
		}
		if !r.connect {
			pause = firstPause
		}
		if !r.tell(ctx, news{broken: err}) || !retriable(err) {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
		pause = min(2*pause, lastPause)
	}
}

func retriable(err error) bool {
	e, ok := errors.AsType[*autobus.Error](err)
	return ok && e.Retriable()
}

func (r *reader) once(ctx context.Context) error {
	if r.want != nil {
		return r.poll(ctx)
	}
	return r.stream(ctx)
}

func (r *reader) tell(ctx context.Context, n news) bool {
	select {
	case r.news <- n:
		return true
	case <-ctx.Done():
		return false
	}
}

func (r *reader) connected(ctx context.Context) {
	if r.connect {
		r.connect = false
		r.tell(ctx, news{connected: true})
	}
}

// stream reads one connection to its end. Its leases end with it.
func (r *reader) stream(ctx context.Context) error {
	session := rand.Text()
	r.session.Store(session)
	q := url.Values{"session": {session}}
	if r.window > 0 {
		q.Set("window", strconv.Itoa(r.window))
	}
	return r.api.lines(ctx, r.path+"/stream", q, r.answer, func() { r.connected(ctx) }, func(line []byte) error {
		var f struct {
			Op         string            `json:"op"`
			Deliveries []json.RawMessage `json:"deliveries"`
			Error      *problem          `json:"error"`
		}
		if err := json.Unmarshal(line, &f); err != nil {
			return unreadable("a line of the stream", err)
		}
		switch f.Op {
		case "events":
			r.tell(ctx, news{deliveries: f.Deliveries})
		case "position_lost":
			lost := &positionLost{}
			if err := json.Unmarshal(line, lost); err != nil {
				return unreadable("a line of the stream", err)
			}
			r.tell(ctx, news{lost: lost})
		case "error":
			if f.Error == nil {
				return autobus.NewError(autobus.ReasonServerUnreachable, "an error of the stream does not say which")
			}
			return f.Error.exit()
		}
		return nil // the rest is not for it: heartbeats, a drain, leases taken back of what it has written and acked
	})
}

// goodbye ends the stream politely: what is left of it goes to others at once, and nobody's failure is counted. The bus
// may be gone; then the end of the connection has to do.
func (r *reader) goodbye(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	session, _ := r.session.Load().(string)
	leave := call{method: http.MethodDelete, path: r.path + "/sessions/" + session}
	if resp, err := r.api.do(ctx, leave); err == nil {
		_ = resp.Body.Close()
	}
}

// pollWait is how long the bus may wait for an event before it answers that there is none.
const pollWait = 20 * time.Second

// poll fetches events again and again, no more than are wanted.
func (r *reader) poll(ctx context.Context) error {
	for {
		var n int
		select {
		case n = <-r.want:
		case <-ctx.Done():
			return ctx.Err()
		}
		q := url.Values{"max": {strconv.Itoa(min(n, autobus.MaxBatchEvents))}, "wait": {pollWait.String()}}
		fetch := call{method: http.MethodGet, path: r.path + "/events", query: q}
		doc, _, err := r.api.exchange(ctx, fetch, pollWait+r.answer)
		if err != nil {
			return err
		}
		var answer struct {
			Deliveries []json.RawMessage `json:"deliveries"`
		}
		if err := json.Unmarshal(doc, &answer); err != nil {
			return unreadable("the answer", err)
		}
		r.connected(ctx)
		if !r.tell(ctx, news{deliveries: answer.Deliveries}) {
			return ctx.Err()
		}
	}
}

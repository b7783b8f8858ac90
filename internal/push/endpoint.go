// SPDX-License-Identifier: Apache-2.0

package push

import (
	"context"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/autobus-io/autobus"
)

// How long a blocked endpoint is left alone.
const (
	blockFirst   = time.Second
	blockLongest = time.Minute
)

// How long what surrounds a request may take.
const (
	dialTime  = 10 * time.Second
	idleTime  = 90 * time.Second
	pauseTime = 10 * time.Second
)

// endpoint is where one subscription's events go, as long as its policy stays. Blocked, it lets one event through at a
// time, as a probe.
type endpoint struct {
	cfg     *Config
	metrics *metrics
	name    string
	policy  autobus.Policy
	push    autobus.Push
	client  *http.Client

	shaking sync.Mutex
	shaken  bool
	every   time.Duration // between two requests, as the endpoint allowed; written before shaken, 0 = at will

	mu      sync.Mutex
	changed chan struct{} // closed and replaced when it is blocked, freed, or a probe ended
	probing bool
	wait    time.Duration
	slot    time.Time // of the next request, by every
	status  Status
}

// Status is how pushing to an endpoint goes.
type Status struct {
	LastStatus int        // of HTTP; 0 = there was no answer
	LastError  string     // of the latest failure, also when requests succeed since
	LastTime   *time.Time // when the latest request ended
	Blocked    *time.Time // since when the endpoint takes nothing
	Next       *time.Time // when it is asked again; with Blocked
}

func newEndpoint(cfg *Config, m *metrics, g guard, s Subscription) *endpoint {
	dialer := &net.Dialer{Timeout: dialTime, Control: g.control}
	n := concurrency(s.Policy)
	return &endpoint{cfg: cfg, metrics: m, name: s.Name, policy: s.Policy, push: *s.Policy.Delivery.Push,
		changed: make(chan struct{}),
		client: &http.Client{
			Transport: &http.Transport{DialContext: dialer.DialContext, TLSHandshakeTimeout: dialTime, ForceAttemptHTTP2: true,
				MaxIdleConnsPerHost: n, MaxConnsPerHost: n, IdleConnTimeout: idleTime, MaxResponseHeaderBytes: 64 << 10},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		}}
}

// handle is the worker's handler: it returns when the events are done, when one more attempt at them failed, or when
// they are somebody else's.
func (e *endpoint) handle(ctx context.Context, ds []*autobus.Delivery) error {
	for {
		probe, err := e.enter(ctx)
		if err != nil {
			return err
		}
		begun := time.Now()
		v := e.post(ctx, ds)
		e.metrics.count(v, time.Since(begun))
		switch e.note(v, probe); {
		case v.err == nil:
			return nil
		case v.about == gone:
			e.retire(ctx)
		case v.about == theEvent && v.wait > 0:
			return autobus.RetryAfter(v.wait, v.err)
		case v.about != theEndpoint:
			return v.err
		}
	}
}

// enter waits until an event may be sent, and says whether it goes as the probe of a blocked endpoint.
func (e *endpoint) enter(ctx context.Context) (probe bool, err error) {
	for {
		e.mu.Lock()
		if e.status.Blocked == nil {
			e.mu.Unlock()
			return false, nil
		}
		left := time.Until(*e.status.Next)
		if !e.probing && left <= 0 {
			e.probing = true
			e.mu.Unlock()
			return true, nil
		}
		changed, probing := e.changed, e.probing
		e.mu.Unlock()
		timer := time.NewTimer(max(left, 0))
		due := timer.C
		if probing {
			due = nil
		}
		select {
		case <-ctx.Done():
			err = context.Cause(ctx)
		case <-changed:
		case <-due:
		}
		timer.Stop()
		if err != nil {
			return false, err
		}
	}
}

// note takes note of how a request ended, and blocks or frees the endpoint.
func (e *endpoint) note(v verdict, probe bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	now := time.Now().UTC()
	if probe {
		e.probing = false
		defer e.signal()
	}
	if v.about == nobody {
		return
	}
	s := &e.status
	s.LastStatus, s.LastTime = v.status, &now
	if v.err != nil {
		s.LastError = v.err.Error()
	}
	switch {
	case v.about != theEndpoint && v.about != gone:
		if probe { // what was sent before it was blocked says nothing of now
			e.cfg.Logger.Info("the endpoint takes events again", "subscription", e.name, "blocked",
				now.Sub(*s.Blocked).Round(time.Second))
			e.metrics.blocked.Dec()
			s.Blocked, s.Next, e.wait = nil, nil, 0
			e.signal()
		}
		return
	case s.Blocked == nil:
		s.Blocked, e.wait = &now, blockFirst
		e.metrics.blocked.Inc()
		e.cfg.Logger.Error("the endpoint takes no events, and no attempt is counted: unless it is gone, it is asked again",
			"subscription", e.name, "owner", e.policy.Owner, "reason", s.LastError)
	case probe:
		e.wait = min(2*e.wait, blockLongest)
	case v.about != gone:
		return // sent before it was blocked
	}
	if v.about == gone {
		e.wait = blockLongest // by then the subscription is paused, and this worker no more
	}
	next := now.Add(max(e.wait, v.wait))
	s.Next = &next
}

func (e *endpoint) signal() {
	close(e.changed)
	e.changed = make(chan struct{})
}

// retire pauses the subscription of an endpoint that wants no more. Its worker ends by that; if it cannot be written,
// the next probe leads here again.
func (e *endpoint) retire(ctx context.Context) {
	bounded, cancel := context.WithTimeout(ctx, pauseTime)
	defer cancel()
	if err := e.cfg.Pause(bounded, e.name, "the endpoint answered 410 Gone"); err != nil && ctx.Err() == nil {
		e.cfg.Logger.Warn("pause the subscription of an endpoint that is gone", "subscription", e.name, "error", err)
	}
}

// end gives up what the endpoint holds.
func (e *endpoint) end() {
	e.client.CloseIdleConnections()
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.status.Blocked != nil {
		e.metrics.blocked.Dec()
	}
}

func (e *endpoint) now() Status {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.status
}

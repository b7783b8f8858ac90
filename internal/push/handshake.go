// SPDX-License-Identifier: Apache-2.0

package push

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// handshakeTime bounds the question whether an endpoint wants events.
const handshakeTime = 10 * time.Second

// shakeHands asks the endpoint, once for each worker, whether it wants events, as the webhook specification of
// CloudEvents has it. One that says for whom it takes events is held to it; one that says nothing gets them unless the
// policy requires the handshake, because few receivers of webhooks know it.
func (e *endpoint) shakeHands(ctx context.Context) verdict {
	e.shaking.Lock()
	defer e.shaking.Unlock()
	if e.shaken {
		return verdict{}
	}
	own, cancel := context.WithTimeout(ctx, handshakeTime)
	defer cancel()
	req, err := http.NewRequestWithContext(own, http.MethodOptions, e.push.URL, nil)
	if err != nil {
		return verdict{err: err, about: theEndpoint, outcome: "blocked"}
	}
	req.Header.Set("User-Agent", e.cfg.Agent)
	req.Header.Set("WebHook-Request-Origin", e.cfg.Origin)
	res, err := e.client.Do(req)
	if err != nil {
		v := e.unanswered(ctx, err)
		if v.about == theEvent { // no event was sent yet
			v.about, v.outcome = theEndpoint, "blocked"
		}
		return v
	}
	_ = res.Body.Close()
	if res.StatusCode == http.StatusGone {
		return judge(res.StatusCode, res.Header, time.Now())
	}
	origin := res.Header.Get("WebHook-Allowed-Origin")
	known := origin != "" && res.StatusCode < 300
	switch {
	case known && origin != "*" && !strings.EqualFold(origin, e.cfg.Origin):
		err = fmt.Errorf("the endpoint takes events of %q, not of %q", clip(origin), e.cfg.Origin)
	case !known && e.push.Handshake:
		err = fmt.Errorf("the endpoint answered the handshake with %d and without WebHook-Allowed-Origin", res.StatusCode)
	}
	if err != nil {
		return verdict{status: res.StatusCode, err: err, about: theEndpoint, outcome: "blocked",
			wait: retryAfter(res.Header.Get("Retry-After"), time.Now())}
	}
	if n, bad := strconv.ParseUint(res.Header.Get("WebHook-Allowed-Rate"), 10, 31); known && bad == nil && n > 0 {
		e.every = time.Minute / time.Duration(n)
	}
	e.shaken = true
	return verdict{}
}

// pace waits until the rate that the endpoint allowed has room for one more request.
func (e *endpoint) pace(ctx context.Context) error {
	e.mu.Lock()
	now := time.Now()
	at := e.slot
	if at.Before(now) {
		at = now
	}
	e.slot = at.Add(e.every)
	e.mu.Unlock()
	if !at.After(now) {
		return nil
	}
	timer := time.NewTimer(at.Sub(now))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return nil
	}
}

func clip(s string) string { return s[:min(len(s), 100)] }

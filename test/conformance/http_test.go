// SPDX-License-Identifier: Apache-2.0

package conformance

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"sync"

	"github.com/autobus-io/autobus"
)

// httpBus speaks the HTTP API; how the events of a subscription come is one of its protocols' business.
type httpBus struct {
	site    *site
	token   string
	consume func(context.Context, *httpBus, *autobus.Subscription, autobus.Handler) error

	leases sync.Map // autobus.Lease -> lent
}

// lent is a lease that a reader of this bus was given.
type lent struct {
	subscription string
	release      func() // called when it is over
}

func (b *httpBus) do(ctx context.Context, method, path string, body []byte, header http.Header) (*http.Response,
	error) {
	r, err := http.NewRequestWithContext(ctx, method, "http://"+b.site.addr+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	maps.Copy(r.Header, header)
	r.Header.Set("Authorization", "Bearer "+b.token)
	resp, err := b.site.http.Do(r)
	if err != nil {
		return nil, unreachable(err)
	}
	return resp, nil
}

// call exchanges JSON. The error is the problem that the answer is, or says why there is no answer.
func (b *httpBus) call(ctx context.Context, method, path, media string, body []byte, answer any) error {
	header := http.Header{}
	if body != nil {
		header.Set("Content-Type", media)
	}
	resp, err := b.do(ctx, method, path, body, header)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.Header.Get("Content-Type") == "application/problem+json" {
		return readProblem(resp)
	}
	raw, err := io.ReadAll(resp.Body)
	switch {
	case err != nil:
		return unreachable(err)
	case answer == nil:
		return nil
	}
	return json.Unmarshal(raw, answer)
}

func readProblem(resp *http.Response) error {
	var p problem
	err := json.NewDecoder(resp.Body).Decode(&p)
	if err == nil && p.Reason == "" {
		err = errors.New("it has no reason")
	}
	if err != nil {
		return fmt.Errorf("status %d without a problem: %w", resp.StatusCode, err)
	}
	return p.err()
}

// Publish returns when all is settled.
func (b *httpBus) Publish(ctx context.Context, batch *autobus.Batch) error {
	var answer struct {
		Results []result `json:"results"`
	}
	err := b.call(ctx, http.MethodPost, "/v1/events?mode="+modeWord(batch.Mode), "application/cloudevents-batch+json",
		appendEvents(nil, batch.Events), &answer)
	e := autobus.AsError(err)
	if e != nil && e.Reason != autobus.ReasonServerUnreachable {
		return err
	}
	if err := batch.Open(); err != nil {
		return err
	}
	if e != nil {
		lose(batch, e)
	} else {
		resolve(batch, answer.Results)
	}
	return nil
}

// Subscribe makes the subscription, if asked to, before it reads.
func (b *httpBus) Subscribe(ctx context.Context, s autobus.Subscription, h autobus.Handler) error {
	if err := wellFormed(&s); err != nil {
		return err
	}
	if s.Name == "" {
		return b.tail(ctx, &s, h)
	}
	if s.Create != nil {
		policy, err := json.Marshal(s.Create)
		if err != nil {
			return err
		}
		if err := b.call(ctx, http.MethodPut, subscriptionPath(s.Name), "application/json", policy, nil); err != nil {
			return err
		}
	}
	return b.consume(ctx, b, &s, h)
}

func subscriptionPath(name string) string { return "/v1/subscriptions/" + url.PathEscape(name) }

// lend notes leases, which are settled under their subscription.
func (b *httpBus) lend(name string, ds []autobus.Delivery, release func()) {
	for _, d := range ds {
		b.leases.Store(d.Lease, lent{name, sync.OnceFunc(release)})
	}
}

// Settle sends one request for each subscription. A lease of nobody goes with the others.
func (b *httpBus) Settle(ctx context.Context, ss []autobus.Settlement) error {
	names := make([]string, len(ss))
	somebodys := "no-such-subscription"
	for i, s := range ss {
		names[i] = s.Subscription
		if l, ok := b.leases.Load(s.Lease); ok && names[i] == "" {
			names[i] = l.(lent).subscription
		}
		if names[i] != "" {
			somebodys = names[i]
		}
	}
	requests := map[string][]*autobus.Settlement{}
	for i := range ss {
		if names[i] == "" {
			names[i] = somebodys
		}
		requests[names[i]] = append(requests[names[i]], &ss[i])
	}
	for name, part := range requests {
		if err := b.ack(ctx, name, part); err != nil {
			return err
		}
	}
	return nil
}

func (b *httpBus) ack(ctx context.Context, name string, ss []*autobus.Settlement) error {
	var in struct {
		Results []ack `json:"results"`
	}
	for _, s := range ss {
		in.Results = append(in.Results, ackOf(s))
	}
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	var answer struct {
		Results []verdict `json:"results"`
	}
	err = b.call(ctx, http.MethodPost, subscriptionPath(name)+"/acks", "application/json", body, &answer)
	if err != nil {
		return err
	}
	if len(answer.Results) != len(ss) {
		return fmt.Errorf("%d acks were answered by %d results", len(ss), len(answer.Results))
	}
	for i, r := range answer.Results {
		if r.Lease != ss[i].Lease {
			return fmt.Errorf("result %d is of the lease %q, not of %q", i, r.Lease, ss[i].Lease)
		}
		if ss[i].Err, err = r.read(); err != nil {
			return err
		}
		if r.Error != nil {
			continue // the lease still stands
		}
		if l, ok := b.leases.Load(r.Lease); ok && ss[i].Outcome.Kind != autobus.Extend && r.Status != "unknown" {
			l.(lent).release()
		}
	}
	return nil
}

// tail reads without a group, as every transport over HTTP does.
func (b *httpBus) tail(ctx context.Context, s *autobus.Subscription, h autobus.Handler) error {
	q := url.Values{"type": s.Tail, "from": {fromWord(s.From)}}
	if s.Filter != "" {
		q.Set("filter", s.Filter)
	}
	resp, err := b.do(ctx, http.MethodGet, "/v1/tail?"+q.Encode(), nil, nil)
	if err == nil {
		defer resp.Body.Close()
		err = tailed(ctx, resp, s, h)
	}
	return unlessOver(ctx, err)
}

// unlessOver forgets what the end of a subscription brings about.
func unlessOver(ctx context.Context, err error) error {
	if ctx.Err() == nil {
		return err
	}
	return nil
}

func tailed(ctx context.Context, resp *http.Response, s *autobus.Subscription, h autobus.Handler) error {
	if resp.StatusCode != http.StatusOK {
		return readProblem(resp)
	}
	if s.Opened != nil {
		s.Opened("")
	}
	lines := bufio.NewReader(resp.Body)
	for {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			return unreachable(err)
		}
		var in struct {
			delivery
			Heartbeat string   `json:"heartbeat"`
			Error     *problem `json:"error"`
		}
		if err := json.Unmarshal(line, &in); err != nil {
			return fmt.Errorf("line %q: %w", line, err)
		}
		switch {
		case in.Error != nil:
			return in.Error.err()
		case in.Heartbeat != "":
			continue
		}
		ds, err := readDeliveries([]delivery{in.delivery})
		if err != nil {
			return err
		}
		h(ctx, ds)
	}
}

// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/autobus-io/autobus"
)

// ack is the outcome of one delivery, as the bus takes it.
type ack struct {
	Lease   string              `json:"lease"`
	Outcome autobus.OutcomeKind `json:"outcome"`
	Reason  string              `json:"reason,omitempty"`
}

// acks tells outcomes, one request at a time: what comes meanwhile goes with the next one. So nothing waits longer than
// one exchange, and many go together when there are many.
type acks struct {
	api     *api
	path    string
	timeout time.Duration
	answers chan ackAnswer

	pending []ack
	sending bool
	later   <-chan time.Time // set while a failed request is not yet to be tried again
}

// ackAnswer is what the bus says of a request's outcomes, or why it said nothing.
type ackAnswer struct {
	sent    []ack
	results []ackResult
	err     error
}

type ackResult struct {
	Lease  string   `json:"lease"`
	Status string   `json:"status"`
	Error  *problem `json:"error"`
}

// maxAcks is how many outcomes go into one request; leases have some hundred bytes.
const maxAcks = 1000

func (a *acks) add(one ack) { a.pending = append(a.pending, one) }

func (a *acks) idle() bool { return len(a.pending) == 0 && !a.sending }

// pause ends when a failed request may be tried again.
func (a *acks) pause() <-chan time.Time { return a.later }

func (a *acks) resume() { a.later = nil }

// send tells what is pending, unless a request is under way.
func (a *acks) send(ctx context.Context) {
	if a.sending || len(a.pending) == 0 || a.later != nil {
		return
	}
	n := min(len(a.pending), maxAcks)
	sent := a.pending[:n:n]
	a.pending, a.sending = a.pending[n:], true
	go func() {
		results, err := a.exchange(ctx, sent)
		a.answers <- ackAnswer{sent, results, err}
	}()
}

func (a *acks) exchange(ctx context.Context, sent []ack) ([]ackResult, error) {
	doc, _, err := a.api.sendJSON(ctx, http.MethodPost, a.path, map[string][]ack{"results": sent}, a.timeout)
	if err != nil {
		return nil, err
	}
	var answer struct {
		Results []ackResult `json:"results"`
	}
	if err := json.Unmarshal(doc, &answer); err != nil {
		return nil, unreadable("the answer to acks", err)
	}
	if len(answer.Results) != len(sent) {
		return nil, autobus.NewError(autobus.ReasonServerUnreachable, "%d acks were answered by %d results", len(sent),
			len(answer.Results))
	}
	return answer.Results, nil
}

// answered handles what the bus said of outcomes. Those that it could not take now are told again, unless the command
// is about to end: then their events come again.
func (c *consumer) answered(a *ackAnswer) {
	c.acks.sending = false
	if a.err != nil {
		c.unanswered(a)
		return
	}
	var stale []*job
	for i, r := range a.results {
		sent := a.sent[i]
		j := c.jobs[sent.Lease]
		switch {
		case j == nil: // an extension of what is done meanwhile
		case r.Status == "failed" && !c.stopping:
			c.acks.add(sent)
			c.acks.later = time.After(firstPause)
		case r.Status == "ok" && sent.Outcome == autobus.Extend:
		case r.Status == "ok":
			c.settled++
			c.outcomes[sent.Outcome]++
			delete(c.jobs, j.Lease)
		case sent.Outcome == autobus.Extend:
			c.drop(j)
		default:
			stale = append(stale, j)
			delete(c.jobs, j.Lease)
		}
	}
	c.tellStale(stale)
}

func (c *consumer) tellStale(stale []*job) {
	if n := len(stale); n > 0 {
		c.app.note("%s did not count, because the lease had ended: %s, of attempt %d. What did not count comes again.",
			count(n, "outcome", "outcomes, the first of them"), stale[0], stale[0].Attempt)
	}
}

// unanswered handles outcomes of which nothing is known.
func (c *consumer) unanswered(a *ackAnswer) {
	if !c.stopping && retriable(a.err) {
		c.acks.pending = append(a.sent, c.acks.pending...)
		c.acks.later = time.After(firstPause)
		return
	}
	if !retriable(a.err) {
		c.fail(a.err)
	}
	lost := append(a.sent, c.acks.pending...)
	c.acks.pending = nil
	n := 0
	for _, one := range lost {
		if j := c.jobs[one.Lease]; j != nil && one.Outcome != autobus.Extend {
			delete(c.jobs, j.Lease)
			n++
		}
	}
	if n > 0 {
		c.app.note("%s could not be told. What did not count comes again.", count(n, "outcome", "outcomes"))
	}
}

// extend renews the leases of all events that a command works on or that wait for one.
func (c *consumer) extend() {
	for _, j := range c.jobs {
		if j.state != jobSettles && !j.gone {
			c.acks.add(ack{Lease: j.Lease, Outcome: autobus.Extend})
		}
	}
}

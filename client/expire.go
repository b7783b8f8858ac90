// SPDX-License-Identifier: Apache-2.0

package client

import (
	"context"
	"slices"
	"time"

	"github.com/autobus-io/autobus"
)

// sweep gives up what waited too long.
func (q *courier) sweep(ctx context.Context) {
	ticker := time.NewTicker(min(max(q.resendFor/30, 5*time.Millisecond), time.Second))
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			q.expire(time.Now())
		}
	}
}

// expire gives up what is due, and sends again what was set aside.
func (q *courier) expire(now time.Time) {
	why := q.unlinked()
	q.mu.Lock()
	for _, p := range q.aside {
		q.putBack(p)
	}
	if len(q.aside) > 0 {
		q.aside = nil
		q.wake()
	}
	var out []outcome
	q.queue = slices.DeleteFunc(q.queue, func(p *parcel) bool {
		due := !p.due.After(now)
		if due {
			out = q.giveUp(out, p, p.doubt, why)
		}
		return due
	})
	if q.line != nil {
		for _, s := range q.line.flying {
			for i := range s.parts {
				if p := s.parts[i].parcel; p != nil && !s.writing && !p.due.After(now) {
					out = q.giveUp(out, p, true, why)
					s.parts[i].parcel = nil
				}
			}
		}
	}
	q.mu.Unlock()
	q.settle(out)
}

// giveUp settles what is left of a parcel without an answer. What follows in its stream has to wait for it.
func (q *courier) giveUp(out []outcome, p *parcel, doubt bool, why *autobus.Error) []outcome {
	r := autobus.Receipt{Status: autobus.Refused, Err: unsent(why)}
	if doubt {
		r = autobus.Receipt{Status: autobus.Unknown, Err: autobus.NewError(autobus.ReasonOutcomeUnknown,
			"the gateway did not answer within %s; the event may still be written", q.resendFor).
			WithCause(unreachable("the gateway did not answer"))}
	}
	for k := range p.left() {
		p.lane.failed(p.batch, p.at(k), r, nil)
		out = append(out, outcome{p, p.at(k), r})
	}
	return out
}

// unsent is the refusal of what never left, with the reason and the hint of the connection that was not made.
func unsent(why *autobus.Error) *autobus.Error {
	if why == nil {
		return unreachable("nothing was sent: the gateway took no more in time")
	}
	return unreachable("nothing was sent: %s", why.Detail).WithCause(why).WithHint("%s", why.NextStep())
}

// close takes no more and waits until all is answered, or ctx is over.
func (q *courier) close(ctx context.Context) error {
	q.mu.Lock()
	q.closed = true
	for _, w := range q.waiting {
		close(w.admit)
	}
	q.waiting = nil
	if q.used == 0 {
		q.mu.Unlock()
		return nil
	}
	if q.idle == nil {
		q.idle = make(chan struct{})
	}
	idle := q.idle
	q.mu.Unlock()
	select {
	case <-idle:
		return nil
	case <-ctx.Done():
		return autobus.NewError(autobus.ReasonOutcomeUnknown, "the client was closed before the gateway answered all").
			WithCause(context.Cause(ctx))
	}
}

// abandon gives up all that is left, and what is still to come.
func (q *courier) abandon() {
	q.mu.Lock()
	q.over = true
	q.mu.Unlock()
	q.expire(time.Now().Add(24 * time.Hour * 365))
}

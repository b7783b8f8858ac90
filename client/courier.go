// SPDX-License-Identifier: Apache-2.0

package client

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"
	"weak"

	"github.com/autobus-io/autobus"
)

// parcel is a batch on its way. It is in one place at a time: in the queue, in one shipment, or set aside.
type parcel struct {
	batch  *autobus.Batch
	lane   *lane // nil = it stands alone
	size   int
	due    time.Time
	number uint64       // in the order of Publish
	todo   []int        // events still to be sent, by index; nil = all of them
	open   atomic.Int32 // events without an outcome
	doubt  bool         // a gateway may have written what is left of it
}

func (p *parcel) left() int {
	if p.todo == nil {
		return len(p.batch.Events)
	}
	return len(p.todo)
}

// at gives the index of the k-th event that is still to be sent.
func (p *parcel) at(k int) int {
	if p.todo == nil {
		return k
	}
	return p.todo[k]
}

// courier brings batches to the gateway: the queue, the room in it, and what is in flight.
type courier struct {
	most      int // bytes
	resendFor time.Duration

	mu      sync.Mutex
	queue   []*parcel // by number
	aside   []*parcel // what a gateway is not sure of, until the next sweep
	number  uint64
	used    int // bytes in queue and in flight
	waiting []*waiter
	lanes   map[weak.Pointer[autobus.Stream]]*lane
	line    *line // over which events go now; nil = no connection
	next    *conn // whose turn it is when the line has all its answers
	closed  bool
	idle    chan struct{} // not nil: closed when nothing is left
}

// waiter waits for room.
type waiter struct {
	size  int
	admit chan struct{} // closed when it has it
	in    bool
}

// outcome is a receipt and whose it is.
type outcome struct {
	parcel  *parcel
	index   int
	receipt autobus.Receipt
}

func newCourier(most int, resendFor time.Duration) *courier {
	return &courier{most: most, resendFor: resendFor, lanes: map[weak.Pointer[autobus.Stream]]*lane{}}
}

// enter waits for room, first come, first served.
func (q *courier) enter(ctx context.Context, size int) error {
	q.mu.Lock()
	if q.closed {
		q.mu.Unlock()
		return closed()
	}
	if len(q.waiting) == 0 && q.room(size) {
		q.used += size
		q.mu.Unlock()
		return nil
	}
	w := &waiter{size: size, admit: make(chan struct{})}
	q.waiting = append(q.waiting, w)
	q.mu.Unlock()
	select {
	case <-w.admit:
	case <-ctx.Done():
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case w.in:
		return nil
	case q.closed:
		return closed()
	}
	q.waiting = slices.DeleteFunc(q.waiting, func(o *waiter) bool { return o == w })
	q.admit()
	return autobus.NewError(autobus.ReasonCapacity, "%d bytes wait for the gateway's answer; nothing was sent", q.used).
		WithCause(context.Cause(ctx)).WithHint("Try again later, or raise MaxInFlightBytes of the client's Config.")
}

func (q *courier) room(size int) bool { return q.used == 0 || q.used+size <= q.most }

func (q *courier) admit() {
	for len(q.waiting) > 0 && q.room(q.waiting[0].size) {
		w := q.waiting[0]
		q.waiting = q.waiting[1:]
		q.used += w.size
		w.in = true
		close(w.admit)
	}
}

func (q *courier) release(size int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.used -= size
	q.admit()
	q.rest()
}

// rest tells Close that nothing is left.
func (q *courier) rest() {
	if q.idle != nil && q.used == 0 {
		close(q.idle)
		q.idle = nil
	}
}

// queueUp gives a batch its place.
func (q *courier) queueUp(p *parcel) {
	q.mu.Lock()
	q.number++
	p.number = q.number
	p.lane = q.laneOf(p.batch.Stream)
	q.queue = append(q.queue, p)
	q.wake()
	q.mu.Unlock()
}

// wake makes the writer look.
func (q *courier) wake() {
	if q.line != nil {
		q.line.conn.signal()
	}
}

// putBack gives a parcel its old place.
func (q *courier) putBack(p *parcel) {
	i := 0
	for i < len(q.queue) && q.queue[i].number < p.number {
		i++
	}
	q.queue = slices.Insert(q.queue, i, p)
}

// settle tells outcomes. Never under the mutex: it runs code of the batches' owners.
func (q *courier) settle(outcomes []outcome) {
	for _, o := range outcomes {
		q.resolve(o.parcel, o.index, o.receipt)
	}
}

func (q *courier) resolve(p *parcel, i int, r autobus.Receipt) {
	last := p.open.Add(-1) == 0
	size := p.size // the parcel's owner may be anybody after the last
	p.batch.Resolve(i, r)
	if last {
		q.release(size)
	}
}

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
			out = q.giveUp(out, p, p.doubt)
		}
		return due
	})
	if q.line != nil {
		for _, s := range q.line.flying {
			for i := range s.parts {
				if p := s.parts[i].parcel; p != nil && !s.writing && !p.due.After(now) {
					out = q.giveUp(out, p, true)
					s.parts[i].parcel = nil
				}
			}
		}
	}
	q.mu.Unlock()
	q.settle(out)
}

// giveUp settles what is left of a parcel without an answer. What follows in its stream has to wait for it.
func (q *courier) giveUp(out []outcome, p *parcel, doubt bool) []outcome {
	r := autobus.Receipt{Status: autobus.Refused, Err: unreachable("there was no connection to a gateway within %s; "+
		"nothing was sent", q.resendFor)}
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

// abandon gives up all that is left.
func (q *courier) abandon() { q.expire(time.Now().Add(24 * time.Hour * 365)) }

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
	unlinked  func() *autobus.Error // why there is no connection; nil = there is one

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
	over    bool          // nothing is sent any more
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

func newCourier(most int, resendFor time.Duration, unlinked func() *autobus.Error) *courier {
	return &courier{most: most, resendFor: resendFor, unlinked: unlinked, lanes: map[weak.Pointer[autobus.Stream]]*lane{}}
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

// queueUp gives a batch its place. Where the client was given up since the batch got room, it is given up too.
func (q *courier) queueUp(p *parcel) {
	var out []outcome
	defer func() { q.settle(out) }()
	q.mu.Lock()
	defer q.mu.Unlock()
	q.number++
	p.number = q.number
	p.lane = q.laneOf(p.batch.Stream)
	if q.over {
		out = q.giveUp(out, p, false, closed())
		return
	}
	q.queue = append(q.queue, p)
	q.wake()
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

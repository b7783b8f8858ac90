// SPDX-License-Identifier: Apache-2.0

package client

import (
	"slices"
	"sync"
	"time"

	"github.com/autobus-io/autobus"
)

// what says what an item of an inbox is.
type what int

const (
	sought     what = iota // a connection was found, or not
	answer                 // the gateway opened the subscription
	deliveries             // events
	moved                  // where the tail stands
	revoked                // leases were taken away
	lost                   // retention overtook it
	draining               // the gateway goes down
	ended                  // the gateway ended it
	gone                   // the connection is
	left                   // the goodbye was answered
)

// item is news for a subscription.
type item struct {
	what     what
	by       *attachment
	ds       []autobus.Delivery
	bytes    int
	leases   []autobus.Lease
	lost     autobus.PositionLost
	deadline time.Time
	address  autobus.Address // of an answer: that of the bus's inbox
	at       autobus.TailPosition
	err      *autobus.Error
}

// maxInbox is how many bytes of a tail wait for its reader; then the reading of its connection waits too. What a named
// subscription is given is bounded by its window.
const maxInbox = 1 << 20

// inbox holds the news that the subscription's goroutine has not looked at.
type inbox struct {
	wake chan struct{} // holds a token when there is something
	mu   sync.Mutex
	all  []item
	size int
	room chan struct{} // closed when there may be room
	done bool
}

func newInbox() *inbox { return &inbox{wake: make(chan struct{}, 1), room: make(chan struct{})} }

func (b *inbox) put(it item) {
	b.mu.Lock()
	b.add(it)
	b.mu.Unlock()
}

func (b *inbox) add(it item) {
	if b.done {
		return
	}
	b.all = append(b.all, it)
	b.size += it.bytes
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

// wait puts an item in when there is room for it, or when the connection is cut: who reads it must not wait then.
func (b *inbox) wait(it item, cut <-chan struct{}) {
	for {
		b.mu.Lock()
		if b.done || b.size == 0 || b.size+it.bytes <= maxInbox {
			b.add(it)
			b.mu.Unlock()
			return
		}
		room := b.room
		b.mu.Unlock()
		select {
		case <-room:
		case <-cut:
			b.put(it)
			return
		}
	}
}

func (b *inbox) next() (it item, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.all) == 0 {
		return item{}, false
	}
	it = b.all[0]
	b.all[0] = item{}
	b.all = b.all[1:]
	b.size -= it.bytes
	if it.bytes > 0 {
		close(b.room)
		b.room = make(chan struct{})
	}
	return it, true
}

// close takes no more.
func (b *inbox) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.done {
		b.done = true
		b.all = nil
		close(b.room)
		b.room = make(chan struct{})
	}
}

// revoke takes deliveries back: out of the inbox, or from the worker, who has to be told.
func (b *inbox) revoke(it item) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for i := range b.all {
		o := &b.all[i]
		if o.what != deliveries || o.by != it.by {
			continue
		}
		o.ds = slices.DeleteFunc(o.ds, func(d autobus.Delivery) bool {
			at := slices.Index(it.leases, d.Lease)
			if at >= 0 && d.Lease != "" {
				it.leases = slices.Delete(it.leases, at, at+1)
				return true
			}
			return false
		})
	}
	b.add(it)
}

// What the reader of a connection tells a subscription.

func (s *subscription) deliver(a *attachment, ds []autobus.Delivery, size int) {
	it := item{what: deliveries, by: a, ds: ds}
	if s.tail == nil {
		s.inbox.put(it)
		return
	}
	it.bytes = size + 1
	s.inbox.wait(it, a.conn.broken)
}

func (s *subscription) told(a *attachment, open bool, at autobus.TailPosition) {
	if open {
		s.inbox.put(item{what: answer, by: a, at: at})
	} else {
		s.inbox.put(item{what: left, by: a})
	}
}

// reachable tells that the inbox is open.
func (s *subscription) reachable(a *attachment, at autobus.Address) {
	s.inbox.put(item{what: answer, by: a, address: at})
}

func (s *subscription) revoke(a *attachment, ls []autobus.Lease) {
	s.inbox.revoke(item{what: revoked, by: a, leases: ls})
}

func (s *subscription) lose(a *attachment, p autobus.PositionLost) {
	s.inbox.put(item{what: lost, by: a, lost: p})
}

func (s *subscription) drain(a *attachment, deadline time.Time) {
	s.inbox.put(item{what: draining, by: a, deadline: deadline})
}

// refused takes the error that answers a frame of the session. While it leaves, any end is as good as another.
func (s *subscription) refused(a *attachment, err *autobus.Error) {
	s.inbox.revoke(item{what: ended, by: a, err: err, leases: s.client.leases.drop(a)})
}

// gone takes all leases back: the gateway counts the session as dead.
func (s *subscription) gone(a *attachment) {
	s.inbox.revoke(item{what: gone, by: a, leases: s.client.leases.drop(a)})
}

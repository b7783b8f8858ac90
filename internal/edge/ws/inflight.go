// SPDX-License-Identifier: Apache-2.0

package ws

import (
	"slices"
	"sync"
	"time"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/edge"
)

// publication is a publish that is not answered.
type publication struct {
	conn   *conn
	parcel *edge.Parcel
	seq    *int64 // nil = the client speaks plain events
	binary bool   // it asked by a binary frame
	size   int    // of the frame
	began  time.Time
	over   bool // settled or given up; guarded by inflight
}

// settled is called by the bus when every outcome is known.
func (p *publication) settled(*autobus.Batch) { p.conn.conclude(p) }

// conclude has a publish answered by what is known of it now: all, or after publishTime what there is.
func (c *conn) conclude(p *publication) {
	if c.inflight.conclude(p) {
		c.out.add(message{answer: p})
		c.work.Done()
	}
}

// overdue concludes what has waited for too long; all: the server waits for nothing any more.
func (c *conn) overdue(all bool) {
	for _, p := range c.inflight.overdue(all) {
		c.conclude(p)
	}
}

// inflight bounds what was published and is not answered.
type inflight struct {
	mu      sync.Mutex
	frames  int
	bytes   int
	left    chan struct{} // holds a token when something left
	waiting []*publication
	timer   *time.Timer // runs while it is armed, up to when the first of them is overdue or before
	armed   bool
	wake    func() // called when something is overdue
}

func newInflight() inflight { return inflight{left: make(chan struct{}, 1)} }

// enter waits for room for a frame; false = the connection is over. For one reader.
func (f *inflight) enter(size int, over <-chan struct{}) bool {
	for {
		f.mu.Lock()
		if f.frames == 0 || f.frames < maxPublishes && f.bytes+size <= maxPublishBytes {
			f.frames++
			f.bytes += size
			f.mu.Unlock()
			return true
		}
		f.mu.Unlock()
		select {
		case <-f.left:
		case <-over:
			return false
		}
	}
}

// leave makes room again for as much as entered.
func (f *inflight) leave(size int) {
	f.mu.Lock()
	f.frames--
	f.bytes -= size
	f.mu.Unlock()
	select {
	case f.left <- struct{}{}:
	default:
	}
}

func (f *inflight) none() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.frames == 0
}

// await has wake called when p is overdue, unless it is over by now.
func (f *inflight) await(p *publication) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if p.over {
		return
	}
	f.waiting = append(f.waiting, p)
	switch {
	case f.armed:
	case f.timer == nil:
		f.timer = time.AfterFunc(publishTime-time.Since(p.began), f.wake)
	default:
		f.timer.Reset(publishTime - time.Since(p.began))
	}
	f.armed = true
}

// conclude reports whether p was not over before.
func (f *inflight) conclude(p *publication) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if p.over {
		return false
	}
	p.over = true
	if i := slices.Index(f.waiting, p); i >= 0 {
		f.waiting = slices.Delete(f.waiting, i, i+1)
	}
	return true
}

// overdue gives what has waited for too long, and has wake called again for the others.
func (f *inflight) overdue(all bool) (due []*publication) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.armed = false
	for _, p := range f.waiting {
		rest := publishTime - time.Since(p.began)
		if rest > 0 && !all {
			f.timer.Reset(rest)
			f.armed = true
			break
		}
		due = append(due, p)
	}
	return due
}

// stop ends the timer; nothing waits any more.
func (f *inflight) stop() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.timer != nil {
		f.timer.Stop()
	}
}

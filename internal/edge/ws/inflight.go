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
	weight int    // what it holds in memory until it is answered, about
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

// perEvent is about what an event and its outcome take in memory beside the event's bytes. Where a client sends many
// small ones and reads no answers, that is nearly all.
const perEvent = 512

// inflight bounds what was published and is not answered.
type inflight struct {
	intake *edge.Intake // guarded by mu

	mu      sync.Mutex
	frames  int
	bytes   int
	weight  int
	left    chan struct{} // holds a token when something left
	waiting []*publication
	timer   *time.Timer // runs while it is armed, up to when the first of them is overdue or before
	armed   bool
	wake    func() // called when something is overdue
}

func newInflight(intake *edge.Intake) inflight {
	return inflight{intake: intake, left: make(chan struct{}, 1)}
}

// enter waits for room for a publish on the connection, and for a while for room in the instance; the error says that
// there was none. false = the connection is over. For one reader.
func (f *inflight) enter(p *publication, over <-chan struct{}) (ok bool, full *autobus.Error) {
	for began := time.Now(); ; {
		if ok, full = f.admit(p); ok || full != nil && time.Since(began) > writeTime {
			return ok, full
		}
		var again <-chan time.Time
		if full != nil {
			again = time.After(lookAgain) // what other connections give back is not told
		} else {
			began = time.Now()
		}
		select {
		case <-f.left:
		case <-again:
		case <-over:
			return false, nil
		}
	}
}

func (f *inflight) admit(p *publication) (ok bool, full *autobus.Error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.frames > 0 && (f.frames >= maxPublishes || f.bytes+p.size > maxPublishBytes) {
		return false, nil
	}
	if full = f.intake.Hold(f.weight + p.weight); full != nil {
		return false, full
	}
	f.frames, f.bytes, f.weight = f.frames+1, f.bytes+p.size, f.weight+p.weight
	return true, nil
}

// leave makes room again for as much as entered.
func (f *inflight) leave(p *publication) {
	f.mu.Lock()
	f.frames, f.bytes, f.weight = f.frames-1, f.bytes-p.size, f.weight-p.weight
	_ = f.intake.Hold(f.weight) // less fits always
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

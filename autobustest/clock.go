// SPDX-License-Identifier: Apache-2.0

package autobustest

import (
	"container/heap"
	"time"
)

// clock tells the bus's time and keeps what waits for a moment. All of it is guarded by its Bus.
type clock struct {
	stands bool
	at     time.Time     // of a clock that stands
	ahead  time.Duration // of a clock that goes, before the package time
	alarms alarms
	count  int
	timer  *time.Timer // of the first alarm; nil = none was needed yet
}

// alarm is something to do at a moment.
type alarm struct {
	at    time.Time
	count int // alarms of the same moment go in the order in which they were set
	ring  func()
	index int // in the heap, -1 = none
}

func (c *clock) now() time.Time {
	if c.stands {
		return c.at
	}
	return time.Now().Add(c.ahead)
}

// set makes ring be called at a moment, with the Bus locked.
func (c *clock) set(at time.Time, ring func()) *alarm {
	c.count++
	a := &alarm{at: at, count: c.count, ring: ring}
	heap.Push(&c.alarms, a)
	return a
}

// clear takes an alarm back; nil and one that rang are fine.
func (c *clock) clear(a *alarm) {
	if a != nil && a.index >= 0 {
		heap.Remove(&c.alarms, a.index)
	}
}

// ring lets go what is due.
func (c *clock) ring() {
	for len(c.alarms) > 0 && !c.alarms[0].at.After(c.now()) {
		heap.Pop(&c.alarms).(*alarm).ring()
	}
}

// arm makes wake be called when the next alarm is due. A clock that stands wakes nobody.
func (c *clock) arm(wake func()) {
	switch {
	case c.stands:
	case len(c.alarms) == 0:
		c.stop()
	case c.timer == nil:
		c.timer = time.AfterFunc(c.alarms[0].at.Sub(c.now()), wake)
	default:
		c.timer.Reset(c.alarms[0].at.Sub(c.now()))
	}
}

func (c *clock) stop() {
	if c.timer != nil {
		c.timer.Stop()
	}
}

// advance moves the clock on, from alarm to alarm, so that each finds its own time.
func (c *clock) advance(d time.Duration) {
	to := c.now().Add(d)
	for len(c.alarms) > 0 && !c.alarms[0].at.After(to) {
		if first := c.alarms[0].at; first.After(c.now()) {
			c.move(first)
		}
		c.ring()
	}
	if to.After(c.now()) {
		c.move(to)
	}
}

func (c *clock) move(to time.Time) {
	if c.stands {
		c.at = to
		return
	}
	c.ahead += to.Sub(c.now())
}

// Now is the time of the bus's clock.
func (b *Bus) Now() time.Time {
	b.lock()
	defer b.unlock()
	return b.clock.now()
}

// Advance moves the bus's clock on, and lets everything go that becomes due on the way: leases that run out, events
// whose backoff is over, receipts that were delayed. What workers do about that happens after it, by the time that it
// ends at; where each step counts, advance in steps, with Bus.Idle or a signal of the worker's in between.
//
// Within a bubble of testing/synctest it is not needed: sleep there.
func (b *Bus) Advance(d time.Duration) {
	b.lock()
	defer b.unlock()
	b.clock.advance(d)
}

// wake is called by the timer.
func (b *Bus) wake() {
	b.lock()
	defer b.unlock()
	b.clock.ring()
}

// alarms is a heap, the next one first.
type alarms []*alarm

func (a alarms) Len() int { return len(a) }

func (a alarms) Less(i, j int) bool {
	if a[i].at.Equal(a[j].at) {
		return a[i].count < a[j].count
	}
	return a[i].at.Before(a[j].at)
}

func (a alarms) Swap(i, j int) {
	a[i], a[j] = a[j], a[i]
	a[i].index, a[j].index = i, j
}

// Push implements heap.Interface.
func (a *alarms) Push(x any) {
	one := x.(*alarm)
	one.index = len(*a)
	*a = append(*a, one)
}

// Pop implements heap.Interface.
func (a *alarms) Pop() any {
	last := (*a)[len(*a)-1]
	*a = (*a)[:len(*a)-1]
	last.index = -1
	return last
}

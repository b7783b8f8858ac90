// SPDX-License-Identifier: Apache-2.0

package autobus

import (
	"slices"
	"time"
)

// due is when a lease is to be extended: two thirds of its time are over then.
func (t *task) due() time.Time { return t.until.Add(-t.term / 3) }

// arm has the leases looked at no later than at.
func (c *crew) arm(at, now time.Time) {
	if c.wake.IsZero() || at.Before(c.wake) {
		c.wake = at
		c.keeper.Reset(at.Sub(now))
	}
}

// look extends the leases whose time has come, with those whose time comes soon, and gives up those that ended. What
// waits while every handler hangs is left to other workers.
func (c *crew) look() {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	c.wake = time.Time{}
	for _, t := range c.held {
		switch {
		case t.done:
		case !now.Before(t.until):
			c.lose(t)
		case t.extending, c.tooLong(t, now), t.job == nil && c.hung >= c.Workers:
			c.arm(t.until, now)
		case t.due().Sub(now) <= t.term/12:
			t.extending = true
			c.tell(post{t, Outcome{Kind: Extend}})
			c.arm(t.until, now)
		default:
			c.arm(t.due(), now)
		}
	}
}

// tooLong reports whether a handler has had its time, so that its lease is to run out.
func (c *crew) tooLong(t *task, now time.Time) bool {
	return c.MaxWork > 0 && t.job != nil && now.Sub(t.job.begun) >= c.MaxWork
}

// revoke is Subscription.Revoke.
func (c *crew) revoke(ls []Lease) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, l := range ls {
		if t := c.held[l]; t != nil {
			c.lose(t)
		}
	}
}

// loseAll is for the end of a session, with which its leases end.
func (c *crew) loseAll() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.queue, c.again, c.bytes = nil, nil, 0
	for _, t := range c.held {
		c.lose(t)
	}
}

// lose gives up an event that is somebody else's now. Where the outcome is on its way, the answer to that will tell.
func (c *crew) lose(t *task) {
	if t.done {
		return
	}
	t.lost = true
	delete(c.held, t.lease)
	if t.job != nil {
		if t.job.live--; t.job.live == 0 {
			t.job.cancel(ErrLeaseLost)
			c.hung++
		}
		return
	}
	if i := slices.Index(c.queue, t); i >= 0 {
		c.queue = slices.Delete(c.queue, i, i+1)
		c.bytes -= t.size
	} else if i := slices.Index(c.again, t); i >= 0 {
		c.again = slices.Delete(c.again, i, i+1)
	}
}

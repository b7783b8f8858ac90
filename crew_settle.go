// SPDX-License-Identifier: Apache-2.0

package autobus

import (
	"context"
	"fmt"
	"slices"
	"time"
)

const (
	settleTime       = 5 * time.Second // of one Bus.Settle
	firstSettlePause = 50 * time.Millisecond
	maxSettlePause   = time.Second
	maxSettlements   = 1000 // of one Bus.Settle
)

// post is what the bus is to be told of a lease.
type post struct {
	task    *task
	outcome Outcome
}

func (p post) extends() bool { return p.outcome.Kind == Extend }

// returned takes the events of a job from its handler.
func (c *crew) returned(j *job, outcomes []Outcome) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if j.live == 0 {
		c.hung--
	}
	for i, t := range j.tasks {
		c.post(t, outcomes[i])
	}
}

// post hands the outcome of a task on, and lets go its event. Without an outcome the lease is kept, until the
// subscription is left.
func (c *crew) post(t *task, o Outcome) {
	delete(c.running, t.place)
	switch {
	case o.Kind == "":
		t.job = nil
	case t.lost: // while the hooks ran
		c.report(t, ErrLeaseLost)
	default:
		t.done = true
		c.tell(post{t, o})
	}
}

func (c *crew) tell(p post) {
	c.out = append(c.out, p)
	select {
	case c.kick <- struct{}{}:
	default:
	}
}

// noMore lets settle end when all is told.
func (c *crew) noMore() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.last = true
	select {
	case c.kick <- struct{}{}:
	default:
	}
}

// settle tells the bus what there is to tell, one call at a time: what comes during a call goes into the next. So one
// outcome alone waits for nothing, and many share a call.
func (c *crew) settle(ctx context.Context) {
	pause := firstSettlePause
	for {
		posts, last := c.collect()
		if len(posts) == 0 {
			if last {
				return
			}
			select {
			case <-c.kick:
				continue
			case <-ctx.Done():
				return
			}
		}
		if c.settleOnce(ctx, posts) {
			pause = firstSettlePause
			continue
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			c.Logger.WarnContext(ctx, "outcomes could not be told; the events come again", "events", c.untold())
			return
		}
		pause = min(2*pause, maxSettlePause)
	}
}

// collect takes what the next call tells. Extensions that nobody needs any more are left out.
func (c *crew) collect() (posts []post, last bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := 0
	for _, p := range c.out {
		if len(posts) == maxSettlements {
			break
		}
		n++
		if !p.extends() || !p.task.done && !p.task.lost {
			posts = append(posts, p)
		}
	}
	c.out = slices.Delete(c.out, 0, n)
	return posts, c.last
}

// settleOnce makes one call and reports whether nothing of it has to be told again.
func (c *crew) settleOnce(ctx context.Context, posts []post) bool {
	ss := make([]Settlement, len(posts))
	for i, p := range posts {
		ss[i] = Settlement{Lease: p.task.lease, Subscription: c.Subscription, Outcome: p.outcome}
	}
	call, cancel := context.WithTimeout(ctx, settleTime)
	defer cancel()
	began := time.Now()
	whole := c.Bus.Settle(call, ss)
	now := time.Now()

	c.mu.Lock()
	defer c.mu.Unlock()
	var again []post
	for i, p := range posts {
		t, err := p.task, whole
		if whole == nil && ss[i].Err != nil {
			err = ss[i].Err
		}
		unheard := whole != nil || err != nil && ss[i].Err.Retriable()
		switch {
		case err == nil && p.extends():
			t.extending, t.until = false, began.Add(t.term)
			c.arm(t.due(), now)
		case unheard && (p.extends() || now.Before(t.until)):
			again = append(again, p) // while the lease lives
		case p.extends():
			c.lose(t)
		case err == nil:
			delete(c.held, t.lease)
		default:
			delete(c.held, t.lease)
			if !unheard {
				err = fmt.Errorf("%w: %w", ErrLeaseLost, err)
			}
			c.report(t, err)
		}
	}
	c.out = append(again, c.out...)
	return len(again) == 0
}

func (c *crew) untold() (n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, p := range c.out {
		if !p.extends() {
			n++
		}
	}
	return n
}

// report tells of an outcome that did not count. That is no catastrophe: the event comes again.
func (c *crew) report(t *task, err error) {
	if c.over {
		return // a handler that outlived its worker
	}
	c.reports.Go(func() {
		c.Logger.WarnContext(c.base, "an outcome did not count", "type", t.place.typ, "id", t.place.id, "error", err)
		c.hooks.failed(c.base, &t.d, err)
	})
}

// hooksDone waits for the hooks that reports called.
func (c *crew) hooksDone(ctx context.Context) {
	c.mu.Lock()
	c.over = true
	c.mu.Unlock()
	done := make(chan struct{})
	go func() {
		c.reports.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-ctx.Done():
	}
}

// SPDX-License-Identifier: Apache-2.0

package autobus

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"time"
)

// wakeUp starts what has waited long enough.
func (c *crew) wakeUp() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.start()
}

// start gives what is ready to new goroutines, as many as there may be.
func (c *crew) start() {
	for c.busy < c.Workers {
		j := c.next()
		if j == nil {
			return
		}
		c.busy++
		go c.labour(j)
	}
}

// labour handles one job after the other while there are any.
func (c *crew) labour(j *job) {
	defer func() { // also when a handler ended the goroutine
		c.mu.Lock()
		defer c.mu.Unlock()
		c.busy--
		c.start()
		if c.stopped && c.busy == 0 {
			close(c.idle)
		}
	}()
	for j != nil {
		c.handle(j)
		c.mu.Lock()
		j = c.next()
		c.start() // what waited for an event of the last job
		c.mu.Unlock()
	}
}

// next takes a job from the queue, or nil.
func (c *crew) next() *job {
	if c.stopped {
		return nil
	}
	now := time.Now()
	if t := c.pop(&c.again); t != nil {
		return c.newJob([]*task{t}, now)
	}
	if c.HandleBatch == nil {
		if t := c.pop(&c.queue); t != nil {
			c.bytes -= t.size
			return c.newJob([]*task{t}, now)
		}
		return nil
	}
	if len(c.queue) == 0 {
		return nil
	}
	if len(c.queue) < c.Limits.Events && c.bytes < c.Limits.Bytes {
		if wait := c.Limits.Wait - now.Sub(c.queue[0].since); wait > 0 {
			c.flush.Reset(wait)
			return nil
		}
	}
	if ts := c.popBatch(); len(ts) > 0 {
		return c.newJob(ts, now)
	}
	return nil
}

// pop takes the first task whose event no handler has: one that lost its lease may still be at it.
func (c *crew) pop(queue *[]*task) *task {
	for i, t := range *queue {
		if c.running[t.place] != nil {
			continue
		}
		if i == 0 {
			(*queue)[0] = nil
			*queue = (*queue)[1:]
		} else {
			*queue = slices.Delete(*queue, i, i+1)
		}
		return t
	}
	return nil
}

func (c *crew) popBatch() (ts []*task) {
	size := 0
	rest := c.queue[:0]
	for i, t := range c.queue {
		if len(ts) == c.Limits.Events || len(ts) > 0 && size+t.size > c.Limits.Bytes {
			rest = append(rest, c.queue[i:]...)
			break
		}
		if c.running[t.place] != nil {
			rest = append(rest, t)
			continue
		}
		ts = append(ts, t)
		size += t.size
	}
	clear(c.queue[len(rest):])
	c.queue = rest
	c.bytes -= size
	return ts
}

func (c *crew) newJob(ts []*task, now time.Time) *job {
	j := &job{tasks: ts, begun: now, live: len(ts), free: func() {}}
	j.ctx, j.cancel = context.WithCancelCause(c.work)
	if c.MaxWork > 0 {
		j.ctx, j.free = context.WithTimeoutCause(j.ctx, c.MaxWork, ErrWorkTooLong)
	}
	for _, t := range ts {
		t.job = j
		c.running[t.place] = t
	}
	return j
}

// errGone is what becomes of a handler that neither returned nor panicked.
var errGone = errors.New("the handler ended its goroutine")

// handle calls the handler, and whatever it does, sees to it that the bus hears of each event.
func (c *crew) handle(j *job) {
	ctxs := make([]context.Context, len(j.tasks))
	for i := range ctxs {
		ctxs[i] = j.ctx
	}
	err := errGone
	defer func() { c.finish(j, ctxs, err) }()
	for i, t := range j.tasks {
		ctxs[i] = c.hooks.before(j.ctx, &t.d)
	}
	err = c.call(j, ctxs)
}

func (c *crew) call(j *job, ctxs []context.Context) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("panic: %v", r)
			c.Logger.ErrorContext(ctxs[0], "a handler panicked", "panic", r, "stack", string(debug.Stack()),
				"type", j.tasks[0].place.typ, "id", j.tasks[0].place.id, "events", len(j.tasks))
		}
	}()
	if c.HandleBatch == nil {
		err = c.Handle(ctxs[0], &j.tasks[0].d)
	} else {
		ds := make([]*Delivery, len(j.tasks))
		for i, t := range j.tasks {
			ds[i] = &t.d
		}
		err = c.HandleBatch(j.ctx, ds)
	}
	if err != nil {
		for _, e := range perEvent(err, len(j.tasks)) {
			_ = OutcomeOf(e) // an error that panics, such as a nil pointer in an error, does so here
		}
	}
	return err
}

// finish tells the hooks and then the bus what became of the events of a job.
func (c *crew) finish(j *job, ctxs []context.Context, err error) {
	defer j.cancel(nil)
	defer j.free()
	errs := perEvent(err, len(j.tasks))
	outcomes := make([]Outcome, len(errs))
	for i, t := range j.tasks {
		outcomes[i] = c.outcome(t, errs[i])
	}
	defer c.returned(j, outcomes) // even if a hook ends the goroutine
	for i, t := range j.tasks {
		err, o := errs[i], outcomes[i]
		if lost := o.Kind == "" && c.isLost(t); lost && err == nil {
			err = ErrLeaseLost
		} else if lost {
			err = fmt.Errorf("%w: %w", ErrLeaseLost, err)
		}
		if err != nil && o.Kind != Skip {
			c.Logger.WarnContext(ctxs[i], "an event was not handled", "type", t.place.typ, "id", t.place.id,
				"attempt", t.d.Attempt, "outcome", string(o.Kind), "error", err)
			c.hooks.failed(ctxs[i], &t.d, err)
		}
		if o.Kind == Retry {
			c.hooks.retry(ctxs[i], &t.d, o)
		}
		c.hooks.after(ctxs[i], &t.d, o)
	}
}

// outcome is what the bus will be told; zero for nothing.
func (c *crew) outcome(t *task, err error) Outcome {
	o := OutcomeOf(err)
	_, said := errors.AsType[*verdict](err)
	switch cause := context.Cause(t.job.ctx); {
	case c.isLost(t):
		return Outcome{}
	case err != nil && !said && errors.Is(cause, ErrGraceOver):
		return Outcome{} // given up because we stop: the event is not to blame
	case err != nil && !said && errors.Is(cause, ErrWorkTooLong):
		o.Reason = clipReason(fmt.Sprintf("%s, %s: %s", ErrWorkTooLong, c.MaxWork, err))
	}
	return o
}

func (c *crew) isLost(t *task) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return t.lost
}

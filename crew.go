// SPDX-License-Identifier: Apache-2.0

package autobus

import (
	"bytes"
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

const (
	firstPause = time.Second // before a subscription is opened anew
	maxPause   = 30 * time.Second
	cutTime    = 2 * time.Second // for handlers whose context has ended, and for the last outcomes
)

// crew is one Run of a Worker: its goroutines and what they have in hand. One mutex guards it; nothing that waits is
// called under it.
type crew struct {
	Worker // with its defaults
	hooks  hookChain
	base   context.Context // as Run's, without its end
	work   context.Context // of the handlers
	cut    context.CancelCauseFunc
	resize chan Window

	mu      sync.Mutex
	queue   []*task // deliveries that no handler has yet, the oldest first
	again   []*task // with HandleBatch: those that come alone
	bytes   int     // of queue
	held    map[Lease]*task
	running map[place]*task // that a handler has, even if the lease is lost
	busy    int             // goroutines with a handler
	hung    int             // of them, those that go on although every lease is lost
	stopped bool
	idle    chan struct{} // closed when stopped and nobody is busy
	flush   *time.Timer   // when a batch has waited long enough
	keeper  *time.Timer   // when a lease is to be looked at
	wake    time.Time     // when keeper fires; zero = it is not set

	out     []post // outcomes and extensions to tell
	last    bool   // no more outcomes come
	kick    chan struct{}
	reports sync.WaitGroup // hooks that are told of outcomes that did not count
	over    bool           // no more of them
}

// task is a delivery in hand.
type task struct {
	d     Delivery // a copy: the handler's
	lease Lease
	place place
	size  int
	since time.Time     // when it came
	term  time.Duration // how long its lease lives
	until time.Time     // when its lease ends, by this process's clock

	job       *job // nil until a handler has it
	done      bool // its outcome is in out or was told
	lost      bool
	extending bool
}

// place is an event's own. The id is there for buses without offsets.
type place struct {
	typ, id   string
	partition int32
	offset    int64
}

// job is one call of a handler.
type job struct {
	tasks  []*task
	ctx    context.Context
	cancel context.CancelCauseFunc
	free   context.CancelFunc // of ctx's timer
	begun  time.Time
	live   int // tasks whose lease is not lost
}

func newCrew(ctx context.Context, w Worker) *crew {
	c := &crew{Worker: w, hooks: newHookChain(w.Hooks, w.Logger), base: context.WithoutCancel(ctx),
		resize: make(chan Window, 1), held: map[Lease]*task{}, running: map[place]*task{}, idle: make(chan struct{}),
		kick: make(chan struct{}, 1)}
	c.work, c.cut = context.WithCancelCause(c.base)
	c.flush = time.AfterFunc(time.Hour, c.wakeUp)
	c.keeper = time.AfterFunc(time.Hour, c.look)
	c.flush.Stop()
	c.keeper.Stop()
	return c
}

// run is Worker.Run.
func (c *crew) run(ctx context.Context) error {
	defer c.cut(nil)
	defer c.keeper.Stop()
	defer c.flush.Stop()
	sub, goodbye := context.WithCancel(c.base)
	defer goodbye()
	ended := make(chan error, 1)
	go func() { ended <- c.subscribe(ctx, sub) }()
	settling, giveUp := context.WithCancel(c.base)
	defer giveUp()
	settled := make(chan struct{})
	go func() {
		defer close(settled)
		c.settle(settling)
	}()

	var err error
	alive := true
	select {
	case <-ctx.Done():
	case err = <-ended:
		alive = false
	}
	told := ctx.Err() != nil // to stop; what else ended is no matter then
	c.stop()
	end, cancel := context.WithTimeout(c.base, c.Grace+cutTime)
	defer cancel()
	left := c.windUp(end)
	c.noMore()
	select {
	case <-settled:
	case <-end.Done():
		giveUp()
		<-settled
	}
	goodbye()
	if alive {
		err = <-ended
	}
	c.hooksDone(end)
	if told && err != nil {
		if AsError(err).Reason != ReasonShuttingDown { // else all stops at once, which is nobody's trouble
			c.Logger.WarnContext(c.base, "the subscription ended while the worker stopped", "error", err)
		}
		err = nil
	}
	if err == nil && left {
		err = ErrGraceOver
	}
	return err
}

// subscribe keeps the subscription open until ctx ends during a pause, or sub does, or it cannot go on.
func (c *crew) subscribe(ctx, sub context.Context) error {
	pause := firstPause
	for {
		var opened atomic.Bool
		open := func(Address) {
			opened.Store(true)
			c.ready(true)
		}
		err := c.Bus.Subscribe(sub, Subscription{Name: c.Subscription, Create: c.Create, Window: c.Window, Resize: c.resize,
			Opened: open, Revoke: c.revoke, Lost: c.positionLost}, c.take)
		c.loseAll()
		if opened.Load() {
			c.ready(false)
		}
		if err == nil || ctx.Err() != nil || !AsError(err).Retriable() {
			return err
		}
		if opened.Load() {
			pause = firstPause
		}
		c.Logger.WarnContext(c.base, "a subscription ended and is opened anew", "error", err, "pause", pause)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause):
		}
		pause = min(2*pause, maxPause)
	}
}

func (c *crew) ready(is bool) {
	if c.Ready != nil {
		c.hooks.guard(c.base, "Ready", func() { c.Ready(is) })
	}
}

func (c *crew) positionLost(l PositionLost) {
	c.Logger.ErrorContext(c.base, "a position was lost: events were deleted before they were read", "type", l.Type,
		"partition", l.Partition, "from", l.From, "to", l.To)
}

// stop lets no further handler begin. What else comes shall be as little as possible.
func (c *crew) stop() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stopped = true
	if c.busy == 0 {
		close(c.idle)
	}
	c.resize <- Window{Events: 1}
}

// windUp waits for the handlers and reports whether some did not return by the end.
func (c *crew) windUp(end context.Context) (left bool) {
	grace := time.NewTimer(c.Grace)
	defer grace.Stop()
	select {
	case <-c.idle:
		return false
	case <-grace.C:
	}
	c.cut(ErrGraceOver)
	select {
	case <-c.idle:
		return false
	case <-end.Done():
		return true
	}
}

// take is the Handler of the subscription. The bus may use its memory again, and handlers may do with an event what
// they like, so it is copied.
func (c *crew) take(_ context.Context, ds []Delivery) {
	now := time.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range ds {
		if _, have := c.held[ds[i].Lease]; have {
			continue
		}
		t := newTask(ds[i], now)
		c.held[t.lease] = t
		if c.HandleBatch != nil && t.d.Attempt > 1 {
			c.again = append(c.again, t)
		} else {
			c.queue = append(c.queue, t)
			c.bytes += t.size
		}
		c.arm(t.due(), now)
	}
	c.start()
}

func newTask(d Delivery, now time.Time) *task {
	d.Data, d.Key, d.Extensions = bytes.Clone(d.Data), bytes.Clone(d.Key), slices.Clone(d.Extensions)
	t := &task{d: d, lease: d.Lease, place: place{d.Type, d.ID, d.Partition, d.Offset}, size: d.Size(), since: now}
	t.term = time.Duration(DefaultAckWait)
	if !d.Deadline.IsZero() { // by the clock of the gateway, which may differ from ours
		t.term = min(max(d.Deadline.Sub(now), time.Duration(MinAckWait)), time.Duration(MaxAckWait))
	}
	t.until = now.Add(t.term)
	return t
}

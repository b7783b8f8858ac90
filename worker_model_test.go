// SPDX-License-Identifier: Apache-2.0

package autobus_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/autobus-io/autobus"
)

// modelBus is a bus of one subscription whose leases run out, are taken away, whose sessions end and whose answers get
// lost, by chance. It notes what must not happen.
type modelBus struct {
	mu     sync.Mutex
	rand   *rand.Rand
	calm   bool // nothing goes wrong any more
	events []modelEvent
	leases int
	faults []string
	left   int    // events that are not done
	finish func() // called when none is
}

type modelEvent struct {
	lease   autobus.Lease // "" = waits
	until   time.Time
	attempt int
	after   time.Time // not before
	done    int
	working int
}

func (m *modelBus) fault(format string, args ...any) {
	m.faults = append(m.faults, fmt.Sprintf(format, args...))
}

func (m *modelBus) chance(percent int) bool { return !m.calm && m.rand.IntN(100) < percent }

func (m *modelBus) Publish(context.Context, *autobus.Batch) error { return nil }

func (m *modelBus) Subscribe(ctx context.Context, s autobus.Subscription, h autobus.Handler) error {
	s.Opened("")
	defer m.release()
	window := *s.Window
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case window = <-s.Resize:
			continue
		case <-tick.C:
		}
		ds, revoked, end := m.step(window)
		if len(revoked) > 0 {
			s.Revoke(revoked)
		}
		if len(ds) > 0 {
			h(ctx, ds)
			clear(ds)
		}
		if end {
			return autobus.NewError(autobus.ReasonShuttingDown, "")
		}
	}
}

// step is what a session does at a time.
func (m *modelBus) step(window autobus.Window) (ds []autobus.Delivery, revoked []autobus.Lease, end bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := time.Now()
	held := 0
	for i := range m.events {
		e := &m.events[i]
		if e.lease != "" && (!now.Before(e.until) || m.chance(1)) {
			revoked = append(revoked, e.lease)
			e.lease = ""
			e.attempt++
		}
		if e.lease != "" {
			held++
		}
	}
	for i := range m.events {
		e := &m.events[i]
		if e.lease != "" || e.done > 0 || now.Before(e.after) || held >= window.Events {
			continue
		}
		held++
		m.leases++
		e.lease, e.until = autobus.Lease(fmt.Sprint(i, "/", m.leases)), now.Add(fakeLease)
		ds = append(ds, autobus.Delivery{Event: autobus.Event{ID: fmt.Sprint(i), Type: "a.b.v1", Data: []byte("1")},
			Lease: e.lease, Offset: int64(i), Attempt: e.attempt + 1, Deadline: e.until})
	}
	return ds, revoked, m.rand.IntN(100) < 1 && !m.calm
}

// release is the end of a session.
func (m *modelBus) release() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i := range m.events {
		m.events[i].lease = ""
	}
}

func (m *modelBus) Settle(_ context.Context, ss []autobus.Settlement) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.chance(10) {
		return errBroken
	}
	for i := range ss {
		var n int
		if _, err := fmt.Sscanf(string(ss[i].Lease), "%d/", &n); err != nil {
			m.fault("lease %q was never given", ss[i].Lease)
			continue
		}
		e := &m.events[n]
		if e.lease != ss[i].Lease {
			ss[i].Err = autobus.NewError(autobus.ReasonLeaseStale, "")
			continue
		}
		switch ss[i].Outcome.Kind {
		case autobus.Extend:
			e.until = time.Now().Add(fakeLease)
			continue
		case autobus.Retry:
			e.attempt++
			e.after = time.Now().Add(max(ss[i].Outcome.Delay, time.Second))
		default:
			e.done++
			if m.left--; m.left == 0 {
				m.finish()
			}
		}
		if e.working > 0 {
			m.fault("event %d was settled while a handler has it", n)
		}
		e.lease = ""
	}
	if m.chance(5) {
		return errBroken // it counted, and nobody hears of it
	}
	return nil
}

// work is a handler that does whatever handlers do.
func (m *modelBus) work(ctx context.Context, d *autobus.Delivery) error {
	m.mu.Lock()
	e := &m.events[d.Offset]
	if e.working++; e.working > 1 {
		m.fault("event %d is handled twice at a time", d.Offset)
	}
	took := time.Duration(m.rand.IntN(40_000)) * time.Millisecond
	deaf, end := m.rand.IntN(4) == 0, m.rand.IntN(10)
	if m.calm {
		end = 9
	}
	m.mu.Unlock()
	defer func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		e.working--
	}()
	if deaf {
		ctx = context.WithoutCancel(ctx)
	}
	select {
	case <-time.After(took):
	case <-ctx.Done():
		return ctx.Err()
	}
	switch end {
	case 0:
		panic("by chance")
	case 1:
		return errBroken
	case 2:
		return autobus.RetryAfter(time.Minute, errBroken)
	case 3:
		return autobus.Skipped("")
	}
	return nil
}

func (m *modelBus) workBatch(ctx context.Context, ds []*autobus.Delivery) error {
	errs := make(autobus.Errors, len(ds))
	var all sync.WaitGroup
	for i, d := range ds {
		all.Go(func() {
			defer func() {
				if recover() != nil {
					errs[i] = errBroken
				}
			}()
			errs[i] = m.work(ctx, d)
		})
	}
	all.Wait()
	return errs
}

// TestAnythingMayGoWrong: whatever happens in whatever order, no event is in two handlers at a time, none is settled
// before its handler returned, each is done exactly once, and a worker that is told to stop does.
func TestAnythingMayGoWrong(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		m := &modelBus{rand: rand.New(rand.NewPCG(rapid.Uint64().Draw(rt, "chance"), 1)),
			events: make([]modelEvent, rapid.IntRange(1, 40).Draw(rt, "events"))}
		w := autobus.Worker{Bus: m, Subscription: "s", Workers: rapid.IntRange(1, 6).Draw(rt, "workers"), Logger: quiet(),
			Window: &autobus.Window{Events: rapid.IntRange(1, 20).Draw(rt, "window")}, Grace: time.Minute}
		if rapid.Bool().Draw(rt, "batch") {
			w.HandleBatch = m.workBatch
			w.Limits.Events = rapid.IntRange(1, 10).Draw(rt, "batch events")
		} else {
			w.Handle = m.work
		}
		if rapid.Bool().Draw(rt, "max work") {
			w.MaxWork = 20 * time.Second
		}
		stops := rapid.SliceOfN(rapid.IntRange(1, 200), 0, 3).Draw(rt, "stops")
		synctest.Test(t, func(t *testing.T) { m.drive(w, stops) })
		for _, f := range m.faults {
			rt.Error(f)
		}
	})
}

// drive lets workers come and go after so many seconds, and the last one finish when nothing goes wrong any more.
func (m *modelBus) drive(w autobus.Worker, stops []int) {
	ctx, finish := context.WithCancel(context.Background())
	defer finish()
	m.left, m.finish = len(m.events), finish
	run := func(d time.Duration) {
		ctx, stop := context.WithTimeout(ctx, d)
		defer stop()
		if err := w.Run(ctx); err != nil {
			m.fault("Run: %v", err)
		}
	}
	for _, s := range stops {
		run(time.Duration(s) * time.Second)
	}
	m.mu.Lock()
	m.calm = true
	m.mu.Unlock()
	w.MaxWork = 0
	run(10 * time.Hour)
	for i, e := range m.events {
		if e.done != 1 || e.working != 0 || e.lease != "" {
			m.fault("event %d in the end: %+v", i, e)
		}
	}
}

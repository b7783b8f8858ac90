// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/ipc"
)

// pile asks so often before anybody may answer that all these requests wait at a time, through one inbox.
func (m *measure) pile(ctx context.Context) error {
	answer := make(chan struct{})
	stop, err := m.server(ctx, 64, func(ctx context.Context, r *ipc.Request) (any, error) {
		select {
		case <-answer:
		case <-ctx.Done():
		}
		return echo(ctx, r)
	})
	if err != nil {
		return err
	}
	defer stop() //nolint:errcheck // what counts are the calls
	c, err := m.caller(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(ctx, 10*time.Minute)
	defer cancel()
	var asked, ended sync.WaitGroup
	var failed atomic.Int64
	var first atomic.Pointer[error]
	fail := func(err error) {
		failed.Add(1)
		first.CompareAndSwap(nil, &err)
	}
	began := time.Now()
	places := make(chan struct{}, 256) // requests that are not written yet
	for range m.outstanding {
		places <- struct{}{}
		asked.Add(1)
		ended.Go(func() {
			n := nonce{m.next.Add(1)}
			q, err := c.Ask(ctx, quotes, n, 1)
			<-places
			asked.Done()
			if err != nil {
				fail(err)
				return
			}
			defer q.Close()
			var got nonce
			switch r := q.Next(); {
			case r == nil:
				fail(q.Err())
			case r.Err() != nil:
				fail(r.Err())
			default:
				if err := r.Decode(&got); err != nil {
					fail(err)
				} else if err := m.check(n, got); err != nil {
					fail(err)
				}
			}
		})
	}
	asked.Wait()
	wait := c.Stats().Outstanding
	written := time.Since(began)
	began = time.Now()
	close(answer)
	ended.Wait()
	fmt.Fprintf(m.out, "%d requests outstanding at a time, written in %.1f s; answered within %.1f s, %d failed, %+v\n",
		wait, written.Seconds(), time.Since(began).Seconds(), failed.Load(), c.Stats())
	switch {
	case failed.Load() > 0:
		return fmt.Errorf("%d calls failed, the first by: %w", failed.Load(), *first.Load())
	case wait < m.outstanding:
		return fmt.Errorf("only %d waited at a time", wait)
	}
	return nil
}

// expire asks with little time while nobody serves, waits until that is over, and looks that nothing of it is begun.
func (m *measure) expire(ctx context.Context) error {
	stop, err := m.server(ctx, 1, echo) // makes the subscription
	if err == nil {
		err = stop()
	}
	if err != nil {
		return err
	}
	c, err := m.caller(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	const count, timeout = 1000, time.Second
	var calls sync.WaitGroup
	var answered, written atomic.Int64
	var over atomic.Int64 // the latest deadline
	places := make(chan struct{}, 256)
	for range count {
		places <- struct{}{}
		calls.Go(func() {
			defer func() { <-places }()
			call, cancel := context.WithTimeout(ctx, timeout)
			defer cancel()
			deadline, _ := call.Deadline()
			q, err := c.Ask(call, quotes, nonce{m.next.Add(1)}, 1)
			if err != nil {
				return // it had no time left when it was to be written
			}
			written.Add(1)
			if q.Next() != nil {
				answered.Add(1)
			}
			q.Close()
			for at := deadline.UnixNano(); ; {
				old := over.Load()
				if at <= old || over.CompareAndSwap(old, at) {
					return
				}
			}
		})
	}
	calls.Wait()
	select {
	case <-time.After(time.Until(time.Unix(0, over.Load())) + autobus.ExpiryGrace):
	case <-ctx.Done():
		return ctx.Err()
	}
	var begun atomic.Int64
	stop, err = m.server(ctx, 64, func(ctx context.Context, r *ipc.Request) (any, error) {
		begun.Add(1)
		return echo(ctx, r)
	})
	if err != nil {
		return err
	}
	if err := m.drained(ctx); err != nil {
		return err
	}
	if err := stop(); err != nil {
		return err
	}
	fmt.Fprintf(m.out, "%d requests whose time was over before a server came: %d were begun, %d answered\n",
		written.Load(), begun.Load(), answered.Load())
	if begun.Load()+answered.Load() > 0 {
		return fmt.Errorf("%d were begun", begun.Load())
	}
	return nil
}

// roll restarts three servers in turn, twice each, while requests are made.
func (m *measure) roll(ctx context.Context) error {
	const servers, rate, turns = 3, 200, 6
	var stops [servers]func() error
	var err error
	for i := range stops {
		if stops[i], err = m.server(ctx, 16, slowly); err != nil {
			return err
		}
	}
	c, err := m.caller(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	loading, end := context.WithCancel(ctx)
	defer end()
	done := make(chan *taken, 1)
	go func() {
		done <- load(loading, rate, time.Hour, func(context.Context) error {
			call, cancel := context.WithTimeout(ctx, patience) // what was asked when the load ends is waited for
			defer cancel()
			return m.ask(call, c)
		})
	}()
	for i := range turns {
		select {
		case <-time.After(2 * time.Second):
		case <-ctx.Done():
			return ctx.Err()
		}
		if err := stops[i%servers](); err != nil {
			return fmt.Errorf("a server that was stopped: %w", err)
		}
		if stops[i%servers], err = m.server(ctx, 16, slowly); err != nil {
			return err
		}
	}
	end()
	all := <-done
	for _, stop := range stops {
		if err := stop(); err != nil {
			return err
		}
	}
	fmt.Fprintf(m.out, "%d restarts of %d servers at %d requests a second: %s\n", turns, servers, rate, all)
	if len(all.failed) > 0 {
		return fmt.Errorf("%d calls failed", len(all.failed))
	}
	return nil
}

// slowly answers as echo does, after a moment of work, so that a server that stops always has some in hand.
func slowly(ctx context.Context, r *ipc.Request) (any, error) {
	select {
	case <-time.After(20 * time.Millisecond):
		return echo(ctx, r)
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

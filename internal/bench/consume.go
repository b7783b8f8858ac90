// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/kafka"
)

// consume prepares rounds that read the same backlog again and again, each under a name of its own. The clock runs
// from the first event to the last ack: how long a group takes to form is not what is asked.
func (r *rig) consume(ctx context.Context) (w work, err error) {
	if err := r.backlog(ctx); err != nil {
		return w, err
	}
	n := 0
	w.direct = func(ctx context.Context) (*measured, error) {
		n++
		return r.consumeDirectly(ctx, fmt.Sprintf("%s-%d", r.name, n))
	}
	w.bus = func(ctx context.Context) (*measured, error) {
		n++
		return r.consumeByBus(ctx, fmt.Sprintf("%s-%d", r.name, n))
	}
	if r.plan.WarmUp <= 0 {
		return w, nil
	}
	// The first time brokers and gateway read, they read cold.
	if _, err = w.direct(ctx); err == nil {
		_, err = w.bus(ctx)
	}
	return w, err
}

// backlog fills the bus's topic up to the events wanted, with records as the bus writes them.
func (r *rig) backlog(ctx context.Context) error {
	bounds, err := r.log.Bounds(ctx, r.typ)
	if err != nil {
		return err
	}
	have := 0
	for _, b := range bounds {
		have += int(b.End - b.First)
	}
	const fillers, batch = 4, 100
	defer r.closeTo(len(r.closes))
	p, err := r.producers(ctx, r.typ, r.values, fillers, batch, 1)
	if err != nil {
		return err
	}
	for first := 0; have < r.Events; first += batch {
		if err := p.send(ctx, first/batch%fillers, first); err != nil {
			return err
		}
		r.acked += batch
		have += batch
	}
	r.Events = have
	return nil
}

// clock starts with the first event, whoever gets it.
type clock struct {
	once  sync.Once
	begin time.Time
	err   error
}

func (c *clock) start(mark func() error) {
	c.once.Do(func() {
		c.begin = time.Now()
		c.err = mark()
	})
}

// commitEvery is how often positions are committed, by the bus and so by direct too.
const commitEvery = time.Second

func (r *rig) consumeDirectly(ctx context.Context, group string) (*measured, error) {
	defer r.forgetGroup(ctx, group)
	return r.around(func(mark func() error) (*sample, error) {
		reading, stop := context.WithCancelCause(ctx)
		defer stop(nil)
		var read atomic.Int64
		var clock clock
		var took time.Duration
		var members sync.WaitGroup
		members.Go(func() { watch(reading, stop, &read, r.plan.patience()) })
		for range r.Clients {
			c, err := kafka.OpenBareGroup(ctx, r.Kafka, group, r.typ)
			if err != nil {
				stop(err)
				break
			}
			members.Go(func() {
				defer c.Close()
				committed := time.Now()
				for reading.Err() == nil {
					n, err := c.Poll(reading, nil)
					if err != nil {
						stop(err)
						return
					}
					clock.start(mark)
					if all := read.Add(int64(n)); all >= int64(r.Events) && all-int64(n) < int64(r.Events) {
						took = time.Since(clock.begin)
						stop(errDone)
					}
					if time.Since(committed) > commitEvery {
						committed = time.Now()
						if err := c.Commit(ctx); err != nil {
							stop(err)
							return
						}
					}
				}
			})
		}
		members.Wait()
		return consumed(reading, read.Load(), took, &clock)
	})
}

// errDone ends a round that read all there is.
var errDone = errors.New("all was read")

func consumed(ctx context.Context, events int64, took time.Duration, c *clock) (*sample, error) {
	if err := context.Cause(ctx); !errors.Is(err, errDone) {
		return nil, err
	}
	return &sample{events: events, took: took}, c.err
}

func (r *rig) forgetGroup(ctx context.Context, group string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleTime)
	defer cancel()
	// A group that stays is forgotten by the brokers themselves, after days.
	_ = r.log.DeleteGroup(ctx, group)
}

func (r *rig) consumeByBus(ctx context.Context, name string) (*measured, error) {
	defer r.closeTo(len(r.closes))
	open, err := r.dial(ctx, r.Connections)
	if err != nil {
		return nil, err
	}
	m, err := r.around(func(mark func() error) (*sample, error) {
		reading, stop := context.WithCancelCause(ctx)
		defer stop(nil)
		var acked atomic.Int64
		var clock clock
		var took time.Duration
		latencies := make([]histogram, len(open))
		var parts sync.WaitGroup
		parts.Go(func() { watch(reading, stop, &acked, r.plan.patience()) })
		for i, bus := range open {
			acks := make(chan []autobus.Settlement, 64)
			parts.Go(func() {
				defer close(acks)
				err := bus.Subscribe(reading, r.subscription(name, autobus.Start{Earliest: true}),
					func(ctx context.Context, ds []autobus.Delivery) {
						clock.start(mark)
						select {
						case acks <- settlements(ds):
						case <-ctx.Done():
						}
					})
				if err != nil {
					stop(err)
				}
			})
			parts.Go(func() {
				for settle := range acks {
					from := time.Now()
					if err := settled(reading, bus, settle); err != nil {
						stop(err)
						continue
					}
					latencies[i].add(time.Since(from))
					n := int64(len(settle))
					if all := acked.Add(n); all >= int64(r.Events) && all-n < int64(r.Events) {
						took = time.Since(clock.begin)
						stop(errDone)
					}
				}
			})
		}
		parts.Wait()
		s, err := consumed(reading, acked.Load(), took, &clock)
		if err != nil {
			return nil, err
		}
		for i := range latencies {
			s.latency.merge(&latencies[i])
		}
		return s, nil
	})
	if forgetting := r.forgetSoon(ctx, name); err == nil {
		err = forgetting
	}
	return m, err
}

func (r *rig) forgetSoon(ctx context.Context, name string) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleTime)
	defer cancel()
	return r.forget(ctx, name)
}

func (r *rig) subscription(name string, from autobus.Start) autobus.Subscription {
	return autobus.Subscription{Name: name, Window: &autobus.Window{Events: r.Window, Bytes: windowBytes},
		Create: &autobus.Policy{Types: []string{r.typ}, Start: from, OnExhausted: autobus.Drop}}
}

// windowBytes never binds before the window's events do, at the sizes that are measured.
const windowBytes = 16 << 20

func settlements(ds []autobus.Delivery) []autobus.Settlement {
	out := make([]autobus.Settlement, len(ds))
	for i := range ds {
		out[i] = autobus.Settlement{Lease: ds[i].Lease, Outcome: autobus.Outcome{Kind: autobus.Ack}}
	}
	return out
}

func settled(ctx context.Context, bus autobus.Bus, settle []autobus.Settlement) error {
	if err := bus.Settle(ctx, settle); err != nil {
		return err
	}
	for i := range settle {
		if settle[i].Err != nil {
			return settle[i].Err
		}
	}
	return nil
}

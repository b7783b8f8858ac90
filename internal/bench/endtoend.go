// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"bytes"
	"context"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/kafka"
)

// endToEnd prepares rounds that take the time from before the publish to the delivery. The readers are there before
// the first round and stay for all of them.
func (r *rig) endToEnd(ctx context.Context) (w work, err error) {
	direct := &journey{rig: r}
	if err := direct.byKafka(ctx); err != nil {
		return w, err
	}
	bus := &journey{rig: r}
	if err := bus.byBus(ctx); err != nil {
		return w, err
	}
	w.direct = func(ctx context.Context) (*measured, error) { return direct.round(ctx) }
	w.bus = func(ctx context.Context) (*measured, error) { return bus.round(ctx) }
	return w, nil
}

// journey is one way from a publisher to a reader.
type journey struct {
	*rig
	send func(ctx context.Context, caller int, id string, v *payload) error

	next atomic.Int64 // number of the next event

	mu      sync.Mutex
	sent    map[int64]time.Time // under way
	latency histogram           // of this round
	arrived chan struct{}       // one token: something arrived
	failed  chan error          // one: the reader ended
}

// depart notes when an event sets out and names it.
func (j *journey) depart() (id string) {
	n := j.next.Add(1)
	now := time.Now()
	j.mu.Lock()
	j.sent[n] = now
	j.mu.Unlock()
	return j.prefix() + strconv.FormatInt(n, 10)
}

// prefix begins the ids of this run's events: the bus takes the id of another run for a duplicate.
func (j *journey) prefix() string { return j.name + "-" }

// arrive notes that an event was delivered. One that comes twice counts once.
func (j *journey) arrive(id []byte) {
	now := time.Now()
	n, err := strconv.ParseInt(string(bytes.TrimPrefix(id, []byte(j.prefix()))), 10, 64)
	if err != nil {
		return
	}
	j.mu.Lock()
	if at, ok := j.sent[n]; ok {
		delete(j.sent, n)
		j.latency.add(now.Sub(at))
	}
	j.mu.Unlock()
	select {
	case j.arrived <- struct{}{}:
	default:
	}
}

// round publishes at the rate and waits for the last one.
func (j *journey) round(ctx context.Context) (*measured, error) {
	j.mu.Lock()
	j.latency = histogram{}
	j.mu.Unlock()
	return j.around(func(func() error) (*sample, error) {
		l := load{callers: j.Callers, batch: 1, rate: j.Rate, lasts: j.plan.Round}
		s, err := l.run(ctx, j.one)
		j.acked += s.events
		if err == nil {
			err = j.allArrived(ctx)
		}
		j.mu.Lock()
		s.latency = j.latency
		j.mu.Unlock()
		return s, err
	})
}

func (j *journey) one(ctx context.Context, caller, first int) error {
	return j.send(ctx, caller, j.depart(), &j.values[first%len(j.values)])
}

func (j *journey) allArrived(ctx context.Context) error {
	late := time.NewTimer(settleTime)
	defer late.Stop()
	for {
		j.mu.Lock()
		left := len(j.sent)
		j.mu.Unlock()
		if left == 0 {
			return nil
		}
		select {
		case <-j.arrived:
		case err := <-j.failed:
			return err
		case <-ctx.Done():
			return ctx.Err()
		case <-late.C:
			return autobus.NewError(autobus.ReasonInternal, "%d events were written and not delivered within %s", left,
				settleTime).WithHint("Look at the gateway's log and at /v1/status.")
		}
	}
}

// open runs a reader beside the rounds and, once it is ready, proves by one event that it reads.
func (j *journey) open(ctx context.Context, ready <-chan struct{}, read func(ctx context.Context) error) error {
	j.sent, j.arrived, j.failed = map[int64]time.Time{}, make(chan struct{}, 1), make(chan error, 1)
	reading, stop := context.WithCancel(context.WithoutCancel(ctx))
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := read(reading); err != nil && reading.Err() == nil {
			j.fail(err)
		}
	}()
	j.defers(func() { stop(); <-ended })
	select {
	case <-ready:
	case err := <-j.failed:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
	if err := j.one(ctx, 0, 0); err != nil {
		return err
	}
	j.acked++
	return j.allArrived(ctx)
}

// fail tells the round that the reader ended; the first error counts.
func (j *journey) fail(err error) {
	select {
	case j.failed <- err:
	default:
	}
}

func (j *journey) byKafka(ctx context.Context) error {
	ends, err := j.log.Ends(ctx, j.direct)
	if err != nil {
		return err
	}
	reader, err := kafka.OpenBareReader(ctx, j.Kafka, ends)
	if err != nil {
		return err
	}
	j.defers(reader.Close)
	writer, err := j.writer(ctx)
	if err != nil {
		return err
	}
	producers := make([]*producer, j.Callers)
	for i := range producers {
		producers[i] = j.newProducer(j.direct, "")
	}
	j.send = func(ctx context.Context, caller int, id string, v *payload) error {
		p := producers[caller]
		p.begin(1)
		p.add([]byte(id), v)
		return writer.Produce(ctx, &p.batch)
	}
	ready := make(chan struct{})
	close(ready) // it reads from offsets that were there before
	return j.open(ctx, ready, func(ctx context.Context) error {
		for {
			if _, err := reader.Poll(ctx, j.arrive); err != nil {
				return err
			}
		}
	})
}

func (j *journey) byBus(ctx context.Context) error {
	open, err := j.dial(ctx, 2)
	if err != nil {
		return err
	}
	j.send = func(ctx context.Context, _ int, id string, v *payload) error {
		e := j.event(v)
		e.ID = id
		return written(ctx, open[0], &autobus.Batch{Events: []autobus.Event{e}})
	}
	name := j.name + "-e2e"
	j.defers(func() { _ = j.forgetSoon(ctx, name) }) // after the reader ended; a subscription that stays costs nothing
	opened := make(chan struct{})
	s := j.subscription(name, autobus.Start{})
	s.Opened = func(autobus.Address) { close(opened) }
	read := func(ctx context.Context) error {
		acks := make(chan []autobus.Settlement, 1024)
		var acking sync.WaitGroup
		acking.Go(func() {
			for settle := range acks {
				if err := settled(ctx, open[1], settle); err != nil && ctx.Err() == nil {
					j.fail(err)
				}
			}
		})
		err := open[1].Subscribe(ctx, s, func(ctx context.Context, ds []autobus.Delivery) {
			for i := range ds {
				j.arrive([]byte(ds[i].ID))
			}
			select {
			case acks <- settlements(ds):
			case <-ctx.Done():
			}
		})
		close(acks)
		acking.Wait()
		return err
	}
	return j.open(ctx, opened, read)
}

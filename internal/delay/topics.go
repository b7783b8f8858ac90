// SPDX-License-Identifier: Apache-2.0

package delay

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"time"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/kafka"
)

// topics is what is known of the keeper's topics once they are there.
type topics struct {
	partitions map[string]int32
	weak       *autobus.Error // why they are less safe than what types promise; nil = they are not
}

// lookEvery is how often an instance looks whether another one made the topics, and whether they are safe.
const lookEvery = time.Minute

// Ready makes the topics, the first time that anything is delayed. With durable they also have to be as safe as the
// topics of types are: ReasonNotDurable.
func (k *Keeper) Ready(ctx context.Context, durable bool) error {
	t := k.topics.Load()
	if t == nil {
		var err error
		if t, err = k.make(ctx); err != nil {
			return err
		}
	}
	if durable && t.weak != nil {
		return t.weak
	}
	return nil
}

// make makes what is missing. All at once: a member of the group hears of a new topic only after seconds.
func (k *Keeper) make(ctx context.Context) (*topics, error) {
	select {
	case k.making <- struct{}{}:
	case <-ctx.Done():
		return nil, autobus.NewError(autobus.ReasonClusterUnreachable, "the topics of delayed events are not ready in time")
	}
	defer func() { <-k.making }()
	if t := k.topics.Load(); t != nil {
		return t, nil
	}
	all := k.cfg.tiers()
	errs := make([]error, len(all))
	var done sync.WaitGroup
	for i, t := range all {
		done.Go(func() {
			configs := map[string]string{"retention.ms": strconv.FormatInt(t.retention().Milliseconds(), 10),
				"segment.ms": strconv.FormatInt((24 * time.Hour).Milliseconds(), 10)}
			if t.hold > 0 { // so that the clocks of instances do not matter to what a tier holds
				configs["message.timestamp.type"] = "LogAppendTime"
			}
			_, errs[i] = k.cfg.Log.CreateInternal(ctx, t.topic, k.cfg.Partitions, configs)
		})
	}
	done.Wait()
	if err := errors.Join(errs...); err != nil {
		return nil, autobus.NewError(autobus.ReasonClusterUnreachable, "the topics of delayed events cannot be made: %v",
			err).WithCause(err)
	}
	t, err := k.look(ctx)
	if err == nil && t == nil {
		err = autobus.NewError(autobus.ReasonClusterUnreachable, "the topics of delayed events are not there yet")
	}
	return t, err
}

// look finds out what is there; nil = not all of the topics.
func (k *Keeper) look(ctx context.Context) (*topics, error) {
	all := k.cfg.tiers()
	names := make([]string, len(all))
	for i, t := range all {
		names[i] = t.topic
	}
	found, err := k.cfg.Log.Topics(ctx, names...)
	if err != nil {
		return nil, err
	}
	t := &topics{partitions: map[string]int32{}}
	for _, name := range names {
		d, ok := found[name]
		if d.Err != nil {
			return nil, d.Err
		}
		if !ok || d.Partitions == 0 {
			return nil, nil
		}
		if d.Replicas < 3 || d.MinISR() < 2 || d.Unclean() {
			t.weak = autobus.NewError(autobus.ReasonNotDurable, "topic %s of delayed events has %d replicas, "+
				"min.insync.replicas %d, unclean election %t", name, d.Replicas, d.MinISR(), d.Unclean())
		}
		t.partitions[name] = d.Partitions
		k.cfg.Log.UseInternal(name)
	}
	if k.topics.Swap(t) == nil {
		k.mu.Lock()
		close(k.made)
		k.mu.Unlock()
	}
	return t, nil
}

// Mend is told of appends that found their topic gone. The topics are made again by the next Ready.
func (k *Keeper) Mend(topic string) {
	k.cfg.Logger.Error("a topic of delayed events was deleted, with what it held", "topic", topic)
	k.cfg.Log.Renew(topic)
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.topics.Swap(nil) != nil {
		k.made = make(chan struct{})
	}
}

// known waits until the topics are there, or ctx ends.
func (k *Keeper) known(ctx context.Context) bool {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for k.topics.Load() == nil {
		if _, err := k.look(ctx); err != nil && ctx.Err() == nil {
			k.cfg.Logger.Warn("look for the topics of delayed events", "error", err)
		}
		k.mu.Lock()
		made := k.made
		k.mu.Unlock()
		select {
		case <-ctx.Done():
			return false
		case <-made:
		case <-tick.C:
		}
	}
	return true
}

// forAll appends records and waits for the brokers' answers: one error for each, nil = it is in the log.
func forAll(ctx context.Context, log *kafka.Log, records []kafka.Record) []error {
	errs := make([]error, len(records))
	done := make(chan int, len(records))
	answers := make([]error, len(records)) // of its own: after ctx ended, answers may still come
	sent := 0
	for i := range records {
		err := log.Append(&kafka.Append{TP: records[i].TP, Records: records[i : i+1],
			Done: func(_ int, _ int64, err error) { answers[i] = err; done <- i }})
		if errs[i] = err; err == nil {
			errs[i] = errPending
			sent++
		}
	}
	for range sent {
		select {
		case i := <-done:
			errs[i] = answers[i]
		case <-ctx.Done():
			return errs
		}
	}
	return errs
}

var errPending = errors.New("the brokers did not answer yet")

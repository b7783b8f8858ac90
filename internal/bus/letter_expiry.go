// SPDX-License-Identifier: Apache-2.0

package bus

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/autobus-io/autobus/internal/control"
	"github.com/autobus-io/autobus/internal/kafka"
)

// When what retention will take is told of.
const (
	expiryLook  = 10 * time.Minute
	expiryFirst = 10 * time.Second // after the start, when there is much else to do
	expirySoon  = 24 * time.Hour   // before; but no more than a quarter of what they are kept for
	expiryTime  = 30 * time.Second // for the brokers' answers about delayed events
)

// ExpiringLetters is dead letters of a subscription that retention takes soon, and that nobody decided about. Public:
// it is a part of the status.
type ExpiringLetters struct {
	Subscription string    `json:"subscription"`
	Count        int64     `json:"count"`
	From         time.Time `json:"from"` // when the first one may go
}

// ExpiringDelayed is delayed events in one topic of theirs that nobody works on, and that retention takes soon: they
// will never be published. Public: it is a part of the status.
type ExpiringDelayed struct {
	Topic string    `json:"topic"`
	Count int64     `json:"count"`
	From  time.Time `json:"from"` // when the first one may go
}

// expiring looks after what is lost when nobody acts: what retention takes, nobody can redrive or publish.
type expiring struct {
	bus *Bus

	mu      sync.Mutex
	last    []ExpiringLetters
	delayed []ExpiringDelayed
}

func (x *expiring) now() []ExpiringLetters {
	x.mu.Lock()
	defer x.mu.Unlock()
	return append([]ExpiringLetters{}, x.last...)
}

// of is what was found of a subscription the last time.
func (x *expiring) of(name string) ExpiringLetters {
	for _, e := range x.now() {
		if e.Subscription == name {
			return e
		}
	}
	return ExpiringLetters{}
}

func (x *expiring) delayedNow() []ExpiringDelayed {
	x.mu.Lock()
	defer x.mu.Unlock()
	return append([]ExpiringDelayed{}, x.delayed...)
}

func (x *expiring) run(ctx context.Context) {
	timer := time.NewTimer(expiryFirst)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		x.lookDelayed(ctx, time.Now())
		x.look(ctx, time.Now())
		timer.Reset(expiryLook)
	}
}

// lookDelayed looks at delayed events. When it cannot, what was said of them stays.
func (x *expiring) lookDelayed(ctx context.Context, now time.Time) {
	ctx, cancel := context.WithTimeout(ctx, expiryTime)
	defer cancel()
	found, err := x.bus.delays.Neglected(ctx, now)
	if err != nil {
		if !errors.Is(ctx.Err(), context.Canceled) {
			x.bus.cfg.Logger.Info("look which delayed events expire", "error", err)
		}
		return
	}
	var out []ExpiringDelayed
	total := int64(0)
	for _, n := range found {
		out = append(out, ExpiringDelayed(n))
		total += n.Count
		x.bus.cfg.Logger.Error("nobody works on delayed events, and they will be gone soon", "topic", n.Topic, "count",
			n.Count, "from", n.From)
	}
	x.bus.metrics.neglected.Set(float64(total))
	x.mu.Lock()
	defer x.mu.Unlock()
	x.delayed = out
}

// look goes over all subscriptions. One that cannot be looked at keeps what was said of it.
func (x *expiring) look(ctx context.Context, now time.Time) {
	var found []ExpiringLetters
	total := int64(0)
	for _, rec := range x.bus.cfg.Control.All(control.KindSubscription) {
		old := x.of(rec.Name)
		e, err := x.lookAt(ctx, rec.Name, now)
		if err != nil {
			if ctx.Err() != nil {
				return
			}
			x.bus.cfg.Logger.Info("look which dead letters expire", "subscription", rec.Name, "error", err)
			e = old
		}
		if e.Count == 0 {
			continue
		}
		found = append(found, e)
		total += e.Count
		if e.Count != old.Count {
			x.bus.cfg.Logger.Warn("dead letters will be gone soon; redrive, export or drop them", "subscription", rec.Name,
				"count", e.Count, "from", e.From)
		}
	}
	x.bus.metrics.expiring.Set(float64(total))
	x.mu.Lock()
	defer x.mu.Unlock()
	x.last = found
}

func (x *expiring) lookAt(ctx context.Context, name string, now time.Time) (e ExpiringLetters, err error) {
	e.Subscription = name
	f, err := x.bus.fates(ctx, name, false)
	if err != nil || f.kept == 0 {
		return e, err
	}
	soon := now.Add(min(expirySoon, f.kept/4) - f.kept)
	upTo, err := x.bus.cfg.Log.At(ctx, soon, deadLetters(name))
	if err != nil {
		return e, err
	}
	bounds, err := x.bus.cfg.Log.Bounds(ctx, deadLetters(name))
	if err != nil {
		return e, err
	}
	have := bounds[lettersOf(name)]
	have.End = min(have.End, upTo[lettersOf(name)])
	_, err = x.bus.eachLetterRecord(ctx, name, have, func(l *DeadLetter, r *kafka.Record) bool {
		if f.of(l) == "" {
			if e.Count == 0 {
				e.From = r.Time.Add(f.kept).UTC()
			}
			e.Count++
		}
		return true
	})
	return e, err
}

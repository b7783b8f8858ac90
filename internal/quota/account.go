// SPDX-License-Identifier: Apache-2.0

package quota

import (
	"math"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/autobus-io/autobus"
)

const usualBurst = time.Second

// Account is what one principal has used. A nil one bounds nothing.
type Account struct {
	principal string
	limits    Limits
	refused   *[3]prometheus.Counter

	mu     sync.Mutex
	events bucket
	bytes  bucket
	open   int64
}

func newAccount(principal string, l Limits, refused *[3]prometheus.Counter) *Account {
	if l.Burst == 0 {
		l.Burst = usualBurst
	}
	now := time.Now()
	return &Account{principal: principal, limits: l, refused: refused,
		events: newBucket(now, l.Events, l.Burst), bytes: newBucket(now, l.Bytes, l.Burst)}
}

// Take takes an event of so many bytes out of the quota, or says what is used up and for how long; then nothing was
// taken. Bytes may go into debt by one event, whatever its size: if it had to find room for itself, small events could
// keep a large one out for ever, and one larger than the burst would never pass.
func (a *Account) Take(size int) *autobus.Error {
	if a == nil {
		return nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	now := time.Now()
	a.events.fill(now)
	a.bytes.fill(now)
	if wait := a.events.wait(1); wait > 0 {
		return a.refuse(events, wait, "%s may publish %d events a second", a.principal, a.limits.Events)
	}
	if wait := a.bytes.wait(0); wait > 0 {
		return a.refuse(bytes, wait, "%s may publish %d bytes a second", a.principal, a.limits.Bytes)
	}
	a.events.left--
	a.bytes.left -= float64(size)
	return nil
}

// Back gives back what an event took that is not written after all.
func (a *Account) Back(size int) {
	if a == nil {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.events.left++
	a.bytes.left += float64(size) // the next fill cuts what is more than a burst
}

// Connect counts a connection that stays open until release is called, or refuses it.
func (a *Account) Connect() (release func(), err *autobus.Error) {
	if a == nil {
		return func() {}, nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if most := a.limits.Connections; most > 0 && a.open >= most {
		err = a.refuse(connections, 0, "%s has %d connections open, as many as it may", a.principal, a.open)
		return nil, err.WithHint("Close one, or share one between callers: a WebSocket carries many subscriptions.")
	}
	a.open++
	return sync.OnceFunc(func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.open--
	}), nil
}

func (a *Account) refuse(limit int, wait time.Duration, format string, args ...any) *autobus.Error {
	a.refused[limit].Inc()
	err := autobus.NewError(autobus.ReasonQuota, format, args...)
	err.RetryAfter = wait
	return err
}

// bucket fills at a rate up to its size. Without a rate it is never empty.
type bucket struct {
	rate, size float64 // a second; at most
	left       float64 // below 0 = debt
	at         time.Time
}

func newBucket(now time.Time, rate int64, burst time.Duration) bucket {
	// Less than one would never let anything pass.
	size := max(1, float64(rate)*burst.Seconds())
	return bucket{rate: float64(rate), size: size, left: size, at: now}
}

func (b *bucket) fill(now time.Time) {
	b.left = min(b.size, b.left+b.rate*now.Sub(b.at).Seconds())
	b.at = now
}

// wait tells for how long there is not yet as much as least, or, if least is 0, not yet anything.
func (b *bucket) wait(least float64) time.Duration {
	missing := least - b.left
	if b.rate == 0 || missing < 0 || least > 0 && missing == 0 {
		return 0
	}
	// Whole milliseconds, as problems tell them, and more than needed: whoever comes back then must find it.
	return time.Duration(math.Floor(missing/b.rate*1000)+1) * time.Millisecond
}

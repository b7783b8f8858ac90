// SPDX-License-Identifier: Apache-2.0

package bustest

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/kafka"
)

// group checks durable subscriptions. Each part makes its own, which begins at the end of the log unless it says
// otherwise, so that it sees only what the part publishes.
func (s *suite) group(t *testing.T) {
	t.Run("Delivery", s.delivery)
	t.Run("Order", s.deliveryOrder)
	t.Run("Window", s.window)
	t.Run("Filter", s.groupFilter)
	t.Run("Lease", s.lease)
	t.Run("Retry", s.retry)
	t.Run("Park", s.park)
	t.Run("Queue", s.queue)
	t.Run("Breaker", s.breaker)
	t.Run("DeadLetter", s.deadLetter)
	t.Run("Surgery", s.surgery)
	t.Run("Session", s.session)
	t.Run("Start", s.start)
	t.Run("Create", s.create)
	t.Run("Grant", s.groupGrant)
	t.Run("Tally", s.tally)
}

// delivery checks what a worker is given.
func (s *suite) delivery(t *testing.T) {
	t.Run("Event", func(t *testing.T) {
		p := s.policy(s.types.Keyed)
		w := s.work(t, s.subscription(p))
		key := s.unique("key")
		e := s.event(s.types.Keyed, key)
		e.Subject, e.Source, e.Time = "a subject", "/delivery", time.Now().UTC().Truncate(time.Microsecond)
		e.SetExt("country", "kz")
		before := time.Now()
		rs := s.publish(t, e)
		written(t, rs)
		d := w.next(t)
		country, _ := d.Ext("country")
		if d.ID != e.ID || d.Type != e.Type || d.Source != e.Source || d.Subject != e.Subject || !d.Time.Equal(e.Time) ||
			country != "kz" || !bytes.Equal(d.Data, e.Data) || string(d.Key) != key || d.Unspecified {
			t.Errorf("sent %+v, got %+v", e, d)
		}
		if d.Partition != rs[0].Partition || d.Offset != rs[0].Offset {
			t.Errorf("it was delivered as %d/%d, its receipt tells %d/%d", d.Partition, d.Offset, rs[0].Partition, rs[0].Offset)
		}
		wait := time.Duration(autobus.DefaultAckWait)
		if d.Lease == "" || d.Attempt != 1 || d.Fence == 0 || d.Deadline.Before(before.Add(wait)) ||
			d.Deadline.After(time.Now().Add(wait)) {
			t.Errorf("lease %q, attempt %d, fence %d, deadline in %s", d.Lease, d.Attempt, d.Fence, time.Until(d.Deadline))
		}
		w.ack(t, d)
		written(t, s.publish(t, s.event(s.types.Keyed, key)))
		next := w.next(t)
		if next.Fence <= d.Fence || next.Lease == d.Lease {
			t.Errorf("fence %d and lease %q come after fence %d and lease %q", next.Fence, next.Lease, d.Fence, d.Lease)
		}
		w.ack(t, next)
	})

	t.Run("Foreign", func(t *testing.T) { // what others wrote is delivered, marked, and holds nobody up
		if lacks(t, s.features.NoLog) {
			return
		}
		w := s.work(t, s.subscription(s.policy(s.types.Keyed)))
		r := kafka.Record{TP: kafka.TP{Topic: s.types.Keyed, Partition: 1}, Key: []byte("someone"), Time: time.Now(),
			Value: []byte("\xff\x00 not json")}
		ctx, cancel := context.WithTimeout(t.Context(), Patience)
		defer cancel()
		offset, err := s.target.Log.Write(ctx, r)
		if err != nil {
			t.Fatal(err)
		}
		d := w.next(t)
		id := fmt.Sprintf("%s:%d:%d", r.Topic, r.Partition, offset)
		if !d.Unspecified || d.ID != id || !bytes.Equal(d.Data, r.Value) || string(d.Key) != "someone" {
			t.Errorf("got %+v, want id %s", d, id)
		}
		w.ack(t, d)
		key := s.keyIn(1, Partitions)
		written(t, s.publish(t, s.event(s.types.Keyed, key)))
		if d := w.next(t); string(d.Key) != key {
			t.Errorf("after the foreign record: %+v", d)
		}
	})
}

// policy is one that begins at the end and does not wait long.
func (s *suite) policy(types ...string) autobus.Policy {
	return autobus.Policy{Types: types, Retry: autobus.RetryPolicy{
		Backoff: []autobus.Duration{autobus.Duration(time.Millisecond)}}}
}

// name is one for a subscription that no other test has.
func (s *suite) name() string {
	prefix, _, _ := strings.Cut(s.types.Keyed, ".")
	return s.unique(prefix + "-shop")
}

// subscription is a new one with this policy.
func (s *suite) subscription(p autobus.Policy) autobus.Subscription {
	return autobus.Subscription{Name: s.name(), Create: &p}
}

// keyIn makes a new key whose events stand in the given one of so many partitions.
func (s *suite) keyIn(partition, of int32) string {
	for {
		if key := s.unique("key"); murmur2([]byte(key))&0x7fffffff%of == partition {
			return key
		}
	}
}

// orders publishes an event for each key, in that order, and returns their receipts.
func (s *suite) orders(t *testing.T, typ string, keys ...string) []autobus.Receipt {
	t.Helper()
	events := make([]autobus.Event, len(keys))
	for i, key := range keys {
		events[i] = s.event(typ, key)
	}
	rs := s.publish(t, events...)
	written(t, rs)
	return rs
}

// deadLetters reads all of a subscription.
func (s *suite) deadLetters(t testing.TB, subscription string) []kafka.Record {
	t.Helper()
	return s.read(t, "dlq."+subscription)
}

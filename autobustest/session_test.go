// SPDX-License-Identifier: Apache-2.0

package autobustest_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/autobustest"
)

// A worker that lets a lease run out may be stuck: until it settles something it gets nothing beside what it holds.
func TestAStalledSessionGetsNothingNew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus := withSpecs(t)
		w := work(t, bus, "shipping", nil)
		publish(t, bus, placed, order("first"))
		<-w.got
		time.Sleep(20 * time.Second)
		publish(t, bus, placed, order("second"))
		second := <-w.got
		time.Sleep(15 * time.Second) // the first one's lease ran out, and its backoff is over
		if n := len(w.got); n != 0 {
			t.Errorf("%d deliveries came to a worker that may be stuck", n)
		}
		ack(t, bus, second)
		if d := <-w.got; string(d.Key) != "first" || d.Attempt != 2 {
			t.Errorf("attempt %d of %s came, want the second of the first", d.Attempt, d.Key)
		}
	})
}

// Several sessions share the keys, each up to its window, and one event of a key is in flight at a time.
func TestSessionsShareTheKeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus := autobustest.New(t)
		bus.Subscription("shared", autobus.Policy{Types: []string{"a.b.v1"}, Window: &autobus.Window{Events: 2}})
		x, y := work(t, bus, "shared", nil), work(t, bus, "shared", nil)
		for _, key := range []string{"a", "a", "b", "c", "d", "e", "e"} {
			send(t, bus, autobus.Event{Type: "a.b.v1", Data: []byte(`{}`),
				Extensions: []autobus.Extension{{Name: autobus.ExtPartitionKey, Value: key}}})
		}
		synctest.Wait()
		if len(x.got) != 2 || len(y.got) != 2 {
			t.Fatalf("%d and %d events are in hand, want a full window each", len(x.got), len(y.got))
		}
		for range 7 {
			var d autobus.Delivery
			select {
			case d = <-x.got:
			case d = <-y.got:
			}
			if d.Attempt != 1 {
				t.Errorf("attempt %d of %s came", d.Attempt, d.Key)
			}
			ack(t, bus, d)
		}
		bus.Idle("shared")
	})
}

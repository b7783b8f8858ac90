// SPDX-License-Identifier: Apache-2.0

package bus_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/bus"
	"github.com/autobus-io/autobus/internal/bustest"
	"github.com/autobus-io/autobus/internal/kafka"
)

// TestWhatFollowsAJoinedEventStandsBehindIt: the same events come over two connections at once, as they do when a
// client sends again what it has no answer for. The first attempt is held up between taking its ids and appending.
func TestWhatFollowsAJoinedEventStandsBehindIt(t *testing.T) {
	at, proceed := make(chan struct{}), make(chan struct{})
	f := open(t, func(c *bus.Config, _ *kafka.Config) {
		c.Full = func(size int64) *autobus.Error {
			if size > 1000 {
				close(at)
				<-proceed
			}
			return nil
		}
	})
	named := func(id, total string) autobus.Event {
		e := order("k", total)
		e.ID = id
		return e
	}
	held := order("gate", "1")
	held.Data = []byte(`{"id":"gate","total":1,"note":"` + strings.Repeat("x", 1000) + `"}`)
	first := &autobus.Batch{Events: []autobus.Event{named("a", "1"), named("b", "2"), held}}
	again := &autobus.Batch{Events: []autobus.Event{named("z", "9"), named("a", "1"), named("b", "2"), named("c", "3")}}
	done := make(chan error, 2)
	go func() { done <- f.Publish(f.ctx, first) }()
	<-at
	go func() { done <- f.Publish(f.ctx, again) }()
	// z is not held up, and its place shows that the second attempt has come as far as the first one's events.
	bustest.Eventually(t, "the event before them", func(context.Context) bool { return len(f.records(t, orders)) == 1 })
	close(proceed)
	for range 2 {
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
	for _, r := range append(first.Wait(t.Context()), again.Wait(t.Context())...) {
		if r.Status != autobus.Written {
			t.Errorf("%s: %v", r.Status, r.Err)
		}
	}
	var got []string
	for _, r := range f.records(t, orders) {
		if string(r.Key) == "k" {
			for _, h := range r.Headers {
				if h.Key == "ce_id" {
					got = append(got, string(h.Value))
				}
			}
		}
	}
	if want := []string{"z", "a", "b", "c"}; !slices.Equal(got, want) {
		t.Errorf("the log has %v, want %v", got, want)
	}
}

// SPDX-License-Identifier: Apache-2.0

package autobustest_test

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/autobustest"
)

func TestFailPublish(t *testing.T) {
	e := autobus.Event{ID: "1", Source: "/x", Type: "a.b.v1", Data: []byte(`{}`)}
	for name, c := range map[string]struct {
		failure autobustest.Failure
		status  autobus.Status
		reason  autobus.Reason
		copies  int  // after the failure
		again   bool // the next attempt is a duplicate
	}{
		"refused":     {autobustest.Refuse(autobus.ReasonQuota), autobus.Refused, autobus.ReasonQuota, 0, false},
		"lostRequest": {autobustest.LoseRequest(), autobus.Unknown, autobus.ReasonOutcomeUnknown, 0, false},
		"lostAnswer":  {autobustest.LoseAnswer(), autobus.Unknown, autobus.ReasonOutcomeUnknown, 1, false},
	} {
		t.Run(name, func(t *testing.T) {
			bus := autobustest.New(t)
			bus.FailPublish(nil, c.failure.Times(1))
			r := send(t, bus, e)
			if r.Status != c.status || r.Err == nil || r.Err.Reason != c.reason {
				t.Errorf("got %s (%v), want %s: %s", r.Status, r.Err, c.status, c.reason)
			}
			if n := len(bus.Published()); n != c.copies {
				t.Errorf("%d copies stand there, want %d", n, c.copies)
			}
			if r := send(t, bus, e); r.Status != autobus.Written || r.Duplicate != c.again {
				t.Errorf("the next attempt: %+v", r)
			}
			if n := len(bus.Published()); n != c.copies+1 {
				t.Errorf("after it %d copies stand there, want %d", n, c.copies+1)
			}
		})
	}
}

func TestADelayedReceipt(t *testing.T) {
	bus := autobustest.New(t, autobustest.Clock(start))
	bus.FailPublish(nil, autobustest.DelayAnswer(time.Minute).Times(1))
	e := autobus.Event{ID: "1", Type: "a.b.v1", Data: []byte(`{}`)}
	first, second := &autobus.Batch{Events: []autobus.Event{e}}, &autobus.Batch{Events: []autobus.Event{e}}
	for _, b := range []*autobus.Batch{first, second} { // the second joins the first
		if err := bus.Publish(t.Context(), b); err != nil {
			t.Fatal(err)
		}
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if r := first.Wait(gone)[0]; r.Status != autobus.Unknown {
		t.Errorf("who does not wait gets %s, want unknown", r.Status)
	}
	if n := len(bus.Published()); n != 1 {
		t.Errorf("%d copies stand there, want 1", n)
	}
	bus.Advance(time.Minute)
	a, b := first.Wait(t.Context())[0], second.Wait(t.Context())[0]
	if a.Status != autobus.Written || a.Duplicate || b.Status != autobus.Written || !b.Duplicate {
		t.Errorf("got %+v and %+v", a, b)
	}
}

func TestFailuresByMatchAndNumber(t *testing.T) {
	bus := autobustest.New(t)
	stop := bus.FailPublish(func(e *autobus.Event) bool { return e.Type == "a.b.v1" },
		autobustest.Refuse(autobus.ReasonCapacity))
	bus.FailPublish(nil, autobustest.Refuse(autobus.ReasonStorageFull).Times(2))
	a, b := autobus.Event{Type: "a.b.v1", Data: []byte(`{}`)}, autobus.Event{Type: "c.d.v1", Data: []byte(`{}`)}
	for i, c := range []struct {
		e   autobus.Event
		why autobus.Reason
	}{
		{a, autobus.ReasonCapacity}, {b, autobus.ReasonStorageFull}, {a, autobus.ReasonCapacity},
		{b, autobus.ReasonStorageFull}, {b, ""},
	} {
		if r := send(t, bus, c.e); c.why == "" && r.Status != autobus.Written || c.why != "" && r.Err.Reason != c.why {
			t.Errorf("%d: got %+v, want %q", i, r, c.why)
		}
	}
	stop()
	if r := send(t, bus, a); r.Status != autobus.Written {
		t.Errorf("after the stop: %+v", r)
	}
}

func TestFailSettle(t *testing.T) {
	for name, c := range map[string]struct {
		failure autobustest.Failure
		whole   bool // the call fails
		counts  bool
	}{
		"refused":     {autobustest.Refuse(autobus.ReasonLeaseStale), false, false},
		"lostRequest": {autobustest.LoseRequest(), true, false},
		"lostAnswer":  {autobustest.LoseAnswer(), true, true},
	} {
		t.Run(name, func(t *testing.T) {
			bus := withSpecs(t)
			w := work(t, bus, "shipping", nil)
			publish(t, bus, placed, order("o-1"))
			d := <-w.got
			bus.FailSettle(func(e *autobus.Event, o autobus.Outcome) bool { return e.ID == d.ID && o.Kind == autobus.Ack },
				c.failure.Times(1))
			ss := []autobus.Settlement{{Lease: d.Lease, Outcome: autobus.Outcome{Kind: autobus.Ack}}}
			err := bus.Settle(t.Context(), ss)
			if (err != nil) != c.whole || (ss[0].Err == nil) != c.whole {
				t.Errorf("the call gave %v, the settlement %v", err, ss[0].Err)
			}
			if n := len(bus.Settled("shipping")); (n == 1) != c.counts {
				t.Errorf("%d settlements counted", n)
			}
			if again := settle(t, bus, d, autobus.Outcome{Kind: autobus.Ack}); (again == nil) == c.counts {
				t.Errorf("settled again: %v", again)
			}
		})
	}
}

func TestADelayedSettlement(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus := withSpecs(t)
		w := work(t, bus, "shipping", nil)
		publish(t, bus, placed, order("o-1"))
		bus.FailSettle(nil, autobustest.DelayAnswer(time.Hour).Times(1))
		begun := time.Now()
		ack(t, bus, <-w.got)
		if took := time.Since(begun); took != time.Hour {
			t.Errorf("Settle took %s, want an hour", took)
		}
	})
}

func TestAFailureThatNeverHappensFailsTheTest(t *testing.T) {
	said := failing(func(t testing.TB) {
		bus := autobustest.New(t)
		bus.FailPublish(nil, autobustest.Refuse(autobus.ReasonQuota))
		bus.FailSettle(nil, autobustest.LoseAnswer())
		bus.FailSettle(nil, autobustest.LoseRequest())() // stopped
	})
	says(t, said, "never happened: FailPublish with Refuse(quota)", "never happened: FailSettle with LoseAnswer()")
	if strings.Contains(said, "LoseRequest") {
		t.Errorf("it says what was stopped:\n%s", said)
	}
}

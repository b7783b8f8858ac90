// SPDX-License-Identifier: Apache-2.0

package autobustest_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/autobustest"
)

var start = time.Date(2026, 11, 20, 10, 0, 0, 0, time.UTC)

func TestAClockThatStandsMovesByAdvance(t *testing.T) {
	bus := withSpecs(t, autobustest.Clock(start))
	w := work(t, bus, "shipping", nil)
	publish(t, bus, placed, order("o-1"))
	if at := bus.Published()[0].Time; !at.Equal(start) {
		t.Errorf("the event's time is %s, want %s", at, start)
	}
	d := <-w.got
	if want := start.Add(30 * time.Second); !d.Deadline.Equal(want) {
		t.Errorf("the deadline is %s, want %s", d.Deadline, want)
	}
	settle(t, bus, d, autobus.Outcome{Kind: autobus.Retry})
	bus.Advance(time.Second - 1)
	select {
	case d := <-w.got:
		t.Fatalf("attempt %d came before its backoff was over", d.Attempt)
	default:
	}
	bus.Advance(1)
	if d = <-w.got; d.Attempt != 2 {
		t.Errorf("attempt %d came, want 2", d.Attempt)
	}
	// The lease runs out after 30 s; 10 s later the last attempt comes.
	bus.Advance(40 * time.Second)
	if l := <-w.revoked; l != d.Lease {
		t.Errorf("%q was revoked, want %q", l, d.Lease)
	}
	last := <-w.got
	if last.Attempt != 3 || !bus.Now().Equal(start.Add(41*time.Second)) {
		t.Errorf("attempt %d came at %s", last.Attempt, bus.Now())
	}
	refused(t, orNil(settle(t, bus, d, autobus.Outcome{Kind: autobus.Ack})), autobus.ReasonLeaseStale)
	settle(t, bus, last, autobus.Outcome{Kind: autobus.Retry, Reason: "no parcel fits"})
	bus.Idle("shipping")
	dead := bus.DeadLetters("shipping")
	if len(dead) != 1 || dead[0].Reason != "no parcel fits" || dead[0].Attempts != 3 || !dead[0].First.Equal(start) ||
		!dead[0].Last.Equal(start.Add(41*time.Second)) {
		t.Errorf("dead letters: %+v", dead)
	}
}

// orNil keeps a nil *Error from becoming an error that is not nil.
func orNil(err *autobus.Error) error {
	if err == nil {
		return nil
	}
	return err
}

func TestAdvanceMovesAClockThatGoes(t *testing.T) {
	bus := autobustest.New(t)
	bus.Subscription("late", autobus.Policy{Types: []string{"a.b.v1"}})
	w := work(t, bus, "late", nil)
	publish(t, bus, "a.b.v1", `{}`)
	settle(t, bus, <-w.got, autobus.Outcome{Kind: autobus.Retry, Delay: 7 * 24 * time.Hour})
	bus.Advance(7 * 24 * time.Hour)
	d := <-w.got
	if left := time.Until(d.Deadline); left < 7*24*time.Hour || left > 8*24*time.Hour {
		t.Errorf("the deadline is in %s, want 30 s by the bus's clock, which is seven days ahead", left)
	}
	ack(t, bus, d)
}

func TestTheClockOfABubble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus := withSpecs(t)
		w := work(t, bus, "shipping", nil)
		publish(t, bus, placed, order("o-1"))
		begun := time.Now()
		<-w.got
		d := <-w.got
		if d.Attempt != 2 || time.Since(begun) != 31*time.Second {
			t.Errorf("attempt %d came after %s, want the lease's 30 s and the backoff's 1 s", d.Attempt, time.Since(begun))
		}
		time.Sleep(20 * time.Second)
		if err := settle(t, bus, d, autobus.Outcome{Kind: autobus.Extend}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(20 * time.Second)
		ack(t, bus, d)
		bus.Idle("shipping")
	})
}

func TestIdsAreForgottenAfterAWhile(t *testing.T) {
	bus := autobustest.New(t, autobustest.Clock(start))
	e := autobus.Event{ID: "1", Type: "a.b.v1", Data: []byte(`{}`)}
	for _, want := range []bool{false, true} {
		if r := send(t, bus, e); r.Duplicate != want {
			t.Errorf("duplicate: %v, want %v", r.Duplicate, want)
		}
	}
	bus.Advance(11 * time.Minute)
	if r := send(t, bus, e); r.Duplicate {
		t.Error("an id is known after 11 minutes")
	}
}

// SPDX-License-Identifier: Apache-2.0

package ws

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/wire"
)

// judge settles by the first letter of the lease: stale, unknown, bad, failed; else it counts.
func judge(seen *[]autobus.Settlement) func(context.Context, []autobus.Settlement) error {
	var mu sync.Mutex
	return func(_ context.Context, ss []autobus.Settlement) error {
		mu.Lock()
		defer mu.Unlock()
		for i := range ss {
			switch ss[i].Lease[0] {
			case 's':
				ss[i].Err = autobus.NewError(autobus.ReasonLeaseStale, "late")
			case 'u':
				ss[i].Err = autobus.NewError(autobus.ReasonLeaseUnknown, "forged")
			case 'b':
				ss[i].Err = autobus.NewError(autobus.ReasonOutcomeInvalid, "too long a delay")
			case 'f':
				ss[i].Err = autobus.NewError(autobus.ReasonClusterUnreachable, "not now")
			}
		}
		*seen = append(*seen, ss...)
		return nil
	}
}

func TestOnlyAcksThatDoNotCountAreAnswered(t *testing.T) {
	var seen []autobus.Settlement
	bus := &fakeBus{settle: judge(&seen)}
	c := dial(t, serve(t, bus))
	c.send(`{"op":"ack","results":[{"lease":"1","outcome":"ack"},{"lease":"2","outcome":"retry","delay":"10m"},
		{"lease":"3","outcome":"reject","reason":"because"},{"lease":"4","outcome":"skip"},
		{"lease":"5","outcome":"extend"}]}`)
	c.send(`{"op":"ack","results":[]}`)
	c.send(`{"op":"ack","results":[{"lease":"s1","outcome":"ack"},{"lease":"6","outcome":"ack"},
		{"lease":"u1","outcome":"ack"},{"lease":"7","outcome":"nack"},{"lease":"8","outcome":"ack","delay":"1s"},
		{"lease":"b1","outcome":"retry","delay":"9999h"},{"lease":"9","outcome":"ack"}]}`)
	if f := c.next(); !f.is("stale", 0) || !slices.Equal(f.Leases, []string{"s1", "u1"}) {
		t.Errorf("%s", f)
	}
	if f := c.next(); !f.fails(0, autobus.ReasonOutcomeInvalid) || !slices.Equal(f.Leases, []string{"7", "8", "b1"}) {
		t.Errorf("%s", f)
	}
	c.alive()
	want := []autobus.Outcome{{Kind: autobus.Ack}, {Kind: autobus.Retry, Delay: 10 * time.Minute},
		{Kind: autobus.Reject, Reason: "because"}, {Kind: autobus.Skip}, {Kind: autobus.Extend}}
	for i, o := range want {
		if seen[i].Outcome != o || seen[i].Lease != autobus.Lease(fmt.Sprint(i+1)) || seen[i].Subscription != "" {
			t.Errorf("settlement %d: %+v", i, seen[i])
		}
	}
	if len(seen) != 5+5 || seen[9].Lease != "9" {
		t.Errorf("%d settled: %+v", len(seen), seen)
	}
}

func TestAnAckWithASeqIsAnswered(t *testing.T) {
	var seen []autobus.Settlement
	c := dial(t, serve(t, &fakeBus{settle: judge(&seen)}))
	c.send(`{"op":"ack","seq":1,"results":[]}`)
	c.send(`{"op":"ack","seq":2,"results":[{"lease":"1","outcome":"ack"}]}`)
	for seq := range 2 {
		if f := c.next(); !f.is("acked", int64(seq+1)) || f.Results != nil {
			t.Errorf("%s", f)
		}
	}
	c.send(`{"op":"ack","seq":3,"results":[{"lease":"s1","outcome":"ack"},{"lease":"6","outcome":"ack"},
		{"lease":"u1","outcome":"ack"},{"lease":"7","outcome":"nack"},{"lease":"b1","outcome":"retry","delay":"9999h"},
		{"lease":"f1","outcome":"ack"}]}`)
	f := c.next()
	want := []string{"0 s1 stale", "2 u1 unknown", "3 7 invalid outcome_invalid", "4 b1 invalid outcome_invalid",
		"5 f1 failed cluster_unreachable"}
	var got []string
	for _, r := range f.Results {
		text := fmt.Sprint(r.Index, " ", r.Lease, " ", r.Status)
		if r.Error != nil {
			text += " " + string(r.Error.Reason)
		}
		got = append(got, text)
	}
	if !f.is("acked", 3) || !slices.Equal(got, want) {
		t.Errorf("%s", f)
	}
}

func TestAnAckMayNameItsSubscription(t *testing.T) {
	var seen []autobus.Settlement
	c := dial(t, serve(t, &fakeBus{settle: judge(&seen)}))
	c.send(`{"op":"ack","seq":1,"subscription":"a","results":[{"lease":"1","outcome":"ack"}]}`)
	c.next()
	c.sendBinary(`{"op":"ack","seq":2,"subscription":"b","lease":"l","outcome":"ack"}`, wire.AppendOffset(nil, 0, 7))
	c.nextBinary()
	c.send(`{"op":"ack","seq":3,"results":[{"lease":"2","outcome":"ack"}]}`)
	c.next()
	if len(seen) != 3 || seen[0].Subscription != "a" || seen[1].Subscription != "b" || seen[2].Subscription != "" {
		t.Errorf("settled %+v", seen)
	}
	c.send(`{"op":"ack","seq":4,"subscription":4,"results":[{"lease":"2","outcome":"ack"}]}`)
	if f := c.next(); !f.fails(4, autobus.ReasonFrameInvalid) {
		t.Errorf("%s", f)
	}
}

func TestAcksThatTheBusDoesNotTake(t *testing.T) {
	bus := &fakeBus{settle: func(context.Context, []autobus.Settlement) error {
		return autobus.NewError(autobus.ReasonClusterUnreachable, "gone")
	}}
	c := dial(t, serve(t, bus))
	c.send(`{"op":"ack","results":[{"lease":"1","outcome":"ack"},{"lease":"2","outcome":"ack"}]}`)
	if f := c.next(); !f.fails(0, autobus.ReasonClusterUnreachable) || !slices.Equal(f.Leases, []string{"1", "2"}) {
		t.Errorf("%s", f)
	}
	c.send(`{"op":"ack","seq":1,"results":[{"lease":"1","outcome":"ack"}]}`)
	if f := c.next(); !f.fails(1, autobus.ReasonClusterUnreachable) || f.Leases != nil {
		t.Errorf("%s", f)
	}
	c.send(`{"op":"ack","seq":2,"results":[%s]}`, strings.TrimSuffix(strings.Repeat("0,", 10_001), ","))
	if f := c.next(); !f.fails(2, autobus.ReasonBatchTooLarge) {
		t.Errorf("%s", f)
	}
	c.alive()
}

func TestAFloodOfAcksStopsNobody(t *testing.T) {
	const n = 10_000
	var seen []autobus.Settlement
	bus := &fakeBus{settle: judge(&seen)}
	s := serve(t, bus)
	flood, other := dial(t, s), dial(t, s)
	sent := make(chan struct{})
	began := time.Now()
	go func() {
		defer close(sent)
		for i := range n {
			flood.send(`{"op":"ack","results":[{"lease":"s%d","outcome":"ack"}]}`, i)
		}
	}()
	for i := range n {
		if f := flood.next(); !f.is("stale", 0) || f.Leases[0] != fmt.Sprintf("s%d", i) {
			t.Fatalf("answer %d: %s", i, f)
		}
		if i%1000 == 0 {
			other.alive()
		}
	}
	<-sent
	t.Logf("%d acks, each answered, in %s", n, time.Since(began))
}

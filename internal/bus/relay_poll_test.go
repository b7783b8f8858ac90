// SPDX-License-Identifier: Apache-2.0

package bus_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/bus"
)

// poll takes what there is, once.
func (f *fixture) poll(t *testing.T, name string, most int, wait time.Duration) (got []autobus.Delivery) {
	t.Helper()
	ctx, cancel := context.WithTimeout(f.ctx, wait)
	defer cancel()
	err := f.Subscribe(ctx, autobus.Subscription{Name: name, Detached: true, Window: &autobus.Window{Events: most}},
		func(_ context.Context, ds []autobus.Delivery) {
			got = append(got, ds...)
			cancel()
		})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// Every poll lands on another instance, every ack on yet another one, until all instances have handed out events. A
// poll never brings more than was asked for, and what it brought comes once.
func TestPollsAndAcksLandAnywhere(t *testing.T) {
	_, fs := newFleet(t, "a", "b", "c")
	fs[0].put(t, "shop", earliest)
	names := []string{"a", "b", "c"}
	var keys []string
	for i := range 20 {
		keys = append(keys, fmt.Sprint("k", i))
	}
	last, gave, elsewhere := map[string]int64{}, map[string]int{}, 0
	limit := time.Now().Add(patience)
	for n := 0; len(gave) < 3 || elsewhere < 50; {
		if time.Now().After(limit) {
			t.Fatalf("instances gave %v, %d elsewhere", gave, elsewhere)
		}
		fs[0].orders(t, 20, keys...)
		for left := 20; left > 0; n++ {
			got := fs[n%3].poll(t, "shop", 2, patience)
			if len(got) > 2 || len(got) == 0 {
				t.Fatalf("%d events came, 1 or 2 were asked for", len(got))
			}
			for _, d := range got {
				gave[bus.LeaseInstance(d.Lease)]++
				if bus.LeaseInstance(d.Lease) != names[n%3] {
					elsewhere++
				}
				before, seen := last[string(d.Key)]
				if again := seen && d.Offset <= before; again || d.Attempt != 1 {
					t.Fatalf("key %s: %d after %d, attempt %d", d.Key, d.Offset, before, d.Attempt)
				}
				last[string(d.Key)] = d.Offset
				if err := fs[(n+1)%3].settle(t, d.Lease, autobus.Outcome{Kind: autobus.Ack}); err != nil {
					t.Fatal(err)
				}
				left--
			}
		}
	}
}

// What two owners gave one poll beyond what it asked for is handed out again at once, as a first attempt.
func TestWhatAPollHasNoRoomForIsGivenBack(t *testing.T) {
	const events = 40
	fl, fs := newFleet(t, "a", "b", "c")
	fs[0].put(t, "shop", earliest)
	// Both get partitions, and stay owners for a while when their workers leave.
	a, b := fs[0].worker(t, autobus.Subscription{Name: "shop"}), fs[1].worker(t, autobus.Subscription{Name: "shop"})
	eventually(t, "two owners", func() bool { return fs[0].owned(t, "shop") > 0 && fs[1].owned(t, "shop") > 0 })
	a.leave(t, nil)
	b.leave(t, nil)
	for i := range events {
		fs[0].orders(t, 1, fmt.Sprint("k", i))
	}
	// To the first poll both owners give something.
	var both sync.WaitGroup
	var given atomic.Int64
	both.Add(2)
	fl.gate = func() {
		if given.Add(1) <= 2 {
			both.Done()
			both.Wait()
		}
	}
	for done := range events {
		got := fs[2].poll(t, "shop", 1, patience)
		if len(got) != 1 || got[0].Attempt != 1 {
			t.Fatalf("after %d events came %+v", done, got)
		}
		if err := fs[2].settle(t, got[0].Lease, autobus.Outcome{Kind: autobus.Ack}); err != nil {
			t.Fatal(err)
		}
	}
	if fl.released.Load() == 0 {
		t.Error("nothing was given back")
	}
}

// owned is how many partitions an instance has.
func (f *fixture) owned(t *testing.T, name string) int {
	t.Helper()
	d, err := f.Describe(f.ctx, name)
	if err != nil {
		t.Fatal(err)
	}
	if d.Instance == nil { // nobody has worked there yet
		return 0
	}
	return len(d.Instance.Partitions)
}

// eventually waits until ok says yes.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	limit := time.After(patience)
	for !ok() {
		select {
		case <-tick.C:
		case <-limit:
			t.Fatalf("waited %s for: %s", patience, what)
		}
	}
}

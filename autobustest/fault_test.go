// SPDX-License-Identifier: Apache-2.0

package autobustest_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/autobustest"
)

func TestRevoke(t *testing.T) {
	bus := withSpecs(t)
	w := work(t, bus, "shipping", nil)
	publish(t, bus, placed, order("o-1"))
	d := <-w.got
	bus.Revoke(d.Lease)
	if l := <-w.revoked; l != d.Lease {
		t.Errorf("%q was revoked, want %q", l, d.Lease)
	}
	again := <-w.got
	if again.ID != d.ID || again.Attempt != 1 || again.Fence <= d.Fence {
		t.Errorf("after %+v came %+v", d, again)
	}
	refused(t, orNil(settle(t, bus, d, autobus.Outcome{Kind: autobus.Ack})), autobus.ReasonLeaseStale)
	ack(t, bus, again)
	says(t, failing(func(t testing.TB) { autobustest.New(t).Revoke("x") }), `the lease "x" is not live`)
}

func TestDisconnect(t *testing.T) {
	bus := withSpecs(t)
	w := work(t, bus, "shipping", nil)
	tailed := make(chan error, 1)
	opened := make(chan struct{})
	go func() {
		tailed <- bus.Subscribe(t.Context(), autobus.Subscription{Tail: []string{"*"},
			Opened: func(autobus.Address) { close(opened) }}, func(context.Context, []autobus.Delivery) {})
	}()
	<-opened
	publish(t, bus, placed, order("o-1"))
	d := <-w.got
	bus.Disconnect()
	refused(t, <-w.ended, autobus.ReasonServerUnreachable)
	refused(t, <-tailed, autobus.ReasonServerUnreachable)
	refused(t, orNil(settle(t, bus, d, autobus.Outcome{Kind: autobus.Ack})), autobus.ReasonLeaseStale)
	again := <-work(t, bus, "shipping", nil).got
	if again.ID != d.ID || again.Attempt != 1 || again.Fence>>32 <= d.Fence>>32 {
		t.Errorf("after %+v came %+v, want the same attempt of another incarnation", d, again)
	}
	ack(t, bus, again)
	bus.Idle("shipping")
}

func TestDrain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus := withSpecs(t)
		busy, idle := work(t, bus, "shipping", nil), work(t, bus, "shipping", nil)
		publish(t, bus, placed, order("o-1"))
		var d autobus.Delivery
		select {
		case d = <-busy.got:
		case d = <-idle.got:
			busy, idle = idle, busy
		}
		bus.Drain(5 * time.Second)
		refused(t, <-idle.ended, autobus.ReasonShuttingDown)
		<-busy.drained
		publish(t, bus, placed, order("o-2"))
		synctest.Wait()
		if len(busy.got) > 0 {
			t.Error("a session that drains gets something new")
		}
		ack(t, bus, d) // still counts, and was the last thing in hand
		refused(t, <-busy.ended, autobus.ReasonShuttingDown)

		next := work(t, bus, "shipping", nil)
		slow := <-next.got
		begun := time.Now()
		bus.Drain(5 * time.Second)
		refused(t, <-next.ended, autobus.ReasonShuttingDown)
		if took := time.Since(begun); took != 5*time.Second {
			t.Errorf("a session that settles nothing ended after %s, want 5 s", took)
		}
		last := <-work(t, bus, "shipping", nil).got
		if last.ID != slow.ID || last.Attempt != 1 {
			t.Errorf("after %+v came %+v", slow, last)
		}
	})
}

func TestLosePosition(t *testing.T) {
	bus := withSpecs(t, autobustest.Partitions(2))
	w := work(t, bus, "shipping", nil)
	sibling := map[int32]string{}
	for _, key := range []string{"a", "b", "c", "d", "e", "f"} {
		sibling[publish(t, bus, placed, order(key)).Partition] = key
	}
	if len(sibling) != 2 {
		t.Fatal("six keys are all in one partition")
	}
	var held []autobus.Delivery
	for range 6 {
		held = append(held, <-w.got)
	}
	bus.LosePosition("shipping", placed, 1)
	if l := <-w.lost; l.Partition != 1 || l.Type != placed || l.From != 0 || l.To == 0 {
		t.Errorf("lost: %+v", l)
	}
	for _, d := range held {
		if err := settle(t, bus, d, autobus.Outcome{Kind: autobus.Ack}); (err != nil) != (d.Partition == 1) {
			t.Errorf("ack in partition %d: %v", d.Partition, err)
		}
	}
	publish(t, bus, placed, order(sibling[1]))
	publish(t, bus, placed, order(sibling[0]))
	if d := <-w.got; d.Partition != 0 {
		t.Error("something came of the partition that stands")
	} else {
		ack(t, bus, d)
	}
	bus.Idle("shipping") // what is lost is nothing to do
	if l := <-work(t, bus, "shipping", nil).lost; l.Partition != 1 {
		t.Errorf("a session that comes later is told %+v", l)
	}
	says(t, failing(func(t testing.TB) {
		autobustest.New(t, autobustest.Specs(specsDir)).LosePosition("shipping", placed, 7)
	}), "does not read partition 7")
}

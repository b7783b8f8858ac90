// SPDX-License-Identifier: Apache-2.0

package client_test

import (
	"testing"
	"time"

	"github.com/autobus-io/autobus"
)

// TestDrain: the old connection stays for what came over it, all else goes on over a new one.
func TestDrain(t *testing.T) {
	g := newGateway(t)
	w := watch(g)
	c := g.client()
	r := read(t, c, autobus.Subscription{Name: "billing"})
	_, old := w.next("subscribe", 1)
	old.deliver("billing", "L", 1, 2)
	first, second := await(t, "a delivery", r.got), await(t, "a delivery", r.got)
	deadline := time.Now().Add(time.Minute).UTC()
	old.text(`{"op":"drain","deadline":%q}`, deadline.Format(time.RFC3339Nano))
	if d := await(t, "the drain", r.draining); !d.Equal(deadline) {
		t.Errorf("drained until %s, want %s", d, deadline)
	}
	_, by := w.next("subscribe", 2)
	if by == old {
		t.Fatal("it was opened again on the connection that drains")
	}
	by.deliver("billing", "M", 9, 1)
	third := await(t, "a delivery", r.got)
	for i, d := range []autobus.Delivery{third, first} {
		settle(t, c, autobus.Settlement{Lease: d.Lease, Outcome: autobus.Outcome{Kind: autobus.Ack}})
		if _, over := w.next("ack", i+1); over != []*link{by, old}[i] {
			t.Errorf("%s was settled over another connection than it came by", d.Lease)
		}
	}
	b := batch("a")
	publish(t, c, b)
	receipts(t, b, autobus.Written)
	if _, over := w.next("publish", 1); over != by {
		t.Error("published over the connection that drains")
	}
	_ = old.socket.CloseNow()
	if l := await(t, "the revoke", r.revoked); l != second.Lease {
		t.Errorf("revoked %s", l)
	}
	r.end(nil)
	w.next("unsubscribe", 1)
}

// TestSessionsOfOneName: a connection has one session of a subscription, so the second one has a connection beside.
func TestSessionsOfOneName(t *testing.T) {
	g := newGateway(t)
	w := watch(g)
	c := g.client()
	one := read(t, c, autobus.Subscription{Name: "billing"})
	await(t, "the opening", one.opened)
	two, three := read(t, c, autobus.Subscription{Name: "billing"}), read(t, c, autobus.Subscription{Name: "shipping"})
	await(t, "the opening", two.opened)
	await(t, "the opening", three.opened)
	if len(g.links) != 2 {
		t.Errorf("%d connections", len(g.links))
	}
	two.end(autobus.ErrReaderDied)
	if f, _ := w.next("unsubscribe", 1); !f.Died {
		t.Error("the gateway is not told of the death")
	}
	g.await("the end of the connection beside", func() bool { return len(g.links) == 1 })
	one.end(nil)
	three.end(nil)
	if len(one.revoked)+len(three.revoked) > 0 {
		t.Error("one session's death touches another's")
	}
}

// SPDX-License-Identifier: Apache-2.0

package client_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/client"
)

// reader is a running Subscribe; what it is told comes by channels.
type reader struct {
	t        *testing.T
	opened   chan struct{}
	got      chan autobus.Delivery
	revoked  chan autobus.Lease
	draining chan time.Time
	lost     chan autobus.PositionLost
	ended    chan error
	stop     context.CancelCauseFunc
}

func read(t *testing.T, bus autobus.Bus, s autobus.Subscription) *reader {
	r := &reader{t: t, opened: make(chan struct{}, 10), got: make(chan autobus.Delivery, 10_000),
		revoked: make(chan autobus.Lease, 1000), draining: make(chan time.Time, 10),
		lost: make(chan autobus.PositionLost, 10), ended: make(chan error, 1)}
	s.Opened = func(autobus.Address) { r.opened <- struct{}{} }
	s.Revoke = func(ls []autobus.Lease) {
		for _, l := range ls {
			r.revoked <- l
		}
	}
	s.Draining = func(d time.Time) { r.draining <- d }
	s.Lost = func(p autobus.PositionLost) { r.lost <- p }
	var ctx context.Context
	ctx, r.stop = context.WithCancelCause(context.Background())
	go func() {
		r.ended <- bus.Subscribe(ctx, s, func(_ context.Context, ds []autobus.Delivery) {
			for _, d := range ds {
				r.got <- d
			}
		})
	}()
	t.Cleanup(func() { r.stop(nil) })
	return r
}

func await[T any](t *testing.T, what string, from <-chan T) (v T) {
	t.Helper()
	select {
	case v = <-from:
	case <-time.After(patience):
		t.Fatalf("%s does not come", what)
	}
	return v
}

// end ends it and demands that this is no error.
func (r *reader) end(cause error) {
	r.t.Helper()
	r.stop(cause)
	if err := await(r.t, "the end", r.ended); err != nil {
		r.t.Errorf("it ended with %v", err)
	}
}

func settle(t *testing.T, bus autobus.Bus, ss ...autobus.Settlement) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := bus.Settle(ctx, ss); err != nil {
		t.Fatal(err)
	}
}

// watched keeps the frames that a client sends, and the connection by which they came.
type watched struct {
	g      *gateway
	frames []*frame
	by     []*link
}

func watch(g *gateway) *watched {
	w := &watched{g: g}
	g.script = func(c *link, f *frame) bool {
		g.change(func() { w.frames, w.by = append(w.frames, f), append(w.by, c) })
		return false
	}
	return w
}

// next waits for the n-th frame of an operation.
func (w *watched) next(op string, n int) (f *frame, by *link) {
	w.g.t.Helper()
	w.g.await(fmt.Sprint(op, " ", n), func() bool {
		seen := 0
		for i := range w.frames {
			if w.frames[i].Op == op {
				if seen++; seen == n {
					f, by = w.frames[i], w.by[i]
					return true
				}
			}
		}
		return false
	})
	return f, by
}

func TestSubscribeDelivers(t *testing.T) {
	g := newGateway(t)
	w := watch(g)
	c := g.client()
	resize := make(chan autobus.Window)
	r := read(t, c, autobus.Subscription{Name: "billing", Window: &autobus.Window{Events: 5}, Resize: resize})
	f, by := w.next("subscribe", 1)
	if f.Subscription != "billing" || f.Window == nil || f.Window.Events != 5 {
		t.Errorf("asked for %+v", f)
	}
	await(t, "the opening", r.opened)
	by.deliver("billing", "L1", 10, 3)
	var ds []autobus.Delivery
	for i := range 3 {
		d := await(t, "a delivery", r.got)
		if d.Offset != int64(10+i) || d.Lease != autobus.Lease("L1").At(d.Offset) || d.Type != placed || d.Fence != 7 ||
			string(d.Key) != d.ID || string(d.Data) != fmt.Sprintf(`{"n":%d}`, d.Offset) {
			t.Errorf("got %+v", d)
		}
		ds = append(ds, d)
	}
	ack := autobus.Outcome{Kind: autobus.Ack}
	settle(t, c, autobus.Settlement{Lease: ds[0].Lease, Outcome: ack},
		autobus.Settlement{Lease: ds[1].Lease, Outcome: ack})
	if f, _ := w.next("ack", 1); f.Lease != "L1" || f.Outcome != "ack" || !slices.Equal(f.offsets, []int64{10, 11}) {
		t.Errorf("settled by %+v", f)
	}
	by.text(`{"op":"revoke","subscription":"billing","leases":[%q]}`, ds[2].Lease)
	if l := await(t, "the revoke", r.revoked); l != ds[2].Lease {
		t.Errorf("revoked %s", l)
	}
	by.text(`{"op":"position_lost","subscription":"billing","type":%q,"partition":3,"from":4,"to":9}`, placed)
	want := autobus.PositionLost{Type: placed, Partition: 3, From: 4, To: 9}
	if p := await(t, "the lost position", r.lost); p != want {
		t.Errorf("lost %+v", p)
	}
	resize <- autobus.Window{Events: 9}
	if f, _ := w.next("window", 1); f.Window.Events != 9 {
		t.Errorf("resized by %+v", f)
	}
	r.end(nil)
	if f, _ := w.next("unsubscribe", 1); f.Subscription != "billing" || f.Died {
		t.Errorf("left by %+v", f)
	}
	by.deliver("billing", "L2", 20, 1)
	select {
	case d := <-r.got:
		t.Errorf("%+v came after the end", d)
	default:
	}
}

// TestRevokedBeforeItWasHandedOut: of what the worker never saw he hears nothing.
func TestRevokedBeforeItWasHandedOut(t *testing.T) {
	bubble(t, func(t *testing.T, g *gateway, dial func(...func(*client.Config)) *client.Client) {
		w := watch(g)
		var got []autobus.Lease
		var revoked []autobus.Lease
		release, ended := make(chan struct{}), make(chan error, 1)
		ctx, stop := context.WithCancel(t.Context())
		c := dial()
		go func() {
			ended <- c.Subscribe(ctx, autobus.Subscription{Name: "billing", Revoke: func(ls []autobus.Lease) {
				revoked = append(revoked, ls...)
			}}, func(_ context.Context, ds []autobus.Delivery) {
				for _, d := range ds {
					got = append(got, d.Lease)
				}
				<-release
			})
		}()
		_, by := w.next("subscribe", 1)
		by.deliver("billing", "L", 1, 2)
		synctest.Wait()
		by.deliver("billing", "M", 3, 3)
		by.text(`{"op":"revoke","subscription":"billing","leases":["L.2","M.4"]}`)
		synctest.Wait()
		close(release)
		synctest.Wait()
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if !slices.Equal(got, []autobus.Lease{"L.1", "L.2", "M.3", "M.5"}) || !slices.Equal(revoked,
			[]autobus.Lease{"L.2"}) {
			t.Errorf("got %v, revoked %v", got, revoked)
		}
	})
}

// TestSubscribeGoesOn: the subscription is opened again, and what was out is taken back.
func TestSubscribeGoesOn(t *testing.T) {
	g := newGateway(t)
	w := watch(g)
	c := g.client()
	r := read(t, c, autobus.Subscription{Name: "billing"})
	_, by := w.next("subscribe", 1)
	by.deliver("billing", "L", 1, 2)
	first, second := await(t, "a delivery", r.got), await(t, "a delivery", r.got)
	settle(t, c, autobus.Settlement{Lease: first.Lease, Outcome: autobus.Outcome{Kind: autobus.Ack}})
	g.cut()
	if l := await(t, "the revoke", r.revoked); l != second.Lease {
		t.Errorf("revoked %s, want %s", l, second.Lease)
	}
	_, by = w.next("subscribe", 2)
	by.deliver("billing", "L2", 2, 1)
	if d := await(t, "it again", r.got); d.Lease != "L2.2" {
		t.Errorf("got %+v", d)
	}
	await(t, "the opening", r.opened)
	r.end(nil)
	if len(r.opened) > 0 || len(r.revoked) > 0 {
		t.Errorf("it opened %d times more, %d leases were revoked that were out no more", len(r.opened), len(r.revoked))
	}
}

func TestSubscribeIsRefused(t *testing.T) {
	for why, ends := range map[autobus.Reason]bool{autobus.ReasonForbidden: true, autobus.ReasonSubscriptionUnknown: true,
		autobus.ReasonSubscriptionInvalid: true, autobus.ReasonStarting: false, autobus.ReasonInternal: false,
		autobus.ReasonClusterUnreachable: false} {
		t.Run(string(why), func(t *testing.T) {
			g := newGateway(t)
			refusals := 0
			g.script = func(c *link, f *frame) bool {
				if f.Op != "subscribe" || refusals == 2 {
					return false
				}
				refusals++
				c.text(`{"op":"error","seq":%d,"subscription":"billing","error":%s}`, *f.Seq, problem(why))
				return true
			}
			c := g.client()
			r := read(t, c, autobus.Subscription{Name: "billing"})
			if !ends {
				await(t, "the opening", r.opened)
				r.end(nil)
				return
			}
			if err := await(t, "the end", r.ended); !errors.Is(err, &autobus.Error{Reason: why}) {
				t.Errorf("it ended with %v", err)
			}
		})
	}
}

func TestSubscribeIsNotOffered(t *testing.T) {
	c := newGateway(t).client()
	for _, s := range []autobus.Subscription{{Inbox: true, Name: "a"}, {},
		{Name: "a", Tail: []string{"*"}}, {Name: "a", Filter: "true"}} {
		err := c.Subscribe(t.Context(), s, nil)
		if e := autobus.AsError(err); e == nil || e.Code != autobus.Unimplemented && e.Code != autobus.InvalidArgument {
			t.Errorf("%+v: got %v", s, err)
		}
	}
}

var _ autobus.Bus = (*client.Client)(nil)

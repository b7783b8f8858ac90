// SPDX-License-Identifier: Apache-2.0

package client_test

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/wire"
)

func TestTailGoesOn(t *testing.T) {
	g := newGateway(t)
	w := watch(g)
	c := g.client()
	r := read(t, c, autobus.Subscription{Tail: []string{"orders.*"}})
	f, by := w.next("tail", 1)
	if f.From.word != "latest" || f.Cursors || !slices.Equal(f.Types, []string{"orders.*"}) {
		t.Errorf("asked for %+v", f)
	}
	tailed := func(by *link, seq int64, offset int64, n int) {
		ds := make([]*autobus.Delivery, n)
		for i := range ds {
			ds[i] = &autobus.Delivery{Event: event(fmt.Sprint(offset + int64(i))), Offset: offset + int64(i)}
		}
		by.binary(wire.AppendEvents(nil, "", &seq, ds))
	}
	await(t, "the opening", r.opened)
	tailed(by, *f.Seq, 5, 3)
	for want := range 3 {
		if d := await(t, "a delivery", r.got); d.Offset != int64(5+want) || d.Lease != "" {
			t.Errorf("got %+v", d)
		}
	}
	_ = by.socket.CloseNow()
	f, by = w.next("tail", 2)
	if !strings.HasPrefix(f.From.word, "-") {
		t.Errorf("it goes on from %q", f.From.word)
	}
	tailed(by, *f.Seq, 6, 4)
	for want := range 2 {
		if d := await(t, "a delivery", r.got); d.Offset != int64(8+want) {
			t.Errorf("got %d", d.Offset)
		}
	}
	r.end(nil)
	g.await("the end of its connection", func() bool { return len(g.links) <= 1 })
}

// TestATailGoesOnExactly cuts a tail whose gateway tells places: it goes on behind what was handed out, also where
// nothing was.
func TestATailGoesOnExactly(t *testing.T) {
	g := newGateway(t)
	g.features = `["tail_cursors"]`
	w := watch(g)
	c := g.client()
	told := make(chan autobus.TailPosition, 10)
	r := read(t, c, autobus.Subscription{Tail: []string{"orders.*"},
		Moved: func(p autobus.TailPosition) { told <- p }})
	f, by := w.next("tail", 1)
	if f.From.word != "latest" || !f.Cursors {
		t.Errorf("asked for %+v", f)
	}
	by.text(`{"op":"subscribed","seq":%d,"cursors":{%q:{"0":5,"1":70},"orders.other.v1":{"0":3}}}`, *f.Seq, placed)
	await(t, "the opening", r.opened)
	if p := await(t, "its place", told); p.Cursors[placed][1] != 70 || p.CaughtUp {
		t.Errorf("told %+v", p)
	}
	ds := []*autobus.Delivery{{Event: event("5"), Offset: 5}, {Event: event("6"), Offset: 6}}
	by.binary(wire.AppendEvents(nil, "", f.Seq, ds))
	for range ds {
		await(t, "a delivery", r.got)
	}
	by.text(`{"op":"cursors","seq":%d,"cursors":{"orders.other.v1":{"0":90}},"caught_up":true}`, *f.Seq)
	if p := await(t, "its place", told); !p.CaughtUp {
		t.Errorf("told %+v", p)
	}
	_ = by.socket.CloseNow()
	f, by = w.next("tail", 2)
	want := map[string]map[int32]int64{placed: {0: 7, 1: 70}, "orders.other.v1": {0: 90}}
	if !f.From.Earliest || !reflect.DeepEqual(f.From.Cursors, want) {
		t.Errorf("it goes on from %+v, want %v", f.From, want)
	}
	by.text(`{"op":"subscribed","seq":%d,"cursors":{%q:{"0":7,"1":70},"orders.other.v1":{"0":90}}}`, *f.Seq, placed)
	by.binary(wire.AppendEvents(nil, "", f.Seq, []*autobus.Delivery{{Event: event("7"), Offset: 7}}))
	if d := await(t, "a delivery", r.got); d.Offset != 7 {
		t.Errorf("got %+v", d)
	}
	r.end(nil)
	g.await("the end of its connection", func() bool { return len(g.links) <= 1 })
}

// TestSlowTail holds up nobody else.
func TestSlowTail(t *testing.T) {
	g := newGateway(t)
	w := watch(g)
	c := g.client()
	ctx, stop := context.WithCancel(t.Context())
	handed, release, ended := make(chan struct{}, 1000), make(chan struct{}), make(chan error, 1)
	go func() {
		ended <- c.Subscribe(ctx, autobus.Subscription{Tail: []string{"*"}}, func(context.Context, []autobus.Delivery) {
			handed <- struct{}{}
			<-release
		})
	}()
	f, by := w.next("tail", 1)
	go func() {
		for i := range 40 {
			e := event(fmt.Sprint(i))
			e.Data = make([]byte, 200_000)
			by.binary(wire.AppendEvents(nil, "", f.Seq, []*autobus.Delivery{{Event: e, Offset: int64(i)}}))
		}
	}()
	await(t, "a delivery", handed)
	b := batch("a")
	publish(t, c, b)
	receipts(t, b, autobus.Written)
	close(release)
	for range 39 {
		await(t, "the rest", handed)
	}
	stop()
	if err := await(t, "the end", ended); err != nil {
		t.Error(err)
	}
}

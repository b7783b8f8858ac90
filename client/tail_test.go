// SPDX-License-Identifier: Apache-2.0

package client_test

import (
	"context"
	"fmt"
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
	if f.From != "latest" || !slices.Equal(f.Types, []string{"orders.*"}) {
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
	if !strings.HasPrefix(f.From, "-") {
		t.Errorf("it goes on from %q", f.From)
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

// SPDX-License-Identifier: Apache-2.0

package ws

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/autobus-io/autobus"
)

func TestTails(t *testing.T) {
	bus, calls := groups()
	c := dial(t, serve(t, bus))
	c.send(`{"op":"tail","seq":1,"types":["a.*","b.c.v1"],"filter":"true","from":"2026-05-01T12:00:00Z"}`)
	if f := c.next(); !f.is("subscribed", 1) || f.Subscription != "" {
		t.Fatal(f)
	}
	first := <-calls
	if !slices.Equal(first.Tail, []string{"a.*", "b.c.v1"}) || first.Filter != "true" || first.Name != "" ||
		!first.From.Time.Equal(time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)) {
		t.Errorf("%+v", first.Subscription)
	}
	c.send(`{"op":"tail","seq":2,"types":["a.*"]}`)
	c.next()
	second := <-calls
	for _, bad := range []string{`1,"types":["a"]`, `3,"types":["a"],"from":"noon"`} {
		c.send(`{"op":"tail","seq":%s}`, bad)
		if f := c.next(); f.Op != "error" || f.Error.Reason != autobus.ReasonRequestInvalid {
			t.Errorf("%s: %s", bad, f)
		}
	}
	first.hand(first.ctx, []autobus.Delivery{{Event: autobus.Event{ID: "1", Type: "a.b.v1"}, Partition: 2, Offset: 9}})
	f := c.next()
	want := `{"type":"a.b.v1","partition":2,"offset":9,"event":{"specversion":"1.0","id":"1","type":"a.b.v1"}}`
	if !f.is("events", 1) || len(f.Deliveries) != 1 || string(f.Deliveries[0]) != want {
		t.Errorf("%s\nwant %s", f, want)
	}
	c.send(`{"op":"unsubscribe","seq":1}`)
	if f := c.next(); !f.is("unsubscribed", 1) {
		t.Errorf("%s", f)
	}
	if first.ctx.Err() == nil || second.ctx.Err() != nil {
		t.Errorf("ended: %v and %v", first.ctx.Err(), second.ctx.Err())
	}
	second.end <- autobus.NewError(autobus.ReasonForbidden, "no more")
	if f := c.next(); !f.fails(2, autobus.ReasonForbidden) {
		t.Errorf("%s", f)
	}
}

// plain connects as a client of plain CloudEvents.
func plain(t *testing.T, s *site, query string) *client {
	t.Helper()
	conn, _, err := try(t, s, "/v1/ws"+query, nil, protocolEvents)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.CloseNow() })
	return &client{t, conn}
}

func TestPlainEventsArePublished(t *testing.T) {
	bus := &fakeBus{}
	c := plain(t, serve(t, bus), "")
	c.send(event("1", "k"))
	if f := c.next(); !f.is("published", 0) || f.Results[0].ID != "1" || f.Results[0].Status != "written" {
		t.Errorf("%s", f)
	}
	c.send(event("2", "k"))
	c.next()
	if e := bus.log[0]; string(e.Data) != `{"n":1}` || e.ID != "1" {
		t.Errorf("the first event became %+v", e)
	}
	c.send(`{"specversion":"1.0","id":"3"}`)
	if f := c.next(); !f.is("published", 0) || f.Results[0].Status != "refused" {
		t.Errorf("%s", f)
	}
	c.send(`{`)
	if f := c.next(); !f.fails(0, autobus.ReasonFrameInvalid) {
		t.Errorf("%s", f)
	}
	bus.before = func(*autobus.Batch) error { return autobus.NewError(autobus.ReasonShuttingDown, "no more") }
	c.send(event("4", "k"))
	if f := c.next(); !f.fails(0, autobus.ReasonShuttingDown) {
		t.Errorf("%s", f)
	}
}

func TestPlainEventsAreTailed(t *testing.T) {
	bus, calls := groups()
	c := plain(t, serve(t, bus), "?type=a.*,b.*&from=earliest&filter=true")
	o := <-calls
	if !slices.Equal(o.Tail, []string{"a.*", "b.*"}) || !o.From.Earliest || o.Filter != "true" {
		t.Errorf("%+v", o.Subscription)
	}
	o.hand(o.ctx, []autobus.Delivery{{Event: autobus.Event{ID: "1"}}, {Event: autobus.Event{ID: "2"}}})
	for _, id := range []string{"1", "2"} {
		if f := c.next(); f.SpecVersion != "1.0" || f.ID != id {
			t.Errorf("%s", f)
		}
	}
	o.end <- autobus.NewError(autobus.ReasonPositionLost, "gone")
	code, before := c.closed()
	if code != websocket.StatusCode(4009) || len(before) != 1 || !before[0].fails(0, autobus.ReasonPositionLost) {
		t.Errorf("%d after %v", code, before)
	}
}

func TestAPlainTailThatCannotBe(t *testing.T) {
	bus := &fakeBus{subscribe: func(context.Context, autobus.Subscription, autobus.Handler) error {
		return autobus.NewError(autobus.ReasonForbidden, "no grant")
	}}
	code, before := plain(t, serve(t, bus), "?type=a.*").closed()
	if code != websocket.StatusCode(4003) || len(before) != 1 || !before[0].fails(0, autobus.ReasonForbidden) {
		t.Errorf("%d after %v", code, before)
	}
}

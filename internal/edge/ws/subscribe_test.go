// SPDX-License-Identifier: Apache-2.0

package ws

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/edge"
)

func TestSubscribe(t *testing.T) {
	bus, calls := groups()
	c := dial(t, serve(t, bus))
	c.send(`{"op":"subscribe","seq":8,"subscription":"bob-kz","window":{"events":2,"bytes":1000},
		"create":{"types":["a.b.v1"],"ack_wait":"5s"}}`)
	if f := c.next(); !f.is("subscribed", 8) || f.Subscription != "bob-kz" {
		t.Fatal(f)
	}
	o := <-calls
	if o.Name != "bob-kz" || *o.Window != (autobus.Window{Events: 2, Bytes: 1000}) || o.Detached ||
		o.Create.Types[0] != "a.b.v1" || o.Create.AckWait != autobus.Duration(5*time.Second) || o.Tail != nil {
		t.Errorf("%+v", o.Subscription)
	}
	if p, _ := autobus.PrincipalOf(o.ctx); p.Name != "dev" {
		t.Errorf("acts as %q", p.Name)
	}
	o.hand(o.ctx, []autobus.Delivery{{
		Event: autobus.Event{ID: "1", Type: "a.b.v1", Data: []byte("{\r\n\"n\":1}"), Key: []byte("k")}, Lease: `l"1`,
		Partition: 3, Offset: 17, Attempt: 2, Fence: 1<<40 + 1, Deadline: time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC),
	}, {Event: autobus.Event{ID: "2", Type: "a.b.v1", ContentType: "text/plain", Data: []byte("hi")}, Lease: "l2"}})
	f := c.next()
	want := `{"lease":"l\"1","attempt":2,"fence":1099511627777,"deadline":"2026-05-01T12:00:00Z","partition":3,` +
		`"offset":17,"key":"k","event":{"specversion":"1.0","id":"1","type":"a.b.v1","data":{  "n":1}}}`
	if f.Op != "events" || f.Subscription != "bob-kz" || f.Seq != nil || len(f.Deliveries) != 2 ||
		string(f.Deliveries[0]) != want || !strings.Contains(string(f.Deliveries[1]), `"data_base64":"aGk="`) {
		t.Errorf("%s\nwant %s", f, want)
	}
	o.Revoke([]autobus.Lease{"l2"})
	if f := c.next(); f.Op != "revoke" || f.Subscription != "bob-kz" || f.Leases[0] != "l2" {
		t.Errorf("%s", f)
	}
	o.Lost(autobus.PositionLost{Type: "a.b.v1", Partition: 3, From: 5, To: 9})
	if f := c.next(); f.Op != "position_lost" || f.Subscription != "bob-kz" || f.Type != "a.b.v1" || f.From != 5 ||
		f.To != 9 {
		t.Errorf("%s", f)
	}
}

func TestWindowTheNewestCounts(t *testing.T) {
	bus, calls := groups()
	c := dial(t, serve(t, bus))
	c.send(`{"op":"subscribe","seq":1,"subscription":"x"}`)
	c.next()
	o := <-calls
	if o.Window != nil || o.Create != nil {
		t.Errorf("%+v", o.Subscription)
	}
	for n := range 3 {
		c.send(`{"op":"window","subscription":"x","window":{"events":%d}}`, n+1)
	}
	c.send(`{"op":"window","seq":5,"subscription":"x","window":{"events":0}}`)
	if f := c.next(); !f.fails(5, autobus.ReasonRequestInvalid) {
		t.Errorf("window 0: %s", f)
	}
	if w := <-o.Resize; w != (autobus.Window{Events: 3}) {
		t.Errorf("window %+v", w)
	}
}

func TestUnsubscribeIsAGoodbye(t *testing.T) {
	bus, calls := groups()
	c := dial(t, serve(t, bus))
	c.send(`{"op":"subscribe","seq":1,"subscription":"x"}`)
	c.next()
	o := <-calls
	c.send(`{"op":"unsubscribe","seq":2,"subscription":"x"}`)
	if f := c.next(); !f.is("unsubscribed", 2) || f.Subscription != "x" {
		t.Errorf("%s", f)
	}
	if errors.Is(context.Cause(o.ctx), autobus.ErrReaderDied) || o.ctx.Err() == nil {
		t.Errorf("ended by %v", context.Cause(o.ctx))
	}
	c.send(`{"op":"subscribe","seq":3,"subscription":"x"}`)
	if f := c.next(); !f.is("subscribed", 3) {
		t.Errorf("the name is not free: %s", f)
	}
}

func TestUnsubscribeTellsADeath(t *testing.T) {
	bus, calls := groups()
	c := dial(t, serve(t, bus))
	for name, died := range map[string]bool{"x": true, "y": false} {
		c.send(`{"op":"subscribe","seq":1,"subscription":%q}`, name)
		c.next()
		o := <-calls
		c.send(`{"op":"unsubscribe","seq":2,"subscription":%q,"died":%v}`, name, died)
		if f := c.next(); !f.is("unsubscribed", 2) {
			t.Errorf("%s", f)
		}
		if errors.Is(context.Cause(o.ctx), autobus.ErrReaderDied) != died {
			t.Errorf("%s ended by %v", name, context.Cause(o.ctx))
		}
	}
	c.send(`{"op":"unsubscribe","seq":3,"subscription":"x","died":"yes"}`)
	if f := c.next(); !f.fails(3, autobus.ReasonFrameInvalid) {
		t.Errorf("%s", f)
	}
}

func TestSubscribeThatIsRefused(t *testing.T) {
	bus, calls := groups()
	run := bus.subscribe
	bus.subscribe = func(ctx context.Context, s autobus.Subscription, h autobus.Handler) error {
		if s.Name == "none" {
			return autobus.NewError(autobus.ReasonSubscriptionUnknown, "there is no such subscription")
		}
		return run(ctx, s, h)
	}
	c := dial(t, serve(t, bus))
	c.send(`{"op":"subscribe","seq":1,"subscription":"none"}`)
	if f := c.next(); !f.fails(1, autobus.ReasonSubscriptionUnknown) || f.Subscription != "none" {
		t.Errorf("%s", f)
	}
	c.send(`{"op":"subscribe","seq":1,"subscription":"x"}`)
	c.next()
	for frame, reason := range map[string]autobus.Reason{
		`"x"`:                         autobus.ReasonRequestInvalid, // has it already
		`""`:                          autobus.ReasonFrameInvalid,
		`7`:                           autobus.ReasonFrameInvalid,
		`"y","window":{}`:             autobus.ReasonRequestInvalid,
		`"y","window":{"events":-1}`:  autobus.ReasonRequestInvalid,
		`"y","window":{"event":1}`:    autobus.ReasonFrameInvalid,
		`"y","create":{"type":"a"}`:   autobus.ReasonFrameInvalid,
		`"y","create":{"start":"no"}`: autobus.ReasonRequestInvalid,
		`"y","create":"no"`:           autobus.ReasonFrameInvalid,
	} {
		c.send(`{"op":"subscribe","seq":2,"subscription":%s}`, frame)
		if f := c.next(); !f.fails(2, reason) {
			t.Errorf("%s: %s", frame, f)
		}
	}
	for i := range maxSubscriptions - 1 {
		c.send(`{"op":"subscribe","seq":3,"subscription":"s%d"}`, i)
		c.next()
	}
	c.send(`{"op":"subscribe","seq":4,"subscription":"y"}`)
	if f := c.next(); !f.fails(4, autobus.ReasonRequestInvalid) {
		t.Errorf("one too many: %s", f)
	}
	// One that ends by itself is told, and makes room.
	o := <-calls
	o.end <- autobus.NewError(autobus.ReasonSubscriptionUnknown, "deleted")
	if f := c.next(); !f.fails(1, autobus.ReasonSubscriptionUnknown) || f.Subscription != "x" {
		t.Errorf("%s", f)
	}
	for {
		c.send(`{"op":"subscribe","seq":5,"subscription":"y"}`)
		if f := c.next(); f.is("subscribed", 5) {
			break
		}
	}
}

func TestHowTheReaderLeft(t *testing.T) {
	for name, leave := range map[string]struct {
		how  func(c *websocket.Conn) error
		died bool
	}{
		"normal closure":    {func(c *websocket.Conn) error { return c.Close(websocket.StatusNormalClosure, "") }, false},
		"going away":        {func(c *websocket.Conn) error { return c.Close(websocket.StatusGoingAway, "bye") }, false},
		"close of its own":  {func(c *websocket.Conn) error { return c.Close(4999, "") }, false},
		"broken connection": {func(c *websocket.Conn) error { return c.CloseNow() }, true},
	} {
		t.Run(name, func(t *testing.T) {
			bus, calls := groups()
			c := dial(t, serve(t, bus))
			for i := range 2 {
				c.send(`{"op":"subscribe","seq":1,"subscription":"x%d"}`, i)
				c.next()
			}
			a, b := <-calls, <-calls
			_ = leave.how(c.conn)
			for _, o := range []*opened{a, b} {
				<-o.ctx.Done()
				if died := errors.Is(context.Cause(o.ctx), autobus.ErrReaderDied); died != leave.died {
					t.Errorf("ended by %v", context.Cause(o.ctx))
				}
			}
		})
	}
}

func TestManyEventsGoInPortions(t *testing.T) {
	bus, calls := groups()
	c := dial(t, serve(t, bus))
	c.send(`{"op":"subscribe","seq":1,"subscription":"x"}`)
	c.next()
	o := <-calls
	ds := make([]autobus.Delivery, 100)
	for i := range ds {
		ds[i].Event = autobus.Event{ID: fmt.Sprint(i), Type: "a.b.v1", Data: make([]byte, 50_000)}
	}
	go o.hand(o.ctx, ds)
	frames, n := 0, 0
	for n < len(ds) {
		f := c.next()
		for _, d := range f.Deliveries {
			if !strings.Contains(string(d), fmt.Sprintf(`"id":"%d"`, n)) {
				t.Fatalf("delivery %d: %.200s", n, d)
			}
			n++
		}
		frames++
	}
	if frames != 20 {
		t.Errorf("%d events of 50 KB came in %d frames, want 20", n, frames)
	}
}

// What instances tell each other: leases that outlive their session, and the window that is the last one. An instance
// that goes is no worker that dies.
func TestAnInstanceRelays(t *testing.T) {
	for via, refused := range map[string]bool{"other": false, "": true} {
		t.Run("via "+via, func(t *testing.T) {
			bus, calls := groups()
			c := dial(t, serveOn(t, &edge.Server{}, bus, edge.Options{Open: &autobus.Principal{Name: "shop", Via: via}}))
			c.send(`{"op":"subscribe","seq":1,"subscription":"x","detached":true}`)
			o := <-calls
			c.next()
			if !o.Detached {
				t.Error("its leases end with it")
			}
			c.send(`{"op":"window","subscription":"x","window":{"events":-1}}`)
			if refused {
				if f := c.next(); f.Op != "error" {
					t.Errorf("the window of instances is taken: %s", f)
				}
			} else if w := <-o.Resize; !w.NoMore() {
				t.Errorf("%+v", w)
			}
			_ = c.conn.CloseNow()
			<-o.ctx.Done()
			if died := errors.Is(context.Cause(o.ctx), autobus.ErrReaderDied); died != refused {
				t.Errorf("died: %v", died)
			}
		})
	}
}

// A client may subscribe again the moment it hears of the goodbye; so the name is free before it can hear of it.
func TestNameIsFreeBeforeTheGoodbyeIsAnswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &conn{ctx: t.Context(), out: newOutbox()}
		c.out.push(make([]byte, maxUnread)) // the answer waits
		seq := int64(2)
		if err := c.subs.add(&subscription{seq: new(int64), name: "x", leaving: &seq}); err != nil {
			t.Fatal(err)
		}
		go c.ended(c.subs.all[0], nil)
		synctest.Wait()
		if c.subs.none() {
			t.Error("a drain would not wait for the answer")
		}
		if err := c.subs.add(&subscription{seq: &seq, name: "x"}); err != nil {
			t.Error(err)
		}
		c.out.taken(maxUnread)
		synctest.Wait()
		if c.out.next(); len(c.subs.all) != 1 {
			t.Errorf("%d subscriptions", len(c.subs.all))
		}
		if m, _, _ := c.out.next(); string(m.frame) != `{"op":"unsubscribed","seq":2,"subscription":"x"}` {
			t.Errorf("%s", m.frame)
		}
	})
}

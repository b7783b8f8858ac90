// SPDX-License-Identifier: Apache-2.0

package ws

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/edge"
)

func TestDrainLetsTheWorkBeSettled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus, calls := groups()
		var seen []autobus.Settlement
		bus.settle = judge(&seen)
		s := bubble(t, bus)
		c := dial(t, s)
		c.send(`{"op":"subscribe","seq":1,"subscription":"x"}`)
		c.next()
		o := <-calls
		c.send(`{"op":"tail","seq":2,"types":["a.*"]}`)
		c.next()
		tail := <-calls
		began := time.Now()
		s.stop()
		f := c.next()
		if deadline, err := time.Parse(time.RFC3339Nano, f.Deadline); f.Op != "drain" || err != nil ||
			!deadline.Equal(began.Add(10*time.Second)) {
			t.Errorf("%s", f)
		}
		<-tail.ctx.Done() // a tail has nothing to settle
		o.Draining(began.Add(5 * time.Second))
		c.send(`{"op":"subscribe","seq":3,"subscription":"y"}`)
		if f := c.next(); !f.fails(3, autobus.ReasonShuttingDown) {
			t.Errorf("a new subscription: %s", f)
		}
		<-time.After(3 * time.Second)
		c.send(publishFrame(4, event("1", "k")))
		if f := c.next(); !f.is("published", 4) || f.Results[0].Status != "written" {
			t.Errorf("%s", f)
		}
		c.send(`{"op":"ack","results":[{"lease":"1","outcome":"ack"},{"lease":"s2","outcome":"ack"}]}`)
		if f := c.next(); f.Op != "stale" || len(seen) != 2 {
			t.Errorf("%s", f)
		}
		if o.ctx.Err() != nil {
			t.Error("the subscription was ended before the bus did")
		}
		o.end <- nil
		if code, before := c.closed(); code != websocket.StatusServiceRestart || len(before) != 0 {
			t.Errorf("%d after %v", code, before)
		}
		if took := time.Since(began); took < 4*time.Second || took > 4500*time.Millisecond {
			t.Errorf("closed %s after the drain began, the last frame came after 3 s", took)
		}
		if err := <-s.done; err != nil {
			t.Error(err)
		}
		s.done <- nil
	})
}

func TestTheBusMayTellTheDrainFirst(t *testing.T) {
	bus, calls := groups()
	c := dial(t, serve(t, bus))
	for i := range 2 {
		c.send(`{"op":"subscribe","seq":1,"subscription":"x%d"}`, i)
		c.next()
	}
	for range 2 {
		o := <-calls
		o.Draining(time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC))
		o.end <- autobus.NewError(autobus.ReasonShuttingDown, "going down")
	}
	code, before := c.closed()
	if code != websocket.StatusServiceRestart || len(before) != 1 || before[0].Op != "drain" ||
		before[0].Deadline != "2026-05-01T12:00:00Z" {
		t.Errorf("%d after %v", code, before)
	}
}

func TestTheDrainHasAnEnd(t *testing.T) {
	bus, calls := groups()
	s := serveOn(t, &edge.Server{DrainFor: 50 * time.Millisecond}, bus, open())
	c := dial(t, s)
	c.send(`{"op":"subscribe","seq":1,"subscription":"x"}`)
	c.next()
	o := <-calls
	s.stop()
	code, before := c.closed()
	if code != websocket.StatusServiceRestart || len(before) != 1 || before[0].Op != "drain" {
		t.Errorf("%d after %v", code, before)
	}
	err := <-s.done
	// The server has waited for the connection: nothing of it is left.
	if err != nil || o.ctx.Err() == nil || errors.Is(context.Cause(o.ctx), autobus.ErrReaderDied) {
		t.Errorf("%v, ended by %v", err, context.Cause(o.ctx))
	}
	s.done <- nil
}

func TestTheDrainEndsWithoutAClientThatListens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus, calls := groups()
		s := bubble(t, bus)
		c := dial(t, s)
		c.send(`{"op":"subscribe","seq":1,"subscription":"x"}`)
		c.next()
		<-calls
		began := time.Now()
		s.stop()
		if err := <-s.done; err != nil {
			t.Error(err)
		}
		// The drain, and the time for a goodbye that nobody hears.
		if took := time.Since(began); took > 10*time.Second+closeTime {
			t.Errorf("the server ended after %s", took)
		}
		s.done <- nil
	})
}

// SPDX-License-Identifier: Apache-2.0

package bustest

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/autobus-io/autobus"
)

// mailbox is an open inbox: what comes goes to got.
type mailbox struct {
	address autobus.Address
	got     chan autobus.Delivery
}

// mailbox opens an inbox, which ends with the test.
func (s *suite) mailbox(t *testing.T, sub autobus.Subscription) *mailbox {
	t.Helper()
	bus, ctx := s.bus(context.Background(), t, everything)
	ctx, cancel := context.WithCancel(ctx)
	m := &mailbox{got: make(chan autobus.Delivery, 100)}
	opened, ended := make(chan autobus.Address, 1), make(chan error, 1)
	sub.Inbox, sub.Opened = true, func(a autobus.Address) { opened <- a }
	go func() {
		ended <- bus.Subscribe(ctx, sub, func(_ context.Context, ds []autobus.Delivery) {
			for _, d := range ds {
				m.got <- d
			}
		})
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("the inbox ended with %v", err)
		}
	})
	select {
	case m.address = <-opened:
	case err := <-ended:
		ended <- nil
		t.Fatalf("the inbox did not open: %v", err)
	case <-time.After(Patience):
		t.Fatal("the inbox did not open")
	}
	return m
}

func (m *mailbox) next(t *testing.T) autobus.Delivery {
	t.Helper()
	select {
	case d := <-m.got:
		return d
	case <-time.After(Patience):
		t.Fatal("no reply came")
	}
	panic("unreachable")
}

// request checks that a reply finds the inbox that the request named, and what is refused on the way.
func (s *suite) request(t *testing.T) {
	m := s.mailbox(t, autobus.Subscription{})
	ask := func(to autobus.Address) autobus.Event {
		e := autobus.Event{ID: s.unique("id"), Type: s.types.Query, Data: []byte(`{"order":"o"}`)}
		e.SetExt(autobus.ExtReplyTo, string(to))
		return e
	}
	refused(t, s.publish(t, ask(m.address))[0], autobus.ReasonNoResponder)
	sub := s.subscription(s.policy(s.types.Query))
	w := s.work(t, sub)
	refused(t, s.publish(t, ask("made-up"))[0], autobus.ReasonReplyAddress)

	rs := s.publish(t, ask(m.address))
	written(t, rs)
	if !slices.Equal(rs[0].Responders, []string{sub.Name}) {
		t.Errorf("the responders are %v, want %s", rs[0].Responders, sub.Name)
	}
	d := w.next(t)
	if d.ReplyTo() != m.address {
		t.Fatalf("the request is to be answered to %q", d.ReplyTo())
	}
	reply := func(data string) autobus.Event {
		e := autobus.Event{ID: s.unique("id"), Type: s.types.Query + autobus.ReplySuffix, Data: []byte(data)}
		e.SetExt(autobus.ExtTo, string(d.ReplyTo()))
		e.SetExt(autobus.ExtCausationID, d.ID)
		return e
	}
	refused(t, s.publish(t, reply(`{"amount":"much"}`))[0], autobus.ReasonDataInvalid)
	bad := reply(`{"amount":1}`)
	bad.SetExt(autobus.ExtTo, "made-up")
	refused(t, s.publish(t, bad)[0], autobus.ReasonReplyAddress)
	good := reply(`{"amount":1}`)
	good.SetExt(autobus.ExtResponder, sub.Name)
	written(t, s.publish(t, good))
	w.ack(t, d)
	for _, in := range []*mailbox{m, s.mailbox(t, autobus.Subscription{Address: m.address,
		From: autobus.Start{Earliest: true}})} {
		got := in.next(t)
		by, _ := got.Ext(autobus.ExtResponder)
		cause, _ := got.Ext(autobus.ExtCausationID)
		if got.ID != good.ID || got.Type != good.Type || cause != d.ID || by != sub.Name ||
			string(got.Data) != `{"amount":1}` || got.Lease != "" {
			t.Errorf("sent %+v, got %+v", good, got)
		}
	}

	// The same request is written once for each inbox: the one who asks again may be another process, which waits there.
	first := ask(m.address)
	again := first
	again.Extensions = nil
	again.SetExt(autobus.ExtReplyTo, string(s.mailbox(t, autobus.Subscription{}).address))
	for _, c := range []struct {
		event     autobus.Event
		duplicate bool
	}{{first, false}, {first, true}, {again, false}, {again, true}} {
		rs := s.publish(t, c.event)
		written(t, rs)
		if rs[0].Duplicate != c.duplicate {
			t.Errorf("asked from %s: duplicate is %t", c.event.ReplyTo(), rs[0].Duplicate)
		}
	}
	asked := map[autobus.Address]string{}
	for range 2 {
		d := w.next(t)
		asked[d.ReplyTo()] = d.ID
		w.ack(t, d)
	}
	if asked[first.ReplyTo()] != first.ID || asked[again.ReplyTo()] != first.ID {
		t.Errorf("delivered %v, want %s for %s and %s", asked, first.ID, first.ReplyTo(), again.ReplyTo())
	}
}

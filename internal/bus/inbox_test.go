// SPDX-License-Identifier: Apache-2.0

package bus_test

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/bus"
)

// A query that many may answer, and a command that one service handles.
const (
	quoteSpec = `
asyncapi: 3.1.0
info: {title: pricing.quote.price, version: 1.0.0, tags: [{name: 'kind:query'}]}
channels:
  request:
    address: pricing.quote.price.v1
    messages: {price: {payload: {type: object, properties: {sku: {type: string}}}}}
  reply:
    address: pricing.quote.price.v1.reply
    messages:
      priced: {payload: {type: object, required: [amount], properties: {amount: {type: integer}}}}
      unknown: {x-error: true, payload: {type: object, properties: {code: {type: integer}, message: {type: string}}}}
`
	bookSpec = `
asyncapi: 3.1.0
info: {title: pricing.seat.book, version: 1.0.0, tags: [{name: 'kind:command'}]}
channels:
  request:
    address: pricing.seat.book.v1
    messages: {book: {payload: {type: object, properties: {seat: {type: string}}}}}
  reply:
    address: pricing.seat.book.v1.reply
    messages: {booked: {payload: {type: object, properties: {place: {type: string}}}}}
`
	quotes = "pricing.quote.price.v1"
	books  = "pricing.seat.book.v1"
)

// inboxOf is an open inbox: what comes in got.
type inboxOf struct {
	at  autobus.Address
	got chan autobus.Delivery
	end func(t *testing.T)
}

func (f *fixture) inbox(ctx context.Context, t *testing.T, s autobus.Subscription) *inboxOf {
	t.Helper()
	ctx, cancel := context.WithCancel(ctx)
	in := &inboxOf{got: make(chan autobus.Delivery, 1000)}
	opened, ended := make(chan autobus.Address, 1), make(chan error, 1)
	s.Inbox, s.Opened = true, func(a autobus.Address) { opened <- a }
	go func() {
		ended <- f.Subscribe(ctx, s, func(_ context.Context, ds []autobus.Delivery) {
			for _, d := range ds {
				in.got <- d
			}
		})
		close(ended)
	}()
	in.end = func(t *testing.T) {
		t.Helper()
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("the inbox ended with %v", err)
		}
	}
	t.Cleanup(func() { in.end(t) })
	select {
	case in.at = <-opened:
	case err := <-ended:
		t.Fatalf("the inbox did not open: %v", err)
	}
	return in
}

// ask publishes a request, whose replies go to the address.
func ask(typ string, to autobus.Address) autobus.Event {
	e := autobus.Event{ID: autobus.NewID(time.Now()), Type: typ, Data: []byte(`{}`)}
	e.SetExt(autobus.ExtReplyTo, string(to))
	return e
}

// answer makes the reply to a request.
func answer(request *autobus.Event, data string) autobus.Event {
	e := autobus.Event{Type: request.Type + autobus.ReplySuffix, Data: []byte(data)}
	e.SetExt(autobus.ExtTo, string(request.ReplyTo()))
	e.SetExt(autobus.ExtCausationID, request.ID)
	return e
}

func serving(types ...string) autobus.Policy {
	return autobus.Policy{Types: types, Start: autobus.Start{Earliest: true}}
}

// Requests go out at one instance, replies come in at another, and the inbox hears of them.
func TestRepliesFindTheInboxFromAnyInstance(t *testing.T) {
	_, fs := newFleet(t, "a", "b")
	asker, other := fs[0], fs[1]
	asker.route(t, quotes, 1, true)
	asker.put(t, "pricing", serving(quotes))
	in := asker.inbox(asker.ctx, t, autobus.Subscription{})
	second := asker.inbox(asker.ctx, t, autobus.Subscription{})
	if in.at == "" || in.at == second.at {
		t.Fatalf("the addresses are %q and %q", in.at, second.at)
	}
	b := &autobus.Batch{Events: []autobus.Event{ask(quotes, in.at)}}
	if rc := asker.publish(asker.ctx, t, b)[0]; rc.Err != nil || !slices.Equal(rc.Responders, []string{"pricing"}) {
		t.Fatalf("the request: %v, responders %v", rc.Err, rc.Responders)
	}
	request := other.worker(t, autobus.Subscription{Name: "pricing"}).next(t)
	if request.ReplyTo() != in.at {
		t.Fatalf("the request is to be answered to %q", request.ReplyTo())
	}
	reply := answer(&request.Event, `{"amount":7}`)
	if rc := other.one(t, reply); rc.Err != nil {
		t.Fatal(rc.Err)
	}
	d := <-in.got
	by, _ := d.Ext(autobus.ExtResponder)
	if d.Type != quotes+".reply" || string(d.Data) != `{"amount":7}` || by != "pricing" || d.Lease != "" {
		t.Errorf("got %s %s of %q, lease %q", d.Type, d.Data, by, d.Lease)
	}
	select {
	case d := <-second.got:
		t.Errorf("another inbox got %s", d.Data)
	default:
	}
	// Another instance goes on with the inbox after the first one is gone.
	in.end(t)
	late := answer(&request.Event, `{"amount":8}`)
	if rc := other.one(t, late); rc.Err != nil {
		t.Fatal(rc.Err)
	}
	again := other.inbox(other.ctx, t, autobus.Subscription{Address: in.at, From: autobus.Start{Earliest: true}})
	if again.at != in.at || len(again.got) != 2 {
		t.Fatalf("resumed as %q with %d replies when it opened", again.at, len(again.got))
	}
	if rc := asker.one(t, answer(&request.Event, `{"amount":9}`)); rc.Err != nil {
		t.Fatal(rc.Err)
	}
	for want := range slices.Values([]string{`{"amount":7}`, `{"amount":8}`, `{"amount":9}`}) {
		if d := <-again.got; string(d.Data) != want {
			t.Errorf("got %s, want %s", d.Data, want)
		}
	}
	thief := as("thief", autobus.Grant{Verb: autobus.VerbRequest, Pattern: "*"})
	err := other.Subscribe(thief, autobus.Subscription{Inbox: true, Address: in.at}, func(context.Context,
		[]autobus.Delivery) {
	})
	if reasonOf(err) != autobus.ReasonReplyAddress {
		t.Errorf("somebody else's inbox: %v", err)
	}
}

func TestBadRequestsAndRepliesAreRefused(t *testing.T) {
	f := open(t)
	f.route(t, quotes, 1, true)
	f.route(t, books, 1, true)
	own := f.inbox(f.ctx, t, autobus.Subscription{})
	f.put(t, "pricing", serving(quotes))
	f.put(t, "onlooker", autobus.Policy{Types: []string{"pricing.*"}})

	request := ask(quotes, own.at)
	forged := autobus.Address(strings.Map(func(r rune) rune {
		if r == 'A' {
			return 'B'
		}
		return r
	}, string(own.at)))
	grant := func(v autobus.Verb, pattern string) autobus.Grant { return autobus.Grant{Verb: v, Pattern: pattern} }
	requester := as("requester", grant(autobus.VerbRequest, "*"))
	responder := as("responder", grant(autobus.VerbSubscribe, "pricing.quote.*"))
	with := func(e autobus.Event, name, value string) autobus.Event {
		e.ID = ""
		e.Extensions = slices.Clone(e.Extensions)
		if value == "" {
			e.Extensions = slices.DeleteFunc(e.Extensions, func(x autobus.Extension) bool { return x.Name == name })
		} else {
			e.SetExt(name, value)
		}
		return e
	}
	reply := answer(&request, `{"amount":1}`)
	told, empty := with(request, autobus.ExtReplyTo, ""), answer(&request, `{}`)
	ago, ahead := time.Now().Add(-time.Minute).Format(time.RFC3339), time.Now().Add(time.Hour).Format(time.RFC3339)
	huge := reply
	huge.Data = []byte(`{"amount":` + strings.Repeat(" ", autobus.MaxEventBytes) + `1}`)
	for name, c := range map[string]struct {
		ctx  context.Context
		e    autobus.Event
		want autobus.Reason
	}{
		"request":                 {f.ctx, request, ""},
		"request in time":         {f.ctx, with(request, autobus.ExtExpiryTime, ahead), ""},
		"made-up address":         {f.ctx, with(request, autobus.ExtReplyTo, "nonsense"), autobus.ReasonReplyAddress},
		"forged address":          {f.ctx, with(request, autobus.ExtReplyTo, string(forged)), autobus.ReasonReplyAddress},
		"foreign address":         {requester, request, autobus.ReasonReplyAddress},
		"no grant to request":     {as("p", grant(autobus.VerbPublish, "*")), request, autobus.ReasonForbidden},
		"a request told":          {requester, with(request, autobus.ExtReplyTo, ""), ""},
		"an event told":           {requester, order("a", "1"), autobus.ReasonForbidden},
		"nobody serves it":        {f.ctx, ask(books, own.at), autobus.ReasonNoResponder},
		"unknown type":            {f.ctx, ask("pricing.quote.gone.v1", own.at), autobus.ReasonTypeUnknown},
		"deadline in the past":    {f.ctx, with(request, autobus.ExtExpiryTime, ago), autobus.ReasonDeadlinePassed},
		"deadline is none":        {f.ctx, with(request, autobus.ExtExpiryTime, "soon"), autobus.ReasonEventInvalid},
		"told too late":           {f.ctx, with(told, autobus.ExtExpiryTime, ago), autobus.ReasonDeadlinePassed},
		"reply":                   {responder, reply, ""},
		"reply of nobody":         {context.Background(), reply, autobus.ReasonUnauthenticated},
		"reply without a grant":   {requester, reply, autobus.ReasonForbidden},
		"reply for another":       {responder, with(reply, autobus.ExtResponder, "billing"), autobus.ReasonForbidden},
		"reply to no address":     {responder, with(reply, autobus.ExtTo, ""), autobus.ReasonEventInvalid},
		"reply to a forged one":   {responder, with(reply, autobus.ExtTo, string(forged)), autobus.ReasonReplyAddress},
		"reply to no request":     {responder, with(reply, autobus.ExtCausationID, ""), autobus.ReasonEventInvalid},
		"reply of a wrong form":   {responder, answer(&request, `{"amount":"x"}`), autobus.ReasonDataInvalid},
		"reply with an error":     {responder, with(answer(&request, `{"code":1}`), autobus.ExtError, "unknown"), ""},
		"error nobody declared":   {responder, with(empty, autobus.ExtError, "lost"), autobus.ReasonEventInvalid},
		"reply that is too large": {responder, huge, autobus.ReasonEventTooLarge},
	} {
		rc := f.publish(c.ctx, t, &autobus.Batch{Events: []autobus.Event{c.e}})[0]
		if reason(rc) != c.want {
			t.Errorf("%s: got %v, want %q", name, rc.Err, c.want)
		}
	}
}

// What is too late when its turn comes is nobody's work any more, also when it waited for a worker who was busy.
func TestExpiredRequestsAreNotStarted(t *testing.T) {
	f := open(t)
	f.route(t, quotes, 1, true)
	f.put(t, "pricing", serving(quotes))
	in := f.inbox(f.ctx, t, autobus.Subscription{})
	late := ask(quotes, in.at)
	until := time.Now().Add(2 * time.Second)
	late.SetExt(autobus.ExtExpiryTime, until.Format(time.RFC3339Nano))
	first, last := ask(quotes, in.at), ask(quotes, in.at)
	for _, e := range []autobus.Event{first, late, last} {
		if rc := f.one(t, e); rc.Err != nil {
			t.Fatal(rc.Err)
		}
	}
	w := f.worker(t, autobus.Subscription{Name: "pricing", Window: &autobus.Window{Events: 1}})
	d := w.next(t)
	<-time.After(time.Until(until.Add(autobus.ExpiryGrace + 20*time.Millisecond)))
	w.ack(t, d)
	if d.ID != first.ID {
		t.Fatalf("first came %s", d.ID)
	}
	if d = w.next(t); d.ID != last.ID {
		t.Errorf("after the deadline came %s, want %s", d.ID, last.ID)
	}
	w.ack(t, d)
}

func TestACommandHasOneHandler(t *testing.T) {
	f := open(t)
	f.route(t, books, 1, true)
	f.route(t, quotes, 1, true)
	f.put(t, "seats", serving(books))
	f.put(t, "onlooker", autobus.Policy{Types: []string{"pricing.*"}})
	f.put(t, "one", serving(quotes))
	f.put(t, "two", serving(quotes)) // a query may have many
	_, err := f.PutSubscription(f.ctx, "others", serving(books), bus.Audit{})
	if reasonOf(err) != autobus.ReasonCommandTaken {
		t.Errorf("a second handler: %v", err)
	}
	f.put(t, "seats", serving(books))
	if err := f.DeleteSubscription(f.ctx, "seats", bus.Audit{}); err != nil {
		t.Fatal(err)
	}
	f.put(t, "others", serving(books))
}

// Services that begin at the same moment do not see each other before all of them are there.
func TestACommandHasOneHandlerOfManyThatBeginAtOnce(t *testing.T) {
	f := open(t)
	f.route(t, books, 1, true)
	f.route(t, quotes, 1, true)
	const n = 8
	f.put(t, "service-0", serving(quotes)) // one of them has another type already
	ended := make(chan error, n)
	for i := range n {
		go func() {
			p := serving(books)
			if i == 0 {
				p = serving(quotes, books)
			}
			_, err := f.PutSubscription(f.ctx, "service-"+strconv.Itoa(i), p, bus.Audit{})
			ended <- err
		}()
	}
	made := 0
	for range n {
		switch err := <-ended; {
		case err == nil:
			made++
		case reasonOf(err) != autobus.ReasonCommandTaken:
			t.Error(err)
		}
	}
	serve := map[string]int{}
	all, err := f.Subscriptions(f.ctx)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range all {
		for _, typ := range s.Types {
			serve[typ]++
		}
	}
	if made != 1 || serve[books] != 1 || serve[quotes] != 1 {
		t.Errorf("%d are told that they handle the command; %v do", made, serve)
	}
}

// SPDX-License-Identifier: Apache-2.0

package autobustest_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/autobustest"
)

func TestBadOptionsFailTheTest(t *testing.T) {
	for word, o := range map[string]autobustest.Option{
		"no-such-folder":      autobustest.Specs("no-such-folder"),
		"x.yaml":              autobustest.SpecsFS(fstest.MapFS{"x.yaml": &fstest.MapFile{Data: []byte("asyncapi: 1")}}),
		"at least one":        autobustest.Partitions(0),
		"the zero time is no": autobustest.Clock(time.Time{}),
	} {
		says(t, failing(func(t testing.TB) { autobustest.New(t, o) }), word)
	}
}

func TestWithoutSpecsEveryTypeIsTaken(t *testing.T) {
	bus := autobustest.New(t)
	r := publish(t, bus, "any.thing.v1", `{"of":"any form"}`)
	if !strings.Contains(r.Hint, "No spec declares any.thing.v1") {
		t.Errorf("the receipt's hint is %q", r.Hint)
	}
	for _, c := range []struct {
		typ, data string
		why       autobus.Reason
	}{
		{"any.thing.v1", `{`, autobus.ReasonDataUnreadable},
		{"dlq.x", `{}`, autobus.ReasonTypeReserved},
		{"a b", `{}`, autobus.ReasonTypeInvalid},
	} {
		r := send(t, bus, autobus.Event{Type: c.typ, Data: []byte(c.data)})
		if r.Status != autobus.Refused || r.Err.Reason != c.why {
			t.Errorf("%s of %s: got %+v, want %s", c.data, c.typ, r, c.why)
		}
	}
}

func TestSpecsAreHeld(t *testing.T) {
	bus := withSpecs(t)
	r := send(t, bus, autobus.Event{Type: placed, Data: []byte(`{"order_id":"o-1","total":-1}`)})
	refused(t, orNil(r.Err), autobus.ReasonDataInvalid)
	if r.Err == nil || len(r.Err.Faults) != 1 || r.Err.Faults[0].Pointer != "/total" {
		t.Errorf("the faults of %v", r.Err)
	}
	r = send(t, bus, autobus.Event{Type: "orders.order.placd.v1", Data: []byte(`{}`)})
	refused(t, orNil(r.Err), autobus.ReasonTypeUnknown)
	if r.Err == nil || !strings.Contains(r.Err.NextStep(), placed) {
		t.Errorf("the hint does not name %s: %v", placed, r.Err)
	}
}

func TestFiltersAreReplaced(t *testing.T) {
	country := func(e *autobus.Event, params map[string]string) bool {
		is, _ := e.Ext("country")
		return is == params["country"]
	}
	from := func(id, country string) autobus.Event {
		return autobus.Event{ID: id, Type: placed, Data: []byte(order(id)),
			Extensions: []autobus.Extension{{Name: "country", Value: country}}}
	}
	const expression = "has(ext.country) && ext.country == params.country"
	// Once for both subscriptions that have the expression, once for one of them by its name.
	for _, of := range []string{expression, "shipping-kz"} {
		bus := withSpecs(t, autobustest.Filter(of, country))
		w := work(t, bus, "shipping-kz", nil)
		for _, e := range []autobus.Event{from("o-1", "by"), from("o-2", "kz")} {
			send(t, bus, e)
		}
		if d := <-w.got; d.ID != "o-2" {
			t.Errorf("%s passed the filter replaced by %s", d.ID, of)
		} else {
			ack(t, bus, d)
		}
		bus.Idle("shipping-kz")
	}

	nobody := func(context.Context, []autobus.Delivery) {}
	for name, sub := range map[string]autobus.Subscription{
		"shipping-by":        {Name: "shipping-by"},
		"a tail of orders.*": {Tail: []string{"orders.*"}, Filter: "true"},
	} {
		said := failing(func(tb testing.TB) {
			bus := autobustest.New(tb, autobustest.Specs(specsDir), autobustest.Filter("shipping-kz", country))
			refused(t, bus.Subscribe(t.Context(), sub, nobody), autobus.ReasonUnimplemented)
		})
		says(t, said, name+" has the filter", "autobustest.Filter(")
	}
	says(t, failing(func(t testing.TB) {
		autobustest.New(t).Subscription("x", autobus.Policy{Types: []string{"*"}, Filter: "true"})
	}), `autobustest.Filter("x"`)
}

func TestGrantsAreChecked(t *testing.T) {
	bus := withSpecs(t, autobustest.As(autobus.Principal{Name: "shop", Grants: []autobus.Grant{
		{Verb: autobus.VerbPublish, Pattern: "orders.*"}}}))
	publish(t, bus, placed, order("o-1"))
	if e := bus.Published()[0]; e.Source != "/shop" {
		t.Errorf("the source is %s", e.Source)
	}
	r := send(t, bus, autobus.Event{Type: "shipping.parcel.sent.v1", Data: []byte(`{"order_id":"o-1"}`)})
	refused(t, orNil(r.Err), autobus.ReasonForbidden)
	err := bus.Subscribe(t.Context(), autobus.Subscription{Name: "shipping"}, nil)
	refused(t, err, autobus.ReasonForbidden)
	// Who stands in the context acts, not the usual one.
	ctx := autobus.WithPrincipal(t.Context(), autobus.Principal{Name: "nobody"})
	b := &autobus.Batch{Events: []autobus.Event{{Type: placed, Data: []byte(order("o-2"))}}}
	if err := bus.Publish(ctx, b); err != nil {
		t.Fatal(err)
	}
	refused(t, orNil(b.Wait(ctx)[0].Err), autobus.ReasonForbidden)
}

func TestATailHasOnlyWhatIsGranted(t *testing.T) {
	bus := withSpecs(t)
	publish(t, bus, placed, order("o-1"))
	publish(t, bus, "shipping.parcel.sent.v1", `{"order_id":"o-1"}`)
	publish(t, bus, placed, order("o-2"))
	ctx, stop := context.WithCancel(autobus.WithPrincipal(t.Context(), autobus.Principal{Name: "reader",
		Grants: []autobus.Grant{{Verb: autobus.VerbSubscribe, Pattern: "orders.*"}}}))
	defer stop()
	var got []string
	err := bus.Subscribe(ctx, autobus.Subscription{Tail: []string{"*"}, From: autobus.Start{Earliest: true}},
		func(_ context.Context, ds []autobus.Delivery) {
			for _, d := range ds {
				got = append(got, d.Type+" "+string(d.Key))
			}
			stop()
		})
	if want := placed + " o-1, " + placed + " o-2"; err != nil || strings.Join(got, ", ") != want {
		t.Errorf("got %v and %v, want %s", got, err, want)
	}
}

func TestABadSubscriptionFailsTheTest(t *testing.T) {
	says(t, failing(func(t testing.TB) {
		bus := autobustest.New(t, autobustest.Specs(specsDir))
		bus.Subscription("x", autobus.Policy{Types: []string{"orders.order.placd.v1"}})
	}), "type_unknown", placed)
	says(t, failing(func(t testing.TB) { autobustest.New(t).Subscription("X", autobus.Policy{}) }), "cannot name")
}

func TestNobodyIsServedAfterTheEnd(t *testing.T) {
	s := &standIn{}
	bus := autobustest.New(s)
	s.end()
	refused(t, bus.Publish(t.Context(), &autobus.Batch{}), autobus.ReasonShuttingDown)
	for _, sub := range []autobus.Subscription{{Name: "x"}, {Tail: []string{"*"}}} {
		refused(t, bus.Subscribe(t.Context(), sub, nil), autobus.ReasonShuttingDown)
	}
}

// A service that sends more at once than its client takes finds out here.
func TestABatchHasABound(t *testing.T) {
	bus := autobustest.New(t)
	e := autobus.Event{Type: placed, Data: []byte(`"` + strings.Repeat("x", 900<<10) + `"`)}
	batch := &autobus.Batch{Events: slices.Repeat([]autobus.Event{e}, 9)}
	if err := bus.Publish(t.Context(), batch); err != nil {
		t.Fatal(err)
	}
	batch = &autobus.Batch{Events: slices.Repeat([]autobus.Event{e}, 10)}
	refused(t, bus.Publish(t.Context(), batch), autobus.ReasonBatchTooLarge)
}

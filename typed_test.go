// SPDX-License-Identifier: Apache-2.0

package autobus_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/autobus-io/autobus"
)

func TestTypedDecodesOrSaysWhere(t *testing.T) {
	type order struct {
		ID    string
		Items []struct{ Price int }
	}
	handle := autobus.Typed(func(_ context.Context, o order, d *autobus.Delivery) error {
		if o.ID != "x" || d.ID != "e" {
			t.Errorf("%+v of %s", o, d.ID)
		}
		return errBroken
	})
	call := func(data, contentType string) error {
		e := autobus.Event{ID: "e", Data: []byte(data), ContentType: contentType}
		return handle(t.Context(), &autobus.Delivery{Event: e})
	}
	if err := call(`{"ID":"x","New":1}`, ""); !errors.Is(err, errBroken) || autobus.OutcomeOf(err).Kind != autobus.Retry {
		t.Error("the handler's own error is", err)
	}
	for data, where := range map[string]string{
		`{"ID":"x","Items":[{"Price":"much"}]}`:  `"/Items/Price", byte 34, is a string`,
		`{"ID":"x","Items":[{"Price":12345.5}]}`: `"/Items/Price", byte 35, is a number, the handler wants a int`,
		`[]`:                                     `at "", byte 1, is a array`,
		`{"ID":`:                                 `from byte 6 on`,
		``:                                       `has no data`,
	} {
		err := call(data, "")
		o := autobus.OutcomeOf(err)
		if o.Kind != autobus.Reject || !strings.Contains(o.Reason, where) || strings.Contains(o.Reason, "12345") ||
			!errors.Is(err, &autobus.Error{Reason: autobus.ReasonDataUnreadable}) {
			t.Errorf("%s: %+v, want a rejection that says %s", data, o, where)
		}
	}
	if o := autobus.OutcomeOf(call("a,b", "text/csv")); !strings.Contains(o.Reason, "text/csv") {
		t.Errorf("%+v", o)
	}
}

func TestMuxGivesAnEventToTheFirstThatMatches(t *testing.T) {
	var m autobus.Mux
	named := func(name string) autobus.HandleFunc {
		return func(context.Context, *autobus.Delivery) error { return autobus.Skipped(name) }
	}
	m.On("a.b.v1", named("exact"))
	m.On("a.*", named("domain"))
	of := func(typ string) autobus.Outcome {
		return autobus.OutcomeOf(m.Handle(t.Context(), &autobus.Delivery{Event: autobus.Event{Type: typ}}))
	}
	for typ, want := range map[string]string{"a.b.v1": "exact", "a.b.v2": "domain"} {
		if o := of(typ); o.Reason != want {
			t.Errorf("%s: %+v", typ, o)
		}
	}
	if o := of("c.d.v1"); o.Kind != autobus.Retry || !strings.Contains(o.Reason, "c.d.v1") {
		t.Errorf("without a handler: %+v", o)
	}
	m.On("*", named("rest"))
	if o := of("c.d.v1"); o.Reason != "rest" {
		t.Errorf("%+v", o)
	}
	for _, p := range []string{"", "a*", "a..b"} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("On took %q", p)
				}
			}()
			m.On(p, named(""))
		}()
	}
}

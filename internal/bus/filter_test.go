// SPDX-License-Identifier: Apache-2.0

package bus

import (
	"strings"
	"testing"
	"time"

	"github.com/autobus-io/autobus"
)

func TestFilter(t *testing.T) {
	e := &autobus.Event{ID: "1", Source: "/shop", Type: "orders.order.placed.v1", Subject: "s", Key: []byte("k"),
		Time: time.Date(2026, 11, 20, 10, 0, 0, 0, time.UTC), Extensions: []autobus.Extension{{Name: "country", Value: "kz"}},
		Data: []byte(`{"n":3,"f":1.5,"big":9007199254740993,"s":"x","list":[1,2],"o":{"a":null}}`)}
	for expression, want := range map[string]bool{
		``: true, `true`: true, `false`: false, `data.n == 3`: true, `data.n / 2 == 1`: true, `data.f > 1.0`: true,
		`data.big == 9007199254740993`: true, `data.s.startsWith("x")`: true, `2 in data.list`: true,
		`data.o.a == null`: true, `has(data.missing)`: false, `ext.country == "kz" && key == "k"`: true,
		`type == "orders.order.placed.v1" && id == "1" && source == "/shop" && subject == "s"`: true,
		`time > timestamp("2026-01-01T00:00:00Z")`:                                             true,
	} {
		f, err := newFilter(expression, nil)
		if err != nil {
			t.Errorf("%s: %v", expression, err)
			continue
		}
		if got, failed := f.pass(e); got != want || failed {
			t.Errorf("%s: wanted %t, failed %t", expression, got, failed)
		}
	}
}

// An event on which the filter fails is delivered, and counted.
func TestAFilterThatFailsDelivers(t *testing.T) {
	hostile := "data.list.all(a, " + strings.Repeat("data.list.all(b, ", 6) + "true" + strings.Repeat(")", 7)
	list := "[" + strings.Repeat("1,", 999) + "1]"
	for expression, data := range map[string]string{
		`data.missing == 1`: `{}`, `data.n == 1`: `not json`, `data.n`: `{"n":1}`, `1 / data.n == 1`: `{"n":0}`,
		hostile: `{"list":` + list + `}`,
	} {
		f, err := newFilter(expression, nil)
		if err != nil {
			t.Errorf("%.40s: %v", expression, err)
			continue
		}
		if got, failed := f.pass(&autobus.Event{Data: []byte(data)}); !got || !failed {
			t.Errorf("%.40s on %.40s: delivered %t, failed %t", expression, data, got, failed)
		}
	}
}

func TestFilterIsRefusedWhenItCannotBe(t *testing.T) {
	for _, expression := range []string{`data.`, `unknown == 1`, `1 + 1`, `"x"`, `type == 3`, `data.f(`} {
		if _, err := newFilter(expression, nil); err == nil || err.Reason != autobus.ReasonFilterInvalid {
			t.Errorf("%s: %v", expression, err)
		}
	}
}

func TestAFilterAsksOnlyForParametersThatAreGiven(t *testing.T) {
	params := map[string]string{"country": "kz"}
	for expression, good := range map[string]bool{
		`data.country == params.country`: true, `data.country == params["country"]`: true, `has(params.land)`: true,
		`has(params.land) && params.land == "x"`: false, `data.country == params.contry`: false,
		`["a"].exists(x, x == params["land"])`: false, `data.params.land == "x"`: true,
	} {
		_, err := newFilter(expression, params)
		if (err == nil) != good || err != nil && err.Reason != autobus.ReasonFilterInvalid {
			t.Errorf("%s: %v", expression, err)
		}
	}
	f, err := newFilter(`data.country == params.country`, params)
	if err != nil {
		t.Fatal(err)
	}
	for country, want := range map[string]bool{"kz": true, "by": false} {
		if wanted, failed := f.pass(&autobus.Event{Data: []byte(`{"country":"` + country + `"}`)}); wanted != want || failed {
			t.Errorf("%s: wanted %t, failed %t", country, wanted, failed)
		}
	}
}

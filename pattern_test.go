// SPDX-License-Identifier: Apache-2.0

package autobus_test

import (
	"strings"
	"testing"

	"github.com/autobus-io/autobus"
)

func TestMatchType(t *testing.T) {
	for _, c := range []struct {
		pattern, name string
		want          bool
	}{
		{"orders.order.placed.v1", "orders.order.placed.v1", true},
		{"orders.order.placed.v1", "orders.order.placed.v2", false},
		{"orders.*.placed.v1", "orders.order.placed.v1", true},
		{"orders.*.placed.v1", "orders.order.paid.v1", false},
		{"orders.*.v1", "orders.order.placed.v1", false},
		{"orders.*.*.v1", "orders.order.placed.v1", true},
		{"orders.*", "orders.order.placed.v1", true},
		{"orders.*", "orders", false},
		{"orders.*", "ordersx.order.v1", false},
		{"*", "anything.at.all.v1", true},
		{"*", "x", true},
		{"orders", "orders.order", false},
		{"orders.order", "orders", false},
	} {
		if got := autobus.MatchType(c.pattern, c.name); got != c.want {
			t.Errorf("MatchType(%q, %q) = %t", c.pattern, c.name, got)
		}
	}
}

func TestValidPattern(t *testing.T) {
	for p, want := range map[string]bool{
		"*": true, "orders.*": true, "orders.*.placed.v1": true, "orders.order.placed.v1": true, "Some_Topic-1": true,
		"": false, ".": false, "orders*": false, "orders.": false, "orders..v1": false, "UPPER*bad..": false,
		"заказ.*": false, "a b": false, strings.Repeat("a", 250): false,
	} {
		if got := autobus.ValidPattern(p); got != want {
			t.Errorf("ValidPattern(%q) = %t", p, got)
		}
	}
}

func TestMayAny(t *testing.T) {
	for _, c := range []struct {
		grant, asked string
		want         bool
	}{
		{"orders.*", "demo.*", false}, {"orders.*", "orders.order.placed.v1", true}, {"orders.*", "*", true},
		{"*", "demo.*", true}, {"orders.*.v1", "orders.order.*", true}, {"orders.*.v1", "orders.order.placed.v1", false},
		{"orders.order.placed.v1", "orders.*.placed.v1", true}, {"orders.order.placed.v1", "orders.*.paid.v1", false},
		{"orders.order.placed.v1", "orders", false},
	} {
		p := autobus.Principal{Grants: []autobus.Grant{{Verb: autobus.VerbSubscribe, Pattern: c.grant}}}
		if got := p.MayAny(autobus.VerbSubscribe, c.asked); got != c.want {
			t.Errorf("%s may subscribe to some of %s: %t", c.grant, c.asked, got)
		}
		if p.MayAny(autobus.VerbPublish, c.asked) {
			t.Errorf("%s may publish to some of %s", c.grant, c.asked)
		}
	}
}

func TestTypeNames(t *testing.T) {
	for name, want := range map[string]bool{
		"orders.order.placed.v1": true, "refund.update.v1": true, "a.b.v12": true, "a.b.c.d.e.v1": true, "a-1.b.v1": true,
		"orders.v1": false, "v1": false, "a.b.c.d.e.f.v1": false, "orders.order.placed": false, "Orders.order.v1": false,
		"orders.order.v0": false, "orders.order.v": false, "orders..v1": false, "1a.b.v1": false, "a.b.v1x": false,
		"dlq.a.b.v1": false, "retry.a.v1": false, "park.a.v1": false, "_a.b.v1": false, "orders_x.b.v1": false,
		strings.Repeat("a", 180) + ".b.v1": false, "": false,
	} {
		if got := autobus.ValidType(name); got != want {
			t.Errorf("ValidType(%q) = %t", name, got)
		}
	}
	for name, want := range map[string]bool{
		"anything": true, "Some_Topic-1.x": true, "": false, ".": false, "..": false, "a b": false, "ä": false,
		"_x": false, "__consumer_offsets": false, "dlq.x": false, strings.Repeat("a", 250): false,
	} {
		if got := autobus.LegalTopic(name); got != want {
			t.Errorf("LegalTopic(%q) = %t", name, got)
		}
	}
}

func TestMayAllNeedsAGrantThatCoversThePattern(t *testing.T) {
	for _, c := range []struct {
		grant, pattern string
		want           bool
	}{
		{"*", "*", true}, {"*", "a.b.v1", true}, {"a.*", "a.*", true}, {"a.*", "a.*.*.v1", true},
		{"a.*", "*", false}, {"a.b.v1", "a.*", false}, {"a.*.v1", "a.*", false}, {"a.*.v1", "a.*.v1", true},
		{"a.*.v1", "a.b.v1", true}, {"a.*.v1", "a.b.c.v1", false}, {"a.*.*.v1", "a.*", false}, {"a.b", "a.b.*", false},
		{"a.b.*", "a.b", false}, {"a", "a", true}, {"a", "b", false}, {"*.b.v1", "a.*.v1", false},
	} {
		p := autobus.Principal{Grants: []autobus.Grant{{Verb: autobus.VerbSubscribe, Pattern: c.grant}}}
		if got := p.MayAll(autobus.VerbSubscribe, c.pattern); got != c.want {
			t.Errorf("grant %s on %s: %t, want %t", c.grant, c.pattern, got, c.want)
		}
	}
}

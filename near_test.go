// SPDX-License-Identifier: Apache-2.0

package autobus_test

import (
	"slices"
	"testing"

	"github.com/autobus-io/autobus"
)

func TestNear(t *testing.T) {
	names := []string{"orders.order.placed.v1", "orders.order.paid.v1", "demo.order.placed.v1", "mode", "timeout"}
	for word, want := range map[string][]string{
		"orders.order.plaecd.v1": names[:2], "orders.order.placed.v1": names[:2],
		"orders.order.paed.v1": {names[1], names[0]},
		"mdoe":                 {"mode"}, "demo.order.plced.v1": {names[2]},
		"timout": {"timeout"}, "x": nil, "": nil, "nothing.like.it.v1": nil,
	} {
		if got := autobus.Near(word, names, 2); !slices.Equal(got, want) {
			t.Errorf("near %q: %q, want %q", word, got, want)
		}
	}
	if got := autobus.Near("mode", names, 0); len(got) != 0 {
		t.Errorf("none asked for: %q", got)
	}
}

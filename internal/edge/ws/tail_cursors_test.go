// SPDX-License-Identifier: Apache-2.0

package ws

import (
	"maps"
	"testing"

	"github.com/autobus-io/autobus"
)

func TestATailTellsWhereItStands(t *testing.T) {
	bus, calls := groups()
	s := serve(t, bus)
	c := dial(t, s)
	c.send(`{"op":"tail","seq":1,"types":["a.*"],"cursors":true,` +
		`"from":{"cursors":{"a.b.v1":{"1":2}},"others":"earliest"}}`)
	c.next()
	call := <-calls
	if want := map[int32]int64{1: 2}; !maps.Equal(call.From.Cursors["a.b.v1"], want) || !call.From.Earliest {
		t.Errorf("it begins at %+v", call.From)
	}
	call.Moved(autobus.TailPosition{Cursors: map[string]map[int32]int64{"a.b.v1": {1: 3}}, CaughtUp: true})
	if f := c.next(); !f.is("cursors", 1) || f.Cursors["a.b.v1"][1] != 3 || !f.CaughtUp {
		t.Errorf("told %s", f)
	}
	for _, bad := range []string{`"cursors":1`, `"from":{}`, `"from":{"cursors":{}}`,
		`"from":{"cursors":{"a":{"-1":2}}}`} {
		c.send(`{"op":"tail","seq":2,"types":["a.*"],%s}`, bad)
		if f := c.next(); f.Op != "error" || f.Error.Code != autobus.InvalidArgument {
			t.Errorf("%s: %s", bad, f)
		}
	}
}

// SPDX-License-Identifier: Apache-2.0

package bus

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/autobus-io/autobus"
)

// FuzzDecode: any record of a topic becomes an event that can be told to a client. headers is as in recordOf.
func FuzzDecode(f *testing.F) {
	files, err := filepath.Glob("testdata/record-*.json")
	if err != nil || len(files) == 0 {
		f.Fatal(files, err)
	}
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		var golden struct {
			Key, Value string
			Headers    []struct{ Key, Value string }
		}
		if err := json.Unmarshal(raw, &golden); err != nil {
			f.Fatal(err)
		}
		var parts []string
		for _, h := range golden.Headers {
			parts = append(parts, h.Key, h.Value)
		}
		f.Add([]byte(golden.Key), []byte(golden.Value), strings.Join(parts, "\n"))
	}
	f.Add([]byte{0xff}, []byte(nil), "ce_id\n\xff\nce_time\n0\nce_type\n\nce_x\ny\nce_\nz\ncontent-type\n\xc3")
	f.Add([]byte(nil), []byte("{}"), "ce_time\n2026-01-01T00:00:00+24:00\nce_data\nx")
	f.Fuzz(func(t *testing.T, key, value []byte, headers string) {
		e := decode("main", "a.b.v1", recordOf(key, value, headers))
		if e.ID == "" || e.Source == "" || e.Type == "" || e.Time.IsZero() {
			t.Errorf("the event is %+v", e)
		}
		text := autobus.AppendEvent(nil, &e)
		if !utf8.Valid(text) || !json.Valid(text) {
			t.Errorf("it is told as %q", text)
		}
		told(t, &e)
	})
}

// FuzzFilter: an expression of a client compiles or is refused, and one that compiles decides over any event within its
// cost.
func FuzzFilter(f *testing.F) {
	for _, s := range []string{"data.total > 10", `type == "a" && key.startsWith("k")`, "data.items.all(i, i.n > 0)",
		"time > timestamp('2026-01-01T00:00:00Z')", "params.country == data.country", "ext.x == 'y'", "1", "((((", "data[",
		"data.a.b.c.d", "true ? false : data", `source.matches("^(a+)+$")`, "size(data) * 9223372036854775807 > 0",
		"data.map(x, data.map(y, x)).size() > 0", "dyn(1) == 1.0 || 1/0 == 1"} {
		f.Add(s, []byte(`{"total":12.5,"items":[{"n":1},{"n":-1}],"country":"kz","a":null}`))
	}
	f.Fuzz(func(t *testing.T, expression string, data []byte) {
		if len(expression) > 4<<10 {
			return
		}
		fl, err := newFilter(expression, map[string]string{"country": "kz"})
		if err != nil {
			if err.Reason != autobus.ReasonFilterInvalid {
				t.Errorf("%q: %v", expression, err)
			}
			return
		}
		if fl == nil {
			return
		}
		e := autobus.Event{ID: "1", Source: "/s", Type: "a.b.v1", Time: time.Unix(0, 0), Data: data, Key: []byte("k"),
			Extensions: []autobus.Extension{{Name: "x", Value: "y"}}}
		if _, failed := fl.pass(&e); failed {
			return
		}
	})
}

// SPDX-License-Identifier: Apache-2.0

package autobus_test

import (
	"bytes"
	"encoding/json"
	"regexp"
	"strings"
	"testing"

	"github.com/autobus-io/autobus"
)

// FuzzSplitBatch: what is split is the array's elements, byte for byte, and all of them.
func FuzzSplitBatch(f *testing.F) {
	f.Add([]byte(`[]`))
	f.Add([]byte(` [ {"id":"1","data":[1,"]"]} , {"a":{"b":"\"}"}}] `))
	f.Add([]byte(`[{"id":"1"},]`))
	f.Add([]byte(`[[[[`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		before := bytes.Clone(raw)
		parts, err := autobus.SplitBatch(raw)
		if !bytes.Equal(raw, before) {
			t.Fatal("the input was changed")
		}
		var want []json.RawMessage
		if json.Unmarshal(raw, &want) == nil && want != nil && len(want) <= autobus.MaxBatchEvents {
			if err != nil || len(parts) != len(want) {
				t.Fatalf("%d elements of %d, %v", len(parts), len(want), err)
			}
		}
		for i := range parts {
			if err == nil && i < len(want) && !bytes.Equal(bytes.TrimSpace(parts[i]), want[i]) {
				t.Errorf("element %d is %q, not %q", i, parts[i], want[i])
			}
		}
	})
}

// FuzzMatchType holds patterns against a regular expression of the same meaning.
func FuzzMatchType(f *testing.F) {
	f.Add("orders.*", "orders.order.placed.v1")
	f.Add("orders.*.placed.v1", "orders.order.placed.v1")
	f.Add("*", "")
	f.Add("a..b", "a..b")
	f.Fuzz(func(t *testing.T, pattern, name string) {
		if !autobus.ValidPattern(pattern) || len(name) > 300 {
			return // not what it is made for
		}
		parts := strings.Split(pattern, ".")
		for i, p := range parts {
			switch {
			case p == "*" && i == len(parts)-1:
				parts[i] = `(?s:.*)`
			case p == "*":
				parts[i] = `[^.]*`
			default:
				parts[i] = regexp.QuoteMeta(p)
			}
		}
		want := regexp.MustCompile(`^` + strings.Join(parts, `\.`) + `$`).MatchString(name)
		if got := autobus.MatchType(pattern, name); got != want {
			t.Errorf("%q matches %q: %v", pattern, name, got)
		}
	})
}

// FuzzPolicy: whatever JSON a policy is made of is judged without a fault, and a sound one survives being stored.
func FuzzPolicy(f *testing.F) {
	f.Add([]byte(`{"types":["a.*"],"start":{"time":"2026-01-01T00:00:00Z"},"window":{"events":1,"bytes":1}}`))
	f.Add([]byte(`{"types":["a.b.c.v1"],"start":{"cursors":{"a.b.c.v1":{"0":1}}},"ack_wait":"1s","order":"none"}`))
	f.Add([]byte(`{"types":["*"],"start":"earliest","params":{"a":"b"},
		"retry":{"backoff":["0s","168h"],"max_attempts":14}}`))
	f.Add([]byte(`{"types":null,"ack_wait":-1,"start":7}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		var p autobus.Policy
		if autobus.StrictJSON(raw, &p) != nil || p.Check() != nil {
			return
		}
		stored, err := json.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		var again autobus.Policy
		if err := autobus.StrictJSON(stored, &again); err != nil {
			t.Fatalf("%s: %v", stored, err)
		}
		if twice, err := json.Marshal(again); err != nil || !bytes.Equal(stored, twice) || again.Check() != nil {
			t.Errorf("%s became %s, %v", stored, twice, err)
		}
	})
}

// SPDX-License-Identifier: Apache-2.0

package sink

import (
	"encoding/json"
	"os"
	"testing"
	"time"
	"unicode/utf8"
)

// FuzzFile: any file is one that can be planned, or problems with their lines.
func FuzzFile(f *testing.F) {
	f.Add([]byte(goodFile))
	for _, s := range []string{"", "{}", "name: [", "name: x\ncolumns: {a: {}}\ntypes: [{type: 3}]", "a: &a [*a]",
		"name: x\nkey: [a, a]\nversion: //\ntypes:\n  - type: orders.order.placed.v1\n    children: {t: {from: /items}}"} {
		f.Add([]byte(s))
	}
	snapshot := snapshotOf(f)
	f.Fuzz(func(t *testing.T, raw []byte) {
		file, err := ParseFile("sink.yaml", raw, os.LookupEnv)
		if err != nil {
			if err.Error() == "" {
				t.Errorf("%q is refused without a word", raw)
			}
			return
		}
		var sources []Source
		for _, entry := range file.Types {
			typ, ok := snapshot.Type(entry.Type)
			if !ok {
				return // which is found before there is a plan
			}
			sources = append(sources, Source{Type: typ.Name, Topic: typ.Name, Partitions: 1, Spec: typ})
		}
		plan, problems, _ := MakePlan(file, sources)
		if plan == nil && len(problems) == 0 {
			t.Errorf("%q has neither a plan nor a problem", raw)
		}
	})
}

// FuzzCast: a value of JSON becomes one that a database takes, or has an SQLSTATE and a reason.
func FuzzCast(f *testing.F) {
	kinds := []string{"smallint", "integer", "bigint", "numeric", "numeric(12,2)", "double precision", "text",
		"varchar(3)", "boolean", "timestamptz", "date", "uuid", "jsonb"}
	for i, raw := range []string{`1e900`, `"\ud800"`, `"infinity"`, `10.555`, `"2026-11-28T10:00:00.5+02:00"`, `1e-400`,
		`{"a":"\u0000"}`, `"a\u0000b"`, `-0`, `"0001-01-01"`, `1E+2`, `true`, `[[]]`} {
		f.Add([]byte(raw), uint8(i), "s")
	}
	f.Fuzz(func(t *testing.T, raw []byte, kind uint8, unit string) {
		if !json.Valid(raw) || len(raw) > 64<<10 {
			return // the bus took no such data
		}
		var compact json.RawMessage
		if err := json.Unmarshal(raw, &compact); err != nil {
			return
		}
		typ, ok := ParseType(kinds[int(kind)%len(kinds)])
		if !ok {
			t.Fatal(kinds[int(kind)%len(kinds)])
		}
		if unit != "s" && unit != "ms" {
			unit = ""
		}
		v, bad := cast(compact, typ, unit)
		if bad != nil {
			if len(bad.State) != 5 || bad.Reason == "" || !utf8.ValidString(bad.Reason) {
				t.Errorf("%s as %s: %+v", raw, typ, bad)
			}
			return
		}
		switch v := v.(type) {
		case string:
			for _, r := range v {
				if r == 0 {
					t.Errorf("%s as %s has U+0000", raw, typ)
				}
			}
			if !utf8.ValidString(v) {
				t.Errorf("%s as %s is %q", raw, typ, v)
			}
		case time.Time:
			if y := v.Year(); y < 1 || y > 9999 {
				t.Errorf("%s as %s is %s", raw, typ, v)
			}
		}
	})
}

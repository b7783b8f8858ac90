// SPDX-License-Identifier: Apache-2.0

package sink

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

// What a database would change silently, or refuse in the middle of a batch, is refused here with its SQLSTATE.
func TestCast(t *testing.T) {
	for _, c := range []struct{ raw, typ, unit, want string }{
		{`32767`, "smallint", "", "32767"},
		{`32768`, "smallint", "", "22003"},
		{`-32768`, "smallint", "", "-32768"},
		{`2147483648`, "integer", "", "22003"}, // an unsigned int of another system
		{`2147483648`, "bigint", "", "2147483648"},
		{`9223372036854775808`, "bigint", "", "22003"},
		{`1.0`, "integer", "", "1"},
		{`1e3`, "integer", "", "1000"},
		{`1e900`, "integer", "", "22003"},
		{`1.5`, "integer", "", "22P02"},
		{`"17"`, "integer", "", "17"},
		{`"+17"`, "integer", "", "22P02"},
		{`""`, "integer", "", "22P02"},
		{`true`, "integer", "", "22P02"},
		{`10.50`, "numeric(12,2)", "", "10.50"},
		{`10.555`, "numeric(12,2)", "", "22003"},
		{`1e2`, "numeric(12,2)", "", "100.00"},
		{`12345678901`, "numeric(12,2)", "", "22003"},
		{`9999999999.99`, "numeric(12,2)", "", "9999999999.99"},
		{`0.1234567890123456789`, "numeric", "", "0.1234567890123456789"},
		{`"NaN"`, "numeric", "", "22P02"},
		{`"Infinity"`, "numeric", "", "22P02"},
		{`"NaN"`, "double precision", "", "22P02"},
		{`1e400`, "double precision", "", "22003"},
		{`0.5`, "double precision", "", "0.5"},
		{`"a\u0000b"`, "text", "", "22021"},
		{"\"\xff\"", "text", "", "22021"},
		{"{\"a\":\"\xff\"}", "jsonb", "", "22021"},
		{`"a\\u0000b"`, "text", "", `a\u0000b`},
		{`17`, "text", "", "17"},
		{`{"a":1}`, "text", "", "22P02"},
		{`"äöü"`, "varchar(3)", "", "äöü"},
		{`"abcd"`, "varchar(3)", "", "22001"},
		{`"2026-11-28T10:00:00.5+02:00"`, "timestamptz", "", "2026-11-28 08:00:00.5 +0000 UTC"},
		{`"0000-01-01T00:00:00Z"`, "timestamptz", "", "22008"},
		{`"2026-02-30T00:00:00Z"`, "timestamptz", "", "22007"},
		{`"infinity"`, "timestamptz", "", "22007"},
		{`1700000000`, "timestamptz", "", "22007"},
		{`1700000000`, "timestamptz", "s", "2023-11-14 22:13:20 +0000 UTC"},
		{`1700000000123`, "timestamptz", "ms", "2023-11-14 22:13:20.123 +0000 UTC"},
		{`1e30`, "timestamptz", "s", "22008"},
		{`"2026-11-28"`, "date", "", "2026-11-28"},
		{`"2026-13-01"`, "date", "", "22007"},
		{`"01A22283-8B75-7E08-820F-C64EA931FEB7"`, "uuid", "", "01a22283-8b75-7e08-820f-c64ea931feb7"},
		{`"x"`, "uuid", "", "22P02"},
		{`{"a":"\u0000"}`, "jsonb", "", "22P05"},
		{`{"a":"\\u0000"}`, "jsonb", "", `{"a":"\\u0000"}`},
		{`null`, "integer", "", "<nil>"},
		{``, "integer", "", "<nil>"},
	} {
		typ, ok := ParseType(c.typ)
		if !ok {
			t.Fatalf("%s is no type", c.typ)
		}
		v, b := cast([]byte(c.raw), typ, c.unit)
		got := fmt.Sprint(v)
		if raw, ok := v.(interface{ MarshalJSON() ([]byte, error) }); ok && typ.Kind == JSONB {
			text, _ := raw.MarshalJSON()
			got = string(text)
		}
		if b != nil {
			got = b.State
		}
		if got != c.want {
			t.Errorf("%s as %s %s: got %s (%v), want %s", c.raw, c.typ, c.unit, got, b, c.want)
		}
	}
}

func TestTypesWiden(t *testing.T) {
	parse := func(s string) Type {
		typ, ok := ParseType(s)
		if !ok {
			t.Fatalf("%s is no type", s)
		}
		return typ
	}
	for _, c := range []struct {
		from, to string
		want     bool
	}{
		{"integer", "bigint", true},
		{"bigint", "integer", false},
		{"int4", "numeric(12,2)", true},
		{"bigint", "numeric(12,2)", false},
		{"varchar(10)", "text", true},
		{"text", "varchar(10)", false},
		{"numeric(12,2)", "numeric(14,4)", true},
		{"numeric(12,2)", "numeric(12,4)", false},
		{"numeric", "numeric(12,2)", false},
		{"text", "jsonb", false},
	} {
		if got := parse(c.from).Widens(parse(c.to)); got != c.want {
			t.Errorf("%s to %s: got %v", c.from, c.to, got)
		}
	}
	for _, s := range []string{"money", "integer(4)", "numeric(2,3)", "varchar(0)", "", "text; drop"} {
		if typ, ok := ParseType(s); ok {
			t.Errorf("%q was read as %s", s, typ)
		}
	}
}

// Every short text is a number to us when it is one to encoding/json.
func TestIsNumber(t *testing.T) {
	const letters, longest = "-+01.eE x", 6
	var try func(text string)
	numbers := 0
	try = func(text string) {
		want := text != "" && (text[0] == '-' || text[0] >= '0' && text[0] <= '9') && !strings.Contains(text, " ") &&
			json.Valid([]byte(text))
		if want {
			numbers++
		}
		if is := isNumber(text); is != want {
			t.Errorf("%q is a number: %t, want %t", text, is, want)
		}
		if len(text) < longest {
			for _, c := range letters {
				try(text + string(c))
			}
		}
	}
	try("")
	if numbers < 1000 {
		t.Errorf("%d numbers were tried", numbers)
	}
}

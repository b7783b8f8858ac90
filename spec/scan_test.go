// SPDX-License-Identifier: Apache-2.0

package spec

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"

	"github.com/autobus-io/autobus"
)

var checkCases = []struct {
	name, data    string
	rule, pointer string // rule "" = readable
}{
	{"object", ` {"a" : [1, -2.5e+7, "x", true, false, null, {}], "b":{"c":[]}} `, "", ""},
	{"scalar", `17`, "", ""},
	{"escapes", `"\" \\ \/ \b \f \n \r \t \u00e9 \ud83d\ude00 é"`, "", ""},
	{"same key in two objects", `[{"a":1},{"a":{"a":1}}]`, "", ""},
	{"depth 64", strings.Repeat("[", 64) + strings.Repeat("]", 64), "", ""},
	{"number of 64 bytes", strings.Repeat("9", 64), "", ""},
	{"exponent 999", `[1e999, 1E-0999]`, "", ""},

	{"nothing", ``, "syntax", ""},
	{"space only", " \n", "syntax", ""},
	{"two values", `{} {}`, "syntax", ""},
	{"open object", `{"a":1`, "syntax", "/a"},
	{"open array", `{"a":[1`, "syntax", "/a/0"},
	{"open string", `{"a":"b`, "syntax", "/a"},
	{"comma before end", `{"a":1,}`, "syntax", ""},
	{"no colon", `{"a" 1}`, "syntax", "/a"},
	{"word", `{"a":[tru]}`, "syntax", "/a/0"},
	{"capital word", `True`, "syntax", ""},
	{"key without quotes", `{a:1}`, "syntax", ""},
	{"single quotes", `{'a':1}`, "syntax", ""},
	{"leading zero", `{"a":012}`, "syntax", "/a"},
	{"plus", `[+1]`, "syntax", "/0"},
	{"bare minus", `[-]`, "syntax", "/0"},
	{"bare point", `[1.]`, "syntax", "/0"},
	{"bare exponent", `[1e]`, "syntax", "/0"},
	{"NaN", `NaN`, "syntax", ""},
	{"control character", "{\"a\":\"b\nc\"}", "syntax", "/a"},
	{"unknown escape", `["\x"]`, "syntax", "/0"},
	{"short escape", `["\u12"]`, "syntax", "/0"},
	{"escape at the end", `"\`, "syntax", ""},
	{"byte order mark", "\xef\xbb\xbf{}", "syntax", ""},

	{"bad UTF-8", "{\"a\":\"\xff\"}", "utf8", "/a"},
	{"bad UTF-8 in a key", "{\"a\":{\"\xc3\x28\":1}}", "utf8", "/a"},
	{"overlong", "[\"\xc0\xaf\"]", "utf8", "/0"},
	{"surrogate in UTF-8", "[\"\xed\xa0\x80\"]", "utf8", "/0"},
	{"lone high surrogate", `{"a":"\ud83d"}`, "utf8", "/a"},
	{"lone low surrogate", `{"a":"\ude00"}`, "utf8", "/a"},
	{"high surrogate before another escape", `{"a":"\ud83d\u0041"}`, "utf8", "/a"},

	{"duplicate", `{"a":1,"b":2,"a":3}`, "duplicate", "/a"},
	{"duplicate below", `{"x":[{"a~/b":1,"a~/b":2}]}`, "duplicate", "/x/0/a~0~1b"},
	{"duplicate by escape", `{"a":1,"\u0061":2}`, "duplicate", "/a"},
	{"empty key twice", `{"":1,"":2}`, "duplicate", "/"},
	{"duplicate among many", `{"a":0,"b":0,"c":0,"d":0,"e":0,"f":0,"g":0,"h":0,"i":0,"j":0,"k":0,"l":0,"m":0,"b":0,"a":0}`,
		"duplicate", "/b"},

	{"depth 65", strings.Repeat("[", 65) + strings.Repeat("]", 65), "depth", strings.Repeat("/0", 64)},
	{"depth 65 of objects", strings.Repeat(`{"a":`, 65) + "1" + strings.Repeat("}", 65),
		"depth", strings.Repeat("/a", 64)},
	{"depth bomb", strings.Repeat("[", 100_000), "depth", strings.Repeat("/0", 64)},

	{"number of 65 bytes", `{"a":` + strings.Repeat("9", 65) + `}`, "number", "/a"},
	{"exponent bomb", `{"a":1e999999999}`, "number", "/a"},
}

func TestCheckJSON(t *testing.T) {
	for _, c := range checkCases {
		t.Run(c.name, func(t *testing.T) {
			err := CheckJSON([]byte(c.data))
			if c.rule == "" {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			if err == nil {
				t.Fatal("found readable")
			}
			if err.Reason != autobus.ReasonDataUnreadable || len(err.Faults) != 1 {
				t.Fatalf("got %v with faults %v", err, err.Faults)
			}
			if f := err.Faults[0]; f.Rule != c.rule || f.Pointer != c.pointer {
				t.Errorf("got %s at %q, want %s at %q", f.Rule, f.Pointer, c.rule, c.pointer)
			}
			if !utf8.ValidString(err.Detail) {
				t.Errorf("the detail is not UTF-8: %q", err.Detail)
			}
		})
	}
}

func TestCheckJSONNeedsNoMemory(t *testing.T) {
	data := []byte(order)
	if n := testing.AllocsPerRun(100, func() { _ = CheckJSON(data) }); n != 0 {
		t.Errorf("%v allocations for a usual event, want none", n)
	}
}

// readable is CheckJSON told differently: by encoding/json and the rules one by one.
func readable(data []byte) bool {
	if !json.Valid(data) || !utf8.Valid(data) {
		return false
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	type level struct {
		seen  map[string]bool
		isKey bool
	}
	var open []level
	for {
		tok, err := dec.Token()
		if err != nil {
			return errors.Is(err, io.EOF)
		}
		top := len(open) - 1
		if top >= 0 && open[top].seen != nil && tok != json.Delim('}') {
			if open[top].isKey {
				if key := tok.(string); open[top].seen[key] {
					return false
				}
				open[top].seen[tok.(string)] = true
			}
			open[top].isKey = !open[top].isKey
		}
		switch tok := tok.(type) {
		case json.Delim:
			switch tok {
			case '{':
				open = append(open, level{map[string]bool{}, true})
			case '[':
				open = append(open, level{})
			default:
				open = open[:top]
			}
			if len(open) > autobus.MaxDepth {
				return false
			}
		case json.Number:
			s := string(tok)
			_, exponent, _ := strings.Cut(strings.ToLower(s), "e")
			if len(s) > autobus.MaxNumberBytes || len(strings.TrimLeft(exponent, "+-0")) > 3 {
				return false
			}
		case string:
			if strings.ContainsRune(tok, utf8.RuneError) && bytes.Contains(bytes.ToLower(data), []byte(`\ud`)) {
				return CheckJSON(data) == nil // encoding/json hides lone surrogates
			}
		}
	}
}

func TestCheckJSONAgreesWithEncodingJSON(t *testing.T) {
	pieces := rapid.SampledFrom([]string{"{", "}", "[", "]", ",", ":", `"a"`, `"\u0061"`, `"b"`, `""`, "1", "-0.5e3", "0",
		"1e9999", "true", "null", " ", "\n", `"\`, `"`, "é", "\xff", `"\ud83d\ude00"`, "+", "."})
	value := rapid.Deferred(func() *rapid.Generator[string] { return nested(3) })
	rapid.Check(t, func(t *rapid.T) {
		data := value.Draw(t, "value")
		if rapid.Bool().Draw(t, "damaged") {
			at := rapid.IntRange(0, len(data)).Draw(t, "at")
			cut := rapid.IntRange(at, min(len(data), at+3)).Draw(t, "cut")
			data = data[:at] + pieces.Draw(t, "piece") + data[cut:]
		}
		if got, want := CheckJSON([]byte(data)) == nil, readable([]byte(data)); got != want {
			t.Fatalf("%q: got readable=%v, want %v", data, got, want)
		}
	})
}

// nested makes JSON text with a few keys, so that some stand twice.
func nested(depth int) *rapid.Generator[string] {
	leaf := rapid.SampledFrom([]string{"1", "-0", "1.5E+2", `"x"`, `"\n\u00e9"`, "true", "false", "null", "{}", "[ ]"})
	if depth == 0 {
		return leaf
	}
	return rapid.Custom(func(t *rapid.T) string {
		switch rapid.IntRange(0, 2).Draw(t, "form") {
		case 0:
			return leaf.Draw(t, "leaf")
		case 1:
			return "[" + strings.Join(rapid.SliceOfN(nested(depth-1), 0, 4).Draw(t, "items"), " , ") + "]"
		}
		keys := rapid.SliceOfN(rapid.SampledFrom([]string{`"a"`, `"\u0061"`, `"b"`, `"c"`, `"d"`, `"e"`, `"f"`, `"g"`, `"h"`,
			`"i"`, `"j"`, `"k"`, `"l"`, `"m"`, `"n"`, `"o"`}), 0, 15).Draw(t, "keys")
		for i, k := range keys {
			keys[i] = k + ":" + nested(depth-1).Draw(t, "value")
		}
		return "{" + strings.Join(keys, ",") + "}"
	})
}

func FuzzCheckJSON(f *testing.F) {
	for _, c := range checkCases {
		f.Add([]byte(c.data))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if got, want := CheckJSON(data) == nil, readable(data); got != want {
			t.Fatalf("got readable=%v, want %v", got, want)
		}
	})
}

func FuzzDecode(f *testing.F) {
	for _, c := range checkCases {
		f.Add([]byte(c.data))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if CheckJSON(data) != nil {
			return
		}
		dec := json.NewDecoder(bytes.NewReader(data))
		dec.UseNumber()
		var want any
		if err := dec.Decode(&want); err != nil {
			t.Fatal(err)
		}
		got, _ := json.Marshal(decode(data))
		if expected, _ := json.Marshal(want); !bytes.Equal(got, expected) {
			t.Fatalf("got %s, want %s", got, expected)
		}
	})
}

// SPDX-License-Identifier: Apache-2.0

package spec

import (
	"bytes"
	"encoding/json"
	"math/big"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"pgregory.net/rapid"
)

// handmade are payloads of what the repository's own specs do not show.
var handmade = []string{
	`{type: object, required: [kind], properties: {kind: {type: string, maxLength: 4}, children: {type: array, ` +
		`items: {type: object, additionalProperties: {type: integer, minimum: -5, multipleOf: 5}}}}}`,
	`{type: object, minProperties: 1, maxProperties: 3, properties: {a: {type: number, minimum: 0.5, ` +
		`exclusiveMaximum: 10, multipleOf: 0.25}}, patternProperties: {'^x-': {type: string, pattern: '^[a-f]+$'}, ` +
		`'-y$': {minLength: 2}}}`,
	`{anyOf: [{type: array, items: {enum: [a, b, 1, 2.5, null]}, minItems: 1, maxItems: 4}, {type: 'null'}, ` +
		`{type: object, required: [t], properties: {t: {const: a}, n: {type: integer}}}, ` +
		`{type: object, required: [t], properties: {t: {enum: [b, c]}, m: {type: object}}}]}`,
	`{allOf: [{type: object, properties: {a: {type: string}, b: {}}}, {properties: {a: {minLength: 1}, c: {type: ` +
		`[integer, 'null'], format: int64}}}]}`,
	`{type: object, properties: {a: {format: date-time}, b: {format: uuid}, c: {format: email}, d: {format: date}, ` +
		`e: {format: uri}, f: {format: ipv4}, g: {format: decimal}, h: {format: time}, i: {format: hostname}}}`,
	`{type: object, properties: {'a"b': {type: string}, 'a\n': {type: string}}}`,
	`{type: object, properties: {'': {type: string}, 'a\n': {}}}`,
	`{}`,
}

// fixedTypes are the types of the specs in this repository and the handmade ones.
func fixedTypes(t testing.TB) []*Type {
	var types []*Type
	for _, dir := range []string{"testdata/shop", "../examples/flights/specs", "../cmd/autobus/demo"} {
		types = append(types, parseDir(t, dir).Types()...)
	}
	for _, payload := range handmade {
		types = append(types, typeOf(t, payload), typeOf(t, payload, "x-writers: open"))
	}
	return append(types, shopOrderType(t))
}

// goodData are seeds: valid data of each type, and then some.
func goodData(types []*Type) []string {
	seeds := []string{order, shopOrder, `{"kind":"tree","children":[{"a":5,"b":-5},{}]}`,
		`{"a":9.75,"x-a":"beef","x-y":"ab"}`, `["a",2.50,null,1]`, `{"t":"a","n":1}`, `{"t":"c","m":{"free":[{}]}}`,
		`{"a":"é","b":[{"x":{"y":1}},{"x":2}],"c":9007199254740993}`, `{"a":1,"a":2}`, `{"\u0061":1,"a":2}`, "\ufeff{}",
		`{"a"b":""}`, `{"a\n":""}`, `{"a\"b":""}`,
		`{"a":"2026-01-31T10:00:00.5+03:00","b":"0190e2d8-7c3a-7c3a-8c3a-0190e2d87c3a","c":"a.b@example.com",` +
			`"d":"2024-02-29","e":"https://example.com/a?b=c","f":"192.0.2.1","g":"-10.50","h":"23:59:60Z","i":"a-b.c"}`,
		strings.Repeat("[", 64) + strings.Repeat("]", 64), strings.Repeat("[", 65) + strings.Repeat("]", 65)}
	for _, ty := range types {
		if example, ok := ty.Example(); ok {
			seeds = append(seeds, string(example))
		}
	}
	return seeds
}

// FuzzWalk holds the walk against the judges for the fixed types.
func FuzzWalk(f *testing.F) {
	types := fixedTypes(f)
	for _, seed := range goodData(types) {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, ty := range types {
			held(t, ty, data)
		}
	})
}

// The types that people write are wholly known to the walk.
func TestTheUsualSchemasAreWhole(t *testing.T) {
	for _, ty := range fixedTypes(t) {
		if odd := strings.Contains(string(ty.Schema), `a\\n`); odd == ty.program.whole {
			t.Errorf("%s (%s) is left to the validator", ty.Name, ty.Schema)
		}
		if example, ok := ty.Example(); ok {
			if _, walked := held(t, ty, example); ty.program.whole && !walked {
				t.Errorf("%s: %s is left to the validator", ty.Name, example)
			}
		}
	}
}

// formatNames are those of which the walk has tests of its own, and one that it has not.
var formatNames = []string{"date-time", "date", "time", "uuid", "email", "decimal", "hostname", "uri", "uri-reference",
	"ipv4", "ipv6"}

// FuzzFormats holds the short tests against the validator's.
func FuzzFormats(f *testing.F) {
	tests := map[string]func([]byte) bool{}
	judges := map[string]*jsonschema.Format{}
	for _, name := range formatNames {
		s, err := compile([]byte(`{"format":"` + name + `"}`))
		if err != nil {
			f.Fatal(err)
		}
		judges[name], tests[name] = s.root.Format, formatTest(s.root.Format)
		f.Add(formatted(name))
	}
	for _, seed := range []string{"2024-02-29", "2100-02-29", "0000-01-01", "2026-04-31T00:00:00Z", "10:00:00.5z",
		"23:59:60Z", "10:00:00+23:59", "a..b@c", `"a b"@c`, "a@[127.0.0.1]", "a-.b", "-a", "a.", "http://a/%zz",
		"https://a:1/", "https://a//b", "http://-", "01.2.3.4", "1.2.3.256", "-0.50", "1e5", "1.", "\u0660"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		for _, name := range formatNames {
			if got, want := tests[name]([]byte(text)), judges[name].Validate(text) == nil; got != want {
				t.Fatalf("%q as %s: got %v, want %v", text, name, got, want)
			}
		}
	})
}

// FuzzPatterns holds the short form of patterns against package regexp.
func FuzzPatterns(f *testing.F) {
	for _, p := range []string{`^[A-Z]{2,3}-\d+$`, `^\+?[1-9][0-9]*`, `^a?a$`, `^[ab]*b`, `^x{0}y$`, `^(?i)a$`, `^$`, `^`,
		`^a\z`, `^[^a]$`, `^\w+@\w+$`, `(?m)^a$`, `^a$b`, `^a{2,}?b*`, `^.$`, `^é$`, `^(ab)+$`, `^(?:a)+$`,
		`^[a-z]+[A-Z]?[0-9]$`} {
		for _, text := range []string{"", "a", "aab", "AB-12", "+123", "é", "a\n", "y", "AAAA-1", "abc9", "\xff"} {
			f.Add(p, text)
		}
	}
	f.Fuzz(func(t *testing.T, pattern, text string) {
		p, ok := stepsOf(pattern)
		if !ok || len(pattern) > 200 {
			return
		}
		if got, want := p.match([]byte(text)), regexp.MustCompile(pattern).MatchString(text); got != want {
			t.Fatalf("%q by %q: got %v, want %v", text, pattern, got, want)
		}
	})
}

// TestDecimalsAreExact holds decimals against fractions.
func TestDecimalsAreExact(t *testing.T) {
	draw := func(t *rapid.T) (decimal, *big.Rat) {
		text := rapid.StringMatching(`-?(0|[1-9][0-9]{0,10})(\.[0-9]{1,7})?`).Draw(t, "number")
		d, ok := parseDecimal([]byte(text))
		r, _ := new(big.Rat).SetString(text)
		if back, exact := decimalOf(r); !ok || !exact || compare(back, d) != 0 {
			t.Fatalf("%s is read as %v, and %v", text, d, back)
		}
		return d, r
	}
	rapid.Check(t, func(t *rapid.T) {
		a, x := draw(t)
		b, y := draw(t)
		if got, want := compare(a, b), x.Cmp(y); got != want {
			t.Fatalf("%v and %v: got %d, want %d", x, y, got, want)
		}
		if y.Sign() != 0 {
			want := new(big.Rat).Quo(x, y).IsInt()
			if got := divides(b, a); got && !want || !got && want && x.Num().BitLen() < 20 {
				t.Fatalf("%v by %v: got %v, want %v", x, y, got, want)
			}
		}
	})
}

// TestNumbersAtTheEdges has the bounds that 64 bits just hold, or do not.
func TestNumbersAtTheEdges(t *testing.T) {
	numbers := []string{"9223372036854775807", "9223372036854775808", "-9223372036854775808", "-9223372036854775809",
		"999999999999999999", "-999999999999999999", "1000000000000000000", "2147483647", "2147483648", "-2147483648",
		"-2147483649", "0.999999999999999999", "9007199254740993", "1.0", "-0", "-0.0", "00", "01", "-", "1.", ".5", "1e2",
		"1E-2", "0.1e1", "1e1000", "123456789012345678.0", "12345678901234567.5"}
	for _, keyword := range []string{"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "const"} {
		for _, bound := range numbers {
			if !json.Valid([]byte(bound)) || bound == "1e1000" || keyword == "multipleOf" && strings.HasPrefix(bound, "-") {
				continue
			}
			for _, kind := range []string{`"type":"integer",`, `"type":"number",`, `"format":"int32",`, `"format":"int64",`} {
				ty := typeFor(t, []byte(`{`+kind+`"`+keyword+`":`+bound+`}`), false, "")
				for _, n := range numbers {
					held(t, ty, []byte(n))
				}
			}
		}
	}
}

func TestCheckKeyIsCheckAndKey(t *testing.T) {
	types := fixedTypes(t)
	for _, seed := range goodData(types) {
		for _, ty := range types {
			keyless := strings.ReplaceAll(seed, `Id":"`, `Id":1,"z":"`)
			for _, data := range [][]byte{[]byte(seed), []byte(keyless)} {
				key, keyErr, err := ty.CheckKey(data)
				wantKey, wantKeyErr := ty.Key(data)
				if wantErr := ty.Check(data); !bytes.Equal(key, wantKey) ||
					!reflect.DeepEqual(keyErr, wantKeyErr) || !reflect.DeepEqual(err, wantErr) {
					t.Errorf("%s by %s: got %q, %v, %v, want %q, %v, %v", data, ty.Name, key, keyErr, err, wantKey,
						wantKeyErr, wantErr)
				}
			}
		}
	}
}

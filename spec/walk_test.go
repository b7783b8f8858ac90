// SPDX-License-Identifier: Apache-2.0

package spec

import (
	"bytes"
	"encoding/json"
	"regexp"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// typeFor makes a type from a JSON Schema, without a spec around it.
func typeFor(t interface{ Fatalf(string, ...any) }, doc []byte, open bool, keyPointer string) *Type {
	s, err := compile(doc)
	if err != nil {
		t.Fatalf("%s: %v", doc, err)
	}
	if at, found := s.circle(); found {
		t.Fatalf("%s goes in a circle at %s", doc, at)
	}
	s.open = open
	return &Type{Name: "tests.thing.made.v1", KeyPointer: keyPointer, OpenWriters: open, Schema: doc, schema: s,
		program: compileProgram(s, doc, keyPointer)}
}

// unusual is what the walk may leave to the validator though it is valid: escapes, exponents, very long numbers.
var unusual = regexp.MustCompile(`\\|(^|[\s:,[])-?[0-9.]+[eE]|[0-9.]{18}`)

// held compares the walk with the judges. It returns whether the data is valid and whether the walk said so.
func held(t interface{ Fatalf(string, ...any) }, ty *Type, data []byte) (valid, walked bool) {
	raw, walked := ty.program.walk(data)
	err := ty.judge(data)
	switch {
	case walked && err != nil:
		t.Fatalf("%s is valid to the walk, but %v\nschema %s open %v", data, err, ty.Schema, ty.OpenWriters)
	case !walked && err == nil && ty.program.whole && !unusual.Match(data):
		t.Fatalf("%s is valid, but not to the walk\nschema %s open %v", data, ty.Schema, ty.OpenWriters)
	}
	if walked && ty.KeyPointer != "" {
		want, _ := find(data, ty.KeyPointer)
		if raw != nil && !bytes.Equal(raw, want) {
			t.Fatalf("%s: the key is %q, want %q", data, raw, want)
		}
		if raw == nil && want != nil && !strings.ContainsAny(ty.KeyPointer, "0123456789") {
			t.Fatalf("%s: no key, want %q", data, want)
		}
	}
	return err == nil, walked
}

// TestTheWalkAgreesWithTheValidator draws schemas of the keywords that it knows, values made of the same parts, and
// bytes that are hardly JSON.
func TestTheWalkAgreesWithTheValidator(t *testing.T) {
	valid, walked, refused := 0, 0, 0
	rapid.Check(t, func(t *rapid.T) {
		doc, _ := json.Marshal(schemaOf(3).Draw(t, "schema"))
		key := rapid.SampledFrom([]string{"", "/a", "/a/b", "/x1"}).Draw(t, "key")
		ty := typeFor(t, doc, rapid.Bool().Draw(t, "open"), key)
		for range 30 {
			data := []byte(valueOf(3).Draw(t, "value"))
			if example, ok := ty.Example(); ok && rapid.Bool().Draw(t, "example") {
				data = example
			}
			if rapid.IntRange(0, 3).Draw(t, "mutate") == 0 {
				data = mutated(t, data)
			}
			isValid, isWalked := held(t, ty, data)
			switch {
			case isWalked:
				valid++
				walked++
			case isValid:
				valid++
			default:
				refused++
			}
		}
	})
	if walked < valid*3/4 || walked < 100 || refused < 100 { // walked/valid is 93 % in the long run
		t.Errorf("%d valid, of these %d by the walk; %d refused", valid, walked, refused)
	}
}

// TestTheWalkAgreesOnAlmostGoodData changes a few bytes of valid data.
func TestTheWalkAgreesOnAlmostGoodData(t *testing.T) {
	types := fixedTypes(t)
	good := goodData(types)
	rapid.Check(t, func(t *rapid.T) {
		ty := rapid.SampledFrom(types).Draw(t, "type")
		data := []byte(rapid.SampledFrom(good).Draw(t, "data"))
		if example, ok := ty.Example(); ok && rapid.Bool().Draw(t, "its own") {
			data = example
		}
		for range 20 {
			held(t, ty, mutated(t, data))
		}
	})
}

// mutated changes, cuts or doubles a few bytes.
func mutated(t *rapid.T, data []byte) []byte {
	data = bytes.Clone(data)
	for range rapid.IntRange(1, 3).Draw(t, "mutations") {
		i := rapid.IntRange(0, len(data)).Draw(t, "at")
		n := rapid.IntRange(0, min(4, len(data)-i)).Draw(t, "length")
		patch := rapid.SampledFrom([]string{"", " ", ",", `"`, "\\", "0", "-", ".5", "{", "}", "[]", `"a":1,`, "\xff", "é",
			"\x00", `\u0061`, `\ud800`, "1e5", "\t"}).Draw(t, "patch")
		data = append(data[:i:i], append([]byte(patch), data[i+n:]...)...)
	}
	return data
}

// valueOf makes JSON out of few parts, so that values often meet schemas made of the same.
func valueOf(depth int) *rapid.Generator[string] {
	leaf := rapid.SampledFrom([]string{"0", "1", "2.5", "-3", "4.0", "-0", "100", "0.07", "12345678901234567890",
		`""`, `"a"`, `"éa"`, `"abc"`, `"b"`, "true", "false", "null", `"2026-11-20"`, `"10.50"`, "{}", "[]"})
	if depth == 0 {
		return leaf
	}
	return rapid.Custom(func(t *rapid.T) string {
		switch rapid.IntRange(0, 3).Draw(t, "form") {
		case 0:
			return leaf.Draw(t, "leaf")
		case 1:
			out := "["
			for i := range rapid.IntRange(0, 3).Draw(t, "items") {
				if i > 0 {
					out += ","
				}
				out += valueOf(depth-1).Draw(t, "item")
			}
			return out + "]"
		}
		out := "{"
		for _, name := range rapid.Permutation([]string{`"a"`, `"b"`, `"x1"`, `"x\u0031"`}).Draw(t, "names")[1:] {
			if rapid.Bool().Draw(t, "has") {
				if out != "{" {
					out += ","
				}
				out += name + ":" + valueOf(depth-1).Draw(t, "field")
			}
		}
		return out + "}"
	})
}

// schemaOf makes a schema of the keywords that the walk knows.
func schemaOf(depth int) *rapid.Generator[any] {
	number := rapid.SampledFrom([]json.Number{"-3", "0", "1", "2.5", "100", "0.01"})
	size := rapid.IntRange(0, 3)
	return rapid.Custom(func(t *rapid.T) any {
		s := map[string]any{}
		if depth == 0 && rapid.IntRange(0, 4).Draw(t, "bool") == 0 {
			return rapid.Bool().Draw(t, "verdict")
		}
		maybe := func(name string, draw func() any) {
			if rapid.IntRange(0, 5).Draw(t, name+"?") == 0 {
				s[name] = draw()
			}
		}
		types := rapid.SampledFrom([]string{"null", "boolean", "integer", "number", "string", "array", "object"})
		maybe("type", func() any { return rapid.SliceOfNDistinct(types, 1, 3, rapid.ID).Draw(t, "types") })
		maybe("enum", func() any {
			return []any{"a", nil, true, "abc", json.Number("1"), json.Number("2.50")}[size.Draw(t, "skip"):]
		})
		maybe("const", func() any { return rapid.SampledFrom([]any{"a", nil, true, json.Number("4")}).Draw(t, "const") })
		maybe("format", func() any { return rapid.SampledFrom([]string{"date", "int32", "decimal"}).Draw(t, "format") })
		maybe("pattern", func() any { return rapid.SampledFrom([]string{"^a", "a", "^[a-c]+$"}).Draw(t, "pattern") })
		for _, bound := range []string{"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"} {
			maybe(bound, func() any { return number.Draw(t, bound) })
		}
		maybe("multipleOf", func() any { return rapid.SampledFrom([]json.Number{"1", "0.5", "0.07"}).Draw(t, "multiple") })
		for _, bound := range []string{"minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties"} {
			maybe(bound, func() any { return size.Draw(t, bound) })
		}
		maybe("required", func() any { return []string{"a", "b"}[:size.Draw(t, "required")%3] })
		if depth == 0 {
			return s
		}
		sub := func() any { return schemaOf(depth-1).Draw(t, "sub") }
		for _, one := range []string{"items", "additionalProperties"} {
			maybe(one, sub)
		}
		maybe("uniqueItems", func() any {
			s["items"] = map[string]any{"type": rapid.SampledFrom([]string{"string", "number"}).Draw(t, "unique type")}
			return true
		})
		maybe("allOf", func() any { return []any{sub(), sub()} })
		maybe("properties", func() any { return map[string]any{"a": sub(), "b": sub()} })
		maybe("patternProperties", func() any { return map[string]any{"^x": sub(), "a": sub()} })
		if rapid.IntRange(0, 19).Draw(t, "not known") == 0 {
			for _, one := range []string{"not", "if", "then", "else", "contains"} {
				maybe(one, sub)
			}
		}
		for _, union := range []string{"anyOf", "oneOf"} {
			maybe(union, func() any { return unionOf(t, sub) })
		}
		return s
	})
}

// unionOf makes branches that a type, a tag or nothing tells apart.
func unionOf(t *rapid.T, sub func() any) []any {
	switch rapid.IntRange(0, 3).Draw(t, "union") {
	case 0:
		return []any{sub(), sub()}
	case 1:
		return []any{map[string]any{"type": "null"}, map[string]any{"type": "string", "maxLength": 1}, map[string]any{
			"type": "object", "properties": map[string]any{"a": sub()}}}
	}
	branch := func(tag any, field string) any {
		return map[string]any{"type": "object", "required": []string{"b"},
			"properties": map[string]any{"b": tag, field: sub()}}
	}
	return []any{branch(map[string]any{"const": "a"}, "a"), branch(map[string]any{"enum": []string{"abc", "b"}}, "x1"),
		map[string]any{"type": "null"}}
}

// SPDX-License-Identifier: Apache-2.0

package spec

import (
	"encoding/json"
	"testing"

	"pgregory.net/rapid"
)

// TestQuickAgreesWithTheValidator holds the short cut against the judge of validity.
func TestQuickAgreesWithTheValidator(t *testing.T) {
	verdicts := map[bool]int{}
	rapid.Check(t, func(t *rapid.T) {
		doc, _ := json.Marshal(schemaOf(3).Draw(t, "schema"))
		s, err := compile(doc)
		if err != nil {
			t.Fatalf("%s: %v", doc, err)
		}
		if !s.fast {
			t.Fatalf("%s is not plain", doc)
		}
		for range 5 {
			data := []byte(valueOf(3).Draw(t, "value"))
			want := s.root.Validate(decode(data)) == nil
			if got := quick(s.root, decode(data)); got != want {
				t.Fatalf("%s by %s: got valid=%v, want %v", data, doc, got, want)
			}
			verdicts[want]++
		}
	})
	if verdicts[true] < 20 || verdicts[false] < 20 {
		t.Errorf("too few of one kind: %v", verdicts)
	}
}

func TestNotEverySchemaIsPlain(t *testing.T) {
	for _, doc := range []string{`{"uniqueItems":true}`, `{"properties":{"a":{"multipleOf":3}}}`, `{"items":[{}]}`,
		`{"enum":[1]}`, `{"const":{}}`, `{"dependencies":{"a":["b"]}}`, `{"anyOf":[{"contains":{"type":"string"}}]}`,
		`{"propertyNames":{"maxLength":1}}`} {
		s, err := compile([]byte(doc))
		if err != nil {
			t.Fatal(err)
		}
		if s.fast {
			t.Errorf("%s counts as plain", doc)
		}
	}
}

// valueOf makes JSON out of few parts, so that values often meet schemas made of the same.
func valueOf(depth int) *rapid.Generator[string] {
	leaf := rapid.SampledFrom([]string{"0", "1", "2.5", "-3", "4.0", "1e2", "12345678901234567890", `""`, `"a"`,
		`"éa"`, `"abc"`, "true", "false", "null", `"2026-11-20"`, "{}", "[]"})
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
		for _, name := range []string{`"a"`, `"b"`, `"x1"`} {
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

// schemaOf makes a schema of plain keywords.
func schemaOf(depth int) *rapid.Generator[any] {
	number := rapid.SampledFrom([]json.Number{"-3", "0", "1", "2.5", "1e2"})
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
		maybe("type", func() any { return types.Draw(t, "type") })
		maybe("enum", func() any { return []any{"a", nil, true, "abc"}[size.Draw(t, "skip"):] })
		maybe("const", func() any { return rapid.SampledFrom([]any{"a", nil, true}).Draw(t, "const") })
		maybe("format", func() any { return rapid.SampledFrom([]string{"date", "int32", "decimal"}).Draw(t, "format") })
		maybe("pattern", func() any { return "^a" })
		for _, bound := range []string{"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"} {
			maybe(bound, func() any { return number.Draw(t, bound) })
		}
		for _, bound := range []string{"minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties"} {
			maybe(bound, func() any { return size.Draw(t, bound) })
		}
		maybe("required", func() any { return []string{"a", "b"}[:size.Draw(t, "required")%3] })
		if depth == 0 {
			return s
		}
		sub := func() any { return schemaOf(depth-1).Draw(t, "sub") }
		for _, one := range []string{"not", "if", "then", "else", "items", "additionalProperties"} {
			maybe(one, sub)
		}
		for _, several := range []string{"allOf", "anyOf", "oneOf"} {
			maybe(several, func() any { return []any{sub(), sub()} })
		}
		maybe("properties", func() any { return map[string]any{"a": sub(), "b": sub()} })
		maybe("patternProperties", func() any { return map[string]any{"^x": sub()} })
		return s
	})
}

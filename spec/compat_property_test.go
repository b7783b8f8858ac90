// SPDX-License-Identifier: Apache-2.0

package spec_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"pgregory.net/rapid"

	"github.com/autobus-io/autobus/spec"
)

// TestBackwardMeansOldDataIsValid makes schemas, changes them at random, and holds every change that the checker calls
// BACKWARD, under the strict policy, to its word: whatever the old schema accepts, the new one accepts, missing
// properties that have a default aside. Branches of oneOf carry a tag, as specs demand; of those that overlap nothing
// is promised.
func TestBackwardMeansOldDataIsValid(t *testing.T) {
	judged, kept := 0, map[spec.ChangeKind]int{}
	rapid.Check(t, func(t *rapid.T) {
		for range 30 {
			holdToItsWord(t, &judged, kept)
		}
	})
	if judged < 100 || len(kept) < 10 {
		t.Errorf("%d values, over %d kinds of change: that proves nothing", judged, len(kept))
	}
}

func holdToItsWord(t *rapid.T, judged *int, kept map[spec.ChangeKind]int) {
	older := anySchema(t, 3)
	newer := deepCopy(older)
	for range rapid.IntRange(1, 3).Draw(t, "mutations") {
		newer = mutate(t, newer, 3)
	}
	changes, err := spec.CompareSchemas(encode(older), encode(newer), spec.PolicyStrict)
	if err != nil {
		t.Fatalf("%v\n%s\n%s", err, encode(older), encode(newer))
	}
	if slices.ContainsFunc(changes, func(c spec.Change) bool { return !c.Kind.Compatible(spec.PolicyStrict) }) {
		return
	}
	old, next := compiled(t, older), compiled(t, forReaders(newer))
	for range 12 {
		v := valueFor(t, older, 4)
		if old.Validate(v) != nil {
			continue
		}
		*judged++
		for _, c := range changes {
			kept[c.Kind]++
		}
		if err := next.Validate(v); err != nil {
			t.Fatalf("%s is valid under\n%s\nand not under\n%s\nchanges %v: %v", encode(v), encode(older), encode(newer),
				changes, err)
		}
	}
}

func compiled(t *rapid.T, schema any) *jsonschema.Schema {
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft7)
	c.AssertFormat()
	if err := c.AddResource("test:///s.json", schema); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("test:///s.json")
	if err != nil {
		t.Fatalf("%v: %s", err, encode(schema))
	}
	return s
}

func encode(v any) []byte {
	raw, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return raw
}

// deepCopy gives numbers as the decoder does.
func deepCopy(v any) any {
	dec := json.NewDecoder(strings.NewReader(string(encode(v))))
	dec.UseNumber()
	var out any
	if err := dec.Decode(&out); err != nil {
		panic(err)
	}
	return out
}

// forReaders is a schema as its readers apply it: what has a default they fill in themselves.
func forReaders(schema any) any {
	switch s := schema.(type) {
	case []any:
		out := make([]any, len(s))
		for i, sub := range s {
			out[i] = forReaders(sub)
		}
		return out
	case map[string]any:
		out := map[string]any{}
		for word, sub := range s {
			out[word] = forReaders(sub)
		}
		properties, _ := s["properties"].(map[string]any)
		if required, ok := s["required"].([]any); ok {
			out["required"] = slices.DeleteFunc(slices.Clone(required), func(name any) bool {
				p, _ := properties[name.(string)].(map[string]any)
				return p["default"] != nil
			})
		}
		return out
	}
	return schema
}

func number(n int) json.Number { return json.Number(strconv.Itoa(n)) }

func pick[T any](t *rapid.T, from ...T) T { return rapid.SampledFrom(from).Draw(t, "pick") }

func flip(t *rapid.T, oneIn int) bool { return rapid.IntRange(1, oneIn).Draw(t, "flip") == 1 }

// anySchema makes a schema.
func anySchema(t *rapid.T, depth int) any {
	kinds := []string{"string", "integer", "number", "boolean", "enum", "any"}
	if depth > 0 {
		kinds = append(kinds, "object", "object", "array", "tuple", "union", "anyOf", "allOf", "types", "not", "nothing")
	}
	switch kind := pick(t, kinds...); kind {
	case "any":
		return pick[any](t, true, map[string]any{})
	case "nothing":
		return false
	case "enum":
		return map[string]any{"enum": []any{"a", "b", number(rapid.IntRange(0, 2).Draw(t, "n"))}}
	case "types":
		return map[string]any{"type": []any{"null", pick[any](t, "string", "integer")}}
	case "not":
		return map[string]any{"type": "string", "not": map[string]any{"maxLength": number(rapid.IntRange(0, 2).Draw(t, "n"))}}
	case "tuple":
		s := map[string]any{"type": "array", "items": []any{anySchema(t, 0), anySchema(t, 0)}}
		s["additionalItems"] = pick(t, any(false), any(true), anySchema(t, 0))
		return s
	case "union":
		return map[string]any{"oneOf": []any{tagged("x", anySchema(t, depth-1)), tagged("y", anySchema(t, depth-1))}}
	case "anyOf", "allOf":
		return map[string]any{kind: []any{anySchema(t, depth-1), anySchema(t, depth-1)}}
	case "object":
		return objectSchema(t, depth)
	case "array":
		return map[string]any{"type": "array", "items": anySchema(t, depth-1)}
	default:
		s := map[string]any{"type": kind}
		for range rapid.IntRange(0, 2).Draw(t, "keywords") {
			keyword(t, s)
		}
		return s
	}
}

func objectSchema(t *rapid.T, depth int) any {
	properties := map[string]any{}
	for _, name := range []string{"a", "ab", "b"} {
		if flip(t, 2) {
			properties[name] = anySchema(t, depth-1)
		}
	}
	s := map[string]any{"type": "object", "properties": properties}
	if flip(t, 2) {
		s["additionalProperties"] = pick(t, any(false), any(true), anySchema(t, 0))
	}
	if flip(t, 3) {
		s["patternProperties"] = map[string]any{pick(t, "^a", "b$"): anySchema(t, 0)}
	}
	if flip(t, 3) {
		s["required"] = []any{pick[any](t, "a", "b")}
	}
	if flip(t, 8) {
		delete(s, "type")
	}
	return s
}

func tagged(tag string, field any) any {
	return map[string]any{"type": "object", "required": []any{"tag"},
		"properties": map[string]any{"tag": map[string]any{"const": tag}, "f": field}}
}

// keyword sets, changes or drops a keyword that fits the type.
func keyword(t *rapid.T, s map[string]any) {
	words := map[any][]string{
		"string": {"minLength", "maxLength", "pattern", "format"}, "array": {"minItems", "maxItems", "uniqueItems"},
		"integer": {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"},
		"object":  {"minProperties", "maxProperties", "propertyNames", "dependencies"},
	}
	words["number"] = words["integer"]
	kind, _ := s["type"].(string)
	if len(words[kind]) == 0 {
		return
	}
	word := pick(t, words[kind]...)
	if _, ok := s[word]; ok && flip(t, 3) {
		delete(s, word)
		return
	}
	switch word {
	case "pattern":
		s[word] = pick[any](t, "^a", "b")
	case "format":
		s[word] = pick[any](t, "date", "ipv4")
	case "uniqueItems":
		s[word] = pick[any](t, true, false)
	case "propertyNames":
		s[word] = map[string]any{"maxLength": number(rapid.IntRange(0, 2).Draw(t, "n"))}
	case "dependencies":
		s[word] = map[string]any{"a": pick[any](t, []any{"b"}, map[string]any{"required": []any{"b"}})}
	case "multipleOf":
		s[word] = pick[any](t, number(1), number(2), number(4), json.Number("0.5"))
	default:
		s[word] = number(rapid.IntRange(0, 4).Draw(t, fmt.Sprint("value of ", word)))
	}
}

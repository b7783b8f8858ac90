// SPDX-License-Identifier: Apache-2.0

package spec_test

import (
	"encoding/json"
	"maps"
	"slices"

	"pgregory.net/rapid"
)

// mutate gives a schema with one change somewhere.
func mutate(t *rapid.T, schema any, depth int) any {
	s, ok := schema.(map[string]any)
	if !ok || flip(t, 12) {
		return anySchema(t, depth-1)
	}
	s = maps.Clone(s)
	choices := []string{"keyword", "keyword", "type", "wrap"}
	for _, below := range []string{"properties", "oneOf", "anyOf", "allOf", "items", "additionalProperties",
		"patternProperties", "enum", "not", "additionalItems"} {
		if _, ok := s[below]; ok {
			choices = append(choices, below, below)
		}
	}
	if s["type"] == "object" {
		choices = append(choices, "required", "additionalProperties", "patternProperties")
	}
	switch choice := pick(t, choices...); choice {
	case "keyword":
		keyword(t, s)
	case "type":
		switch s["type"] {
		case "integer":
			s["type"] = "number"
		case "string":
			s["type"] = []any{"string", "null"}
		default:
			delete(s, "type")
		}
	case "wrap":
		word := pick(t, "anyOf", "allOf", "oneOf")
		return map[string]any{word: []any{s}}
	case "properties", "patternProperties":
		named := clone(s[choice])
		names := map[string][]string{"properties": {"a", "ab", "b", "tag"}, "patternProperties": {"^a", "b$"}}
		name := pick(t, names[choice]...)
		switch child, ok := named[name]; {
		case ok && flip(t, 3):
			delete(named, name)
		case ok:
			named[name] = mutate(t, child, depth-1)
		case name != "tag":
			named[name] = anySchema(t, depth-2)
		}
		s[choice] = named
	case "required":
		s["required"] = pick[any](t, []any{"a"}, []any{"b"}, []any{})
		properties := clone(s["properties"])
		if p, ok := properties["a"].(map[string]any); ok && p["type"] == "string" && flip(t, 2) {
			p = maps.Clone(p)
			clear(p)
			p["type"], p["default"] = "string", "aa"
			properties["a"] = p
			s["properties"] = properties
		}
	case "additionalProperties", "additionalItems":
		s[choice] = pick(t, any(true), any(false), anySchema(t, 0))
	case "items", "not":
		if list, ok := s[choice].([]any); ok {
			s[choice] = mutateList(t, list, depth)
		} else {
			s[choice] = mutate(t, s[choice], depth-1)
		}
	case "oneOf", "anyOf", "allOf":
		list := s[choice].([]any)
		if choice == "oneOf" && flip(t, 3) {
			s[choice] = append(slices.Clone(list), tagged("z", anySchema(t, 0)))
		} else if choice == "oneOf" {
			list = slices.Clone(list)
			list[0] = tagged("x", anySchema(t, 0))
			s[choice] = list
		} else {
			s[choice] = mutateList(t, list, depth)
		}
		if flip(t, 4) {
			s["anyOf"] = s[choice]
			if choice != "anyOf" {
				delete(s, choice)
			}
		}
	case "enum":
		list := slices.Clone(s["enum"].([]any))
		if flip(t, 3) && len(list) > 1 {
			list = list[1:]
		} else if !slices.Contains(list, any("c")) {
			list = append(list, "c")
		}
		s["enum"] = list
	}
	return s
}

func mutateList(t *rapid.T, list []any, depth int) []any {
	list = slices.Clone(list)
	i := rapid.IntRange(0, len(list)-1).Draw(t, "branch")
	switch pick(t, "change", "change", "drop", "add", "swap") {
	case "change":
		list[i] = mutate(t, list[i], depth-1)
	case "drop":
		if len(list) > 1 {
			list = slices.Delete(list, i, i+1)
		}
	case "add":
		list = append(list, anySchema(t, 0))
	case "swap":
		list[0], list[i] = list[i], list[0]
	}
	return list
}

func clone(v any) map[string]any {
	m, _ := v.(map[string]any)
	out := maps.Clone(m)
	if out == nil {
		out = map[string]any{}
	}
	return out
}

// valueFor makes a value that has a chance to be valid.
func valueFor(t *rapid.T, schema any, depth int) any {
	s, _ := schema.(map[string]any)
	if values, ok := s["enum"].([]any); ok {
		return pick(t, values...)
	}
	if value, ok := s["const"]; ok {
		return value
	}
	for _, word := range []string{"oneOf", "anyOf", "allOf"} {
		if list, ok := s[word].([]any); ok && len(list) > 0 {
			return valueFor(t, pick(t, list...), depth)
		}
	}
	kind, _ := s["type"].(string)
	if list, ok := s["type"].([]any); ok {
		kind, _ = pick(t, list...).(string)
	}
	_, named := s["properties"]
	if kind == "" && named {
		kind = "object"
	}
	if kind == "" || flip(t, 15) {
		kind = pick(t, "string", "integer", "number", "null", "object", "array", "boolean")
	}
	switch kind {
	case "string":
		return pick(t, "", "a", "b", "ab", "abab", "2024-01-01", "1.2.3.4")
	case "integer":
		return number(rapid.IntRange(-1, 6).Draw(t, "integer"))
	case "number":
		return pick(t, json.Number("0.5"), json.Number("2.5"), number(2), number(4), json.Number("3.25"))
	case "boolean":
		return flip(t, 2)
	case "array":
		return arrayFor(t, s, depth)
	case "object":
		return objectFor(t, s, depth)
	}
	return nil
}

func arrayFor(t *rapid.T, s map[string]any, depth int) any {
	out := []any{}
	for i := range rapid.IntRange(0, 3).Draw(t, "length") {
		item := s["items"]
		if tuple, ok := item.([]any); ok && i < len(tuple) {
			item = tuple[i]
		} else if ok {
			item = s["additionalItems"]
		}
		out = append(out, valueFor(t, item, depth-1))
	}
	return out
}

func objectFor(t *rapid.T, s map[string]any, depth int) any {
	out := map[string]any{}
	if depth <= 0 {
		return out
	}
	properties, _ := s["properties"].(map[string]any)
	required, _ := s["required"].([]any)
	for _, name := range []string{"a", "ab", "b", "c", "f", "tag", "xb"} {
		p, declared := properties[name]
		if !declared {
			p = s["additionalProperties"]
			if patterns, ok := s["patternProperties"].(map[string]any); ok {
				for _, pattern := range patterns {
					p = pattern
				}
			}
		}
		if slices.Contains(required, any(name)) || declared && !flip(t, 3) || flip(t, 5) {
			out[name] = valueFor(t, p, depth-1)
		}
	}
	return out
}

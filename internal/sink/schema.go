// SPDX-License-Identifier: Apache-2.0

package sink

import (
	"bytes"
	"encoding/json"
	"maps"
	"math/big"
	"slices"
	"strings"
)

// facts are what a JSON Schema says of the values at one place of the data.
type facts struct {
	types     map[string]bool // integer, number, string, ...; empty = any; null is never among them
	low, high *big.Int        // of whole numbers; nil = no bound
	format    string
	maxLength int // of strings; 0 = no bound
}

// schemaDoc is a decoded schema that refers to nothing outside itself.
type schemaDoc struct {
	root any            // what references refer to
	from map[string]any // where pointers begin; nil = at the root
}

func newSchemaDoc(raw []byte) (*schemaDoc, error) {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	var s schemaDoc
	return &s, d.Decode(&s.root)
}

// maxNesting ends the walk through schemas that refer to themselves.
const maxNesting = 64

// at finds the schemas that judge the value at a JSON pointer. declared is false where no schema names the place.
func (s *schemaDoc) at(pointer string) (found []map[string]any, declared bool) {
	if found = s.inPlace(s.root, 0); s.from != nil {
		found = s.inPlace(s.from, 0)
	}
	for _, token := range tokens(pointer) {
		var next []map[string]any
		named, open := false, false
		for _, n := range found {
			for _, sub := range step(n, token) {
				named = true
				if b, ok := sub.(bool); ok {
					open = open || b
					continue
				}
				next = append(next, s.inPlace(sub, 0)...)
			}
		}
		if found = next; !named {
			return nil, false
		}
		if len(found) == 0 && open {
			return nil, true
		}
	}
	return found, true
}

// step gives the schemas of one member or item.
func step(n map[string]any, token string) (subs []any) {
	if properties, ok := n["properties"].(map[string]any); ok {
		if sub, ok := properties[token]; ok {
			return []any{sub}
		}
	}
	for _, key := range []string{"patternProperties", "additionalProperties"} {
		switch sub := n[key].(type) {
		case map[string]any:
			if key == "patternProperties" {
				for _, p := range slices.Sorted(maps.Keys(sub)) {
					subs = append(subs, sub[p])
				}
			} else {
				subs = append(subs, sub)
			}
		case bool:
			if sub {
				subs = append(subs, true)
			}
		}
	}
	if _, isItem := itemIndex(token); isItem {
		subs = append(subs, itemsOf(n)...)
	}
	return subs
}

func itemsOf(n map[string]any) []any {
	switch items := n["items"].(type) {
	case []any:
		return items
	case nil:
		return nil
	default:
		return []any{items}
	}
}

// inPlace lists a schema and all that judge the same value.
func (s *schemaDoc) inPlace(schema any, depth int) []map[string]any {
	n, ok := schema.(map[string]any)
	if !ok || depth > maxNesting {
		return nil
	}
	if ref, ok := n["$ref"].(string); ok { // what stands beside it does not count in draft 7
		return s.inPlace(s.resolve(ref), depth+1)
	}
	out := []map[string]any{n}
	for _, key := range []string{"allOf", "anyOf", "oneOf"} {
		subs, _ := n[key].([]any)
		for _, sub := range subs {
			out = append(out, s.inPlace(sub, depth+1)...)
		}
	}
	for _, key := range []string{"then", "else"} {
		out = append(out, s.inPlace(n[key], depth+1)...)
	}
	return out
}

func (s *schemaDoc) resolve(ref string) any {
	at := s.root
	for _, token := range tokens(strings.TrimPrefix(ref, "#")) {
		switch v := at.(type) {
		case map[string]any:
			at = v[token]
		case []any:
			i, ok := itemIndex(token)
			if !ok || i >= len(v) {
				return nil
			}
			at = v[i]
		default:
			return nil
		}
	}
	return at
}

// itemsSchema gives the schemas of the items of arrays, as one to look further into. References in it are resolved by
// s.
func (s *schemaDoc) itemsSchema(found []map[string]any) (*schemaDoc, bool) {
	var subs []any
	for _, n := range found {
		subs = append(subs, itemsOf(n)...)
	}
	if len(subs) == 0 {
		return nil, false
	}
	return &schemaDoc{root: s.root, from: map[string]any{"anyOf": subs}}, true
}

// factsOf sums up schemas of one value. Each may apply, so a bound counts only if none is without it.
func factsOf(found []map[string]any) facts {
	f := facts{types: map[string]bool{}}
	var said []map[string]any
	for _, n := range found {
		if typesOf(n) != nil || n["format"] != nil || n["enum"] != nil || n["const"] != nil || n["minimum"] != nil ||
			n["maximum"] != nil || n["maxLength"] != nil {
			said = append(said, n)
		}
	}
	for i, n := range said {
		one := factsOfOne(n)
		if i == 0 {
			f = one
			continue
		}
		maps.Copy(f.types, one.types)
		f.low, f.high = outer(f.low, one.low, -1), outer(f.high, one.high, 1)
		if f.format != one.format {
			f.format = ""
		}
		if f.maxLength == 0 || one.maxLength == 0 {
			f.maxLength = 0
		}
		f.maxLength = max(f.maxLength, one.maxLength)
	}
	return f
}

// outer is the bound that is further out; nil is furthest.
func outer(a, b *big.Int, sign int) *big.Int {
	if a == nil || b == nil {
		return nil
	}
	if a.Cmp(b) == sign {
		return a
	}
	return b
}

func factsOfOne(n map[string]any) facts {
	f := facts{types: map[string]bool{}, low: bound(n, "minimum", "exclusiveMinimum", 1),
		high: bound(n, "maximum", "exclusiveMaximum", -1)}
	for _, t := range typesOf(n) {
		f.types[t] = true
	}
	f.format, _ = n["format"].(string)
	switch f.format {
	case "int32":
		f.within(31)
	case "int64":
		f.within(63)
	}
	if m, ok := n["maxLength"].(json.Number); ok {
		length, _ := m.Int64()
		f.maxLength = int(length)
	}
	values, _ := n["enum"].([]any)
	if c, ok := n["const"]; ok {
		values = append(values, c)
	}
	f.enumerate(values)
	return f
}

// within narrows the bounds to integers of so many bits.
func (f *facts) within(bits uint) {
	limit := new(big.Int).Lsh(big.NewInt(1), bits)
	low, high := new(big.Int).Neg(limit), new(big.Int).Sub(limit, big.NewInt(1))
	if f.low == nil || f.low.Cmp(low) < 0 {
		f.low = low
	}
	if f.high == nil || f.high.Cmp(high) > 0 {
		f.high = high
	}
}

// enumerate takes bounds and, where no type is said, types from listed values.
func (f *facts) enumerate(values []any) {
	said := len(f.types) > 0
	for _, v := range values {
		t := ""
		switch v := v.(type) {
		case string:
			t = "string"
			f.maxLength = max(f.maxLength, len([]rune(v)))
		case bool:
			t = "boolean"
		case json.Number:
			t = "number"
			if i, ok := new(big.Int).SetString(v.String(), 10); ok {
				t = "integer"
				if f.low == nil || f.low.Cmp(i) > 0 {
					f.low = i
				}
				if f.high == nil || f.high.Cmp(i) < 0 {
					f.high = i
				}
			}
		case nil:
			continue
		case []any:
			t = "array"
		default:
			t = "object"
		}
		if !said {
			f.types[t] = true
		}
	}
}

func typesOf(n map[string]any) (out []string) {
	add := func(v any) {
		if t, ok := v.(string); ok && t != "null" {
			out = append(out, t)
		}
	}
	switch t := n["type"].(type) {
	case []any:
		for _, v := range t {
			add(v)
		}
	default:
		add(t)
	}
	return out
}

// bound reads a bound of whole numbers: the smallest, or largest, that may come.
func bound(n map[string]any, closed, open string, inwards int64) *big.Int {
	for _, key := range []string{closed, open} {
		text, ok := n[key].(json.Number)
		if !ok {
			continue
		}
		r, ok := new(big.Rat).SetString(text.String())
		if !ok {
			continue
		}
		i := new(big.Int).Div(r.Num(), r.Denom()) // rounds down
		if !r.IsInt() && inwards > 0 {
			i.Add(i, big.NewInt(1))
		}
		if r.IsInt() && key == open {
			i.Add(i, big.NewInt(inwards))
		}
		return i
	}
	return nil
}

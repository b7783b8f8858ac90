// SPDX-License-Identifier: Apache-2.0

package spec

import (
	"encoding/json"
	"math/big"
	"regexp/syntax"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// Example returns data that Check and Key accept: the spec's first example, else one made from the schema. For a
// schema whose rules are too intricate to make data for it returns false.
func (t *Type) Example() (json.RawMessage, bool) {
	if len(t.Examples) > 0 {
		return t.Examples[0], true
	}
	if t.schema == nil {
		return nil, false
	}
	for _, optional := range []bool{true, false} {
		m := maker{optional: optional, left: maxExampleValues}
		raw, err := json.Marshal(m.value(t.schema.root, 0))
		if err != nil || t.Check(raw) != nil {
			continue
		}
		if _, missing := t.Key(raw); missing == nil {
			return raw, true
		}
	}
	return nil, false
}

// What ends recursive schemas.
const (
	maxExampleDepth  = 8
	maxExampleValues = 2000
)

// maker makes plausible data; whether it is valid is for Check to say.
type maker struct {
	optional bool // fields that are not required too
	left     int  // values it may still make
}

func (m *maker) value(s *jsonschema.Schema, depth int) any {
	for s.Ref != nil {
		s = s.Ref
	}
	m.left--
	switch {
	case s.Const != nil:
		return *s.Const
	case s.Enum != nil && len(s.Enum.Values) > 0:
		return s.Enum.Values[0]
	case len(s.Examples) > 0:
		return s.Examples[0]
	case s.Default != nil:
		return *s.Default
	case depth > maxExampleDepth || m.left < 0:
		return nil
	case s.Types == nil && s.Properties == nil && len(s.AllOf) == 0:
		if branches := append(append([]*jsonschema.Schema{}, s.OneOf...), s.AnyOf...); len(branches) > 0 {
			return m.value(branches[0], depth+1)
		}
	}
	switch kind := mainType(s); kind {
	case "array":
		return m.items(s, depth)
	case "string":
		return text(s)
	case "integer", "number":
		return number(s)
	case "boolean":
		return true
	case "null":
		return nil
	}
	obj := map[string]any{}
	m.fields(obj, s, depth)
	return obj
}

func mainType(s *jsonschema.Schema) string {
	if s.Types == nil {
		return "object"
	}
	for _, kind := range s.Types.ToStrings() {
		if kind != "null" {
			return kind
		}
	}
	return "null"
}

// fields makes the fields of an object, those of its first branches too.
func (m *maker) fields(obj map[string]any, s *jsonschema.Schema, depth int) {
	for s.Ref != nil {
		s = s.Ref
	}
	required := map[string]bool{}
	for _, name := range s.Required {
		required[name] = true
	}
	for name, sub := range s.Properties {
		if required[name] || m.optional && depth < maxExampleDepth/2 {
			obj[name] = m.value(sub, depth+1)
		}
	}
	for _, sub := range s.AllOf {
		m.fields(obj, sub, depth+1)
	}
	if len(s.OneOf) > 0 {
		m.fields(obj, s.OneOf[0], depth+1)
	}
	if len(s.AnyOf) > 0 {
		m.fields(obj, s.AnyOf[0], depth+1)
	}
}

func (m *maker) items(s *jsonschema.Schema, depth int) any {
	arr := []any{}
	n := 1
	if s.MinItems != nil {
		n = min(*s.MinItems, 100)
	} else if !m.optional {
		n = 0
	}
	switch items := s.Items.(type) {
	case *jsonschema.Schema:
		for range n {
			arr = append(arr, m.value(items, depth+1))
		}
	case []*jsonschema.Schema:
		for _, item := range items {
			arr = append(arr, m.value(item, depth+1))
		}
	}
	return arr
}

// text makes a string of the format, pattern and length asked for.
func text(s *jsonschema.Schema) string {
	if s.Format != nil {
		if v := formatted(s.Format.Name); v != "" {
			return v
		}
	}
	if s.Pattern != nil {
		if re, err := syntax.Parse(s.Pattern.String(), syntax.Perl); err == nil {
			return sample(re)
		}
	}
	v := "text"
	if s.MinLength != nil && len(v) < *s.MinLength {
		v = strings.Repeat("x", min(*s.MinLength, 10_000))
	}
	if s.MaxLength != nil && len(v) > *s.MaxLength {
		v = v[:*s.MaxLength]
	}
	return v
}

func formatted(format string) string {
	switch format {
	case "date-time":
		return "2026-01-31T12:00:00Z"
	case "date":
		return "2026-01-31"
	case "time":
		return "12:00:00Z"
	case "duration":
		return "PT1H"
	case "email":
		return "someone@example.com"
	case "hostname":
		return "example.com"
	case "ipv4":
		return "192.0.2.1"
	case "ipv6":
		return "2001:db8::1"
	case "uri", "iri", "uri-reference", "iri-reference":
		return "https://example.com/"
	case "uuid":
		return "0190e2d8-7c3a-7c3a-8c3a-0190e2d87c3a"
	case "decimal":
		return "10.50"
	}
	return ""
}

// sample makes a string that a simple pattern matches.
func sample(re *syntax.Regexp) string {
	var b strings.Builder
	switch re.Op {
	case syntax.OpLiteral:
		b.WriteString(string(re.Rune))
	case syntax.OpCharClass:
		if len(re.Rune) > 0 {
			b.WriteRune(printable(re.Rune))
		}
	case syntax.OpAnyChar, syntax.OpAnyCharNotNL:
		b.WriteByte('x')
	case syntax.OpCapture, syntax.OpPlus:
		return sample(re.Sub[0])
	case syntax.OpAlternate:
		return sample(re.Sub[0])
	case syntax.OpConcat:
		for _, sub := range re.Sub {
			b.WriteString(sample(sub))
		}
	case syntax.OpRepeat:
		b.WriteString(strings.Repeat(sample(re.Sub[0]), re.Min))
	}
	return b.String()
}

// printable chooses a rune of a class, given as pairs of bounds: a letter or digit if there is one.
func printable(class []rune) rune {
	for _, want := range "aA1" {
		for i := 0; i+1 < len(class); i += 2 {
			if class[i] <= want && want <= class[i+1] {
				return want
			}
		}
	}
	return class[0]
}

// number makes a number within the bounds asked for.
func number(s *jsonschema.Schema) any {
	n := big.NewRat(1, 1)
	if s.Minimum != nil && n.Cmp(s.Minimum) < 0 {
		n.Set(s.Minimum)
	}
	if s.ExclusiveMinimum != nil && n.Cmp(s.ExclusiveMinimum) <= 0 {
		n.Add(s.ExclusiveMinimum, big.NewRat(1, 1))
	}
	if s.Maximum != nil && n.Cmp(s.Maximum) > 0 {
		n.Set(s.Maximum)
	}
	if s.ExclusiveMaximum != nil && n.Cmp(s.ExclusiveMaximum) >= 0 {
		n.Sub(s.ExclusiveMaximum, big.NewRat(1, 1))
	}
	if s.MultipleOf != nil {
		n.Set(s.MultipleOf)
	}
	if n.IsInt() {
		return json.Number(n.Num().String())
	}
	return json.Number(strings.TrimRight(n.FloatString(6), "0"))
}

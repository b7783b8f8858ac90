// SPDX-License-Identifier: Apache-2.0

package spec

import (
	"encoding/json"

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

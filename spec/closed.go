// SPDX-License-Identifier: Apache-2.0

package spec

import (
	"slices"
	"strconv"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/autobus-io/autobus"
)

// closeWriters adds a fault for each field of v that no applicable schema declares. What applies is decided as
// unevaluatedProperties would: through $ref and allOf always, of anyOf and oneOf the branches that match, of if the
// side taken. An object for which no applicable schema declares any field at all is free-form.
//
// Where v is invalid and no branch matches, all branches count, so that one mistake is not told as many.
func closeWriters(faults []autobus.Fault, s *jsonschema.Schema, v any) []autobus.Fault {
	c := closer{faults: faults}
	c.walk(v, []*jsonschema.Schema{s})
	return c.faults
}

type closer struct {
	path   []string
	faults []autobus.Fault
}

// walk judges v, for which all of schemas apply.
func (c *closer) walk(v any, schemas []*jsonschema.Schema) {
	var room [6]*jsonschema.Schema
	switch v := v.(type) {
	case map[string]any:
		flat := applicable(room[:0], schemas, v)
		if !slices.ContainsFunc(flat, declaresFields) {
			return
		}
		for name, value := range v {
			c.field(flat, name, value)
		}
	case []any:
		flat := applicable(room[:0], schemas, v)
		for i, item := range v {
			var sub [6]*jsonschema.Schema
			if ofItem := itemSchemas(sub[:0], flat, i, item); len(ofItem) > 0 {
				c.path = append(c.path, strconv.Itoa(i))
				c.walk(item, ofItem)
				c.path = c.path[:len(c.path)-1]
			}
		}
	}
}

func (c *closer) field(flat []*jsonschema.Schema, name string, value any) {
	var room [6]*jsonschema.Schema
	subs, declared := fieldSchemas(room[:0], flat, name)
	if !declared {
		c.faults = append(c.faults, undeclared(append(c.path, name)))
		return
	}
	switch value.(type) {
	case map[string]any, []any:
		c.path = append(c.path, name)
		c.walk(value, subs)
		c.path = c.path[:len(c.path)-1]
	}
}

func declaresFields(s *jsonschema.Schema) bool {
	return s.Properties != nil || s.PatternProperties != nil || s.AdditionalProperties != nil
}

// fieldSchemas appends what the schemas say of one field, and whether any declares it.
func fieldSchemas(subs, flat []*jsonschema.Schema, name string) (all []*jsonschema.Schema, declared bool) {
	for _, s := range flat {
		known := false
		if sub := s.Properties[name]; sub != nil {
			subs, known = append(subs, sub), true
		}
		for re, sub := range s.PatternProperties {
			if re.MatchString(name) {
				subs, known = append(subs, sub), true
			}
		}
		if !known && s.AdditionalProperties != nil {
			known = true // "additionalProperties: false" was the validator's to refuse
			if sub, ok := s.AdditionalProperties.(*jsonschema.Schema); ok {
				subs = append(subs, sub)
			}
		}
		declared = declared || known
	}
	return subs, declared
}

// itemSchemas appends what the schemas say of one item.
func itemSchemas(subs, flat []*jsonschema.Schema, i int, item any) []*jsonschema.Schema {
	for _, s := range flat {
		switch items := s.Items.(type) {
		case *jsonschema.Schema:
			subs = append(subs, items)
		case []*jsonschema.Schema:
			if i < len(items) {
				subs = append(subs, items[i])
			} else if sub, ok := s.AdditionalItems.(*jsonschema.Schema); ok {
				subs = append(subs, sub)
			}
		}
		if s.Contains != nil && matches(s.Contains, item) {
			subs = append(subs, s.Contains)
		}
	}
	return subs
}

// applicable appends the schemas and all that they apply to v itself.
func applicable(flat, schemas []*jsonschema.Schema, v any) []*jsonschema.Schema {
	for _, s := range schemas {
		flat = applicableOf(flat, s, v)
	}
	return flat
}

func applicableOf(flat []*jsonschema.Schema, s *jsonschema.Schema, v any) []*jsonschema.Schema {
	if s.Ref != nil { // in draft-07 nothing counts beside $ref
		return applicableOf(flat, s.Ref, v)
	}
	flat = append(flat, s)
	flat = applicable(flat, s.AllOf, v)
	flat = matching(flat, s.AnyOf, v)
	flat = matching(flat, s.OneOf, v)
	if s.If != nil {
		side := s.Else
		if matches(s.If, v) {
			flat, side = applicableOf(flat, s.If, v), s.Then
		}
		if side != nil {
			flat = applicableOf(flat, side, v)
		}
	}
	if obj, ok := v.(map[string]any); ok {
		for name, d := range s.Dependencies {
			if sub, ok := d.(*jsonschema.Schema); ok && has(obj, name) {
				flat = applicableOf(flat, sub, v)
			}
		}
	}
	return flat
}

func matching(flat, branches []*jsonschema.Schema, v any) []*jsonschema.Schema {
	before := len(flat)
	for _, b := range branches {
		if matches(b, v) {
			flat = applicableOf(flat, b, v)
		}
	}
	if len(flat) == before {
		flat = applicable(flat, branches, v)
	}
	return flat
}

func matches(s *jsonschema.Schema, v any) bool { return s.Validate(v) == nil }

func has(obj map[string]any, name string) bool {
	_, ok := obj[name]
	return ok
}

// declares reports whether some data that s accepts can have a field at the steps of a pointer.
func (s *schema) declares(steps []string) bool {
	all := []*jsonschema.Schema{s.root}
	for _, step := range steps {
		flat := branches(nil, all)
		if !slices.ContainsFunc(flat, declaresFields) {
			_, isItem := itemIndex(step)
			if all = itemSchemas(nil, flat, 0, nil); isItem && len(all) > 0 {
				continue
			}
			return true // free-form
		}
		var declared bool
		if all, declared = fieldSchemas(nil, flat, step); !declared {
			return false
		}
	}
	return true
}

// branches appends the schemas and all that they could apply to the same value.
func branches(flat, schemas []*jsonschema.Schema) []*jsonschema.Schema {
	for _, s := range schemas {
		flat = branches(append(flat, s), inPlace(s))
	}
	return flat
}

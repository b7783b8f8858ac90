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
func (s *schema) closeWriters(faults []autobus.Fault, v any) []autobus.Fault {
	c := closer{s: s, faults: faults}
	c.walk(v, []*jsonschema.Schema{s.root})
	return c.faults
}

type closer struct {
	s      *schema
	path   []string
	stack  []*jsonschema.Schema // what applies to the values on the way, the innermost last
	faults []autobus.Fault
}

// walk judges v, for which all of schemas apply.
func (c *closer) walk(v any, schemas []*jsonschema.Schema) {
	base := len(c.stack)
	switch v := v.(type) {
	case map[string]any:
		c.stack = c.applicable(c.stack, schemas, v)
		if flat := c.stack[base:]; slices.ContainsFunc(flat, declaresFields) {
			for name, value := range v {
				c.field(flat, name, value)
			}
		}
	case []any:
		c.stack = c.applicable(c.stack, schemas, v)
		flat := c.stack[base:]
		for i, item := range v {
			if isContainer(item) {
				c.item(flat, i, item)
			}
		}
	}
	c.stack = c.stack[:base]
}

func (c *closer) field(flat []*jsonschema.Schema, name string, value any) {
	base := len(c.stack)
	subs, declared := appendFieldSchemas(c.stack, flat, name)
	switch {
	case !declared:
		c.faults = append(c.faults, undeclared(append(c.path, name)))
	case isContainer(value):
		c.stack = subs
		c.path = append(c.path, name)
		c.walk(value, subs[base:])
		c.path = c.path[:len(c.path)-1]
		c.stack = c.stack[:base]
	}
}

func (c *closer) item(flat []*jsonschema.Schema, i int, item any) {
	base := len(c.stack)
	c.stack = c.appendItemSchemas(c.stack, flat, i, item)
	if subs := c.stack[base:]; len(subs) > 0 {
		c.path = append(c.path, strconv.Itoa(i))
		c.walk(item, subs)
		c.path = c.path[:len(c.path)-1]
	}
	c.stack = c.stack[:base]
}

func isContainer(v any) bool {
	switch v.(type) {
	case map[string]any, []any:
		return true
	}
	return false
}

func declaresFields(s *jsonschema.Schema) bool {
	return s.Properties != nil || s.PatternProperties != nil || s.AdditionalProperties != nil
}

// appendFieldSchemas appends what the schemas say of one field, and tells whether any declares it.
func appendFieldSchemas(subs, flat []*jsonschema.Schema, name string) (all []*jsonschema.Schema, declared bool) {
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

// appendItemSchemas appends what the schemas say of one item.
func (c *closer) appendItemSchemas(subs, flat []*jsonschema.Schema, i int, item any) []*jsonschema.Schema {
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
		if s.Contains != nil && s.Contains.Validate(item) == nil {
			subs = append(subs, s.Contains)
		}
	}
	return subs
}

// applicable appends the schemas and all that they apply to v itself.
func (c *closer) applicable(flat, schemas []*jsonschema.Schema, v any) []*jsonschema.Schema {
	for _, s := range schemas {
		flat = c.applicableOf(flat, s, v)
	}
	return flat
}

func (c *closer) applicableOf(flat []*jsonschema.Schema, s *jsonschema.Schema, v any) []*jsonschema.Schema {
	if s.Ref != nil { // in draft-07 nothing counts beside $ref
		return c.applicableOf(flat, s.Ref, v)
	}
	flat = append(flat, s)
	flat = c.applicable(flat, s.AllOf, v)
	flat = c.matching(flat, s.AnyOf, v)
	flat = c.matching(flat, s.OneOf, v)
	if s.If != nil {
		side := s.Else
		if s.If.Validate(v) == nil {
			flat, side = c.applicableOf(flat, s.If, v), s.Then
		}
		if side != nil {
			flat = c.applicableOf(flat, side, v)
		}
	}
	if obj, ok := v.(map[string]any); ok {
		for name, d := range s.Dependencies {
			if sub, ok := d.(*jsonschema.Schema); ok && has(obj, name) {
				flat = c.applicableOf(flat, sub, v)
			}
		}
	}
	return flat
}

func (c *closer) matching(flat, branches []*jsonschema.Schema, v any) []*jsonschema.Schema {
	before := len(flat)
	for _, b := range branches {
		if b.Validate(v) == nil {
			flat = c.applicableOf(flat, b, v)
		}
	}
	if len(flat) == before {
		flat = c.applicable(flat, branches, v)
	}
	return flat
}

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
			if all = (&closer{s: s}).appendItemSchemas(nil, flat, 0, nil); isItem && len(all) > 0 {
				continue
			}
			return true // free-form
		}
		var declared bool
		if all, declared = appendFieldSchemas(nil, flat, step); !declared {
			return false
		}
	}
	return true
}

// mayDeclare is declares for a schema that cannot be compiled: it is false only where nothing that is still to be
// mended could bring the field.
func (r *parser) mayDeclare(schema place, field []string) bool {
	schema, err := r.resolve(schema)
	if err != nil || schema.node == nil || schema.node.form != object || len(field) == 0 {
		return true
	}
	for _, elsewhere := range []string{"allOf", "anyOf", "oneOf", "if", "dependencies", "patternProperties",
		"additionalProperties", "items"} {
		if schema.node.get(elsewhere) != nil {
			return true
		}
	}
	properties := schema.child("properties")
	if properties.node == nil || properties.node.form != object {
		return true
	}
	property := properties.child(field[0])
	return property.node != nil && r.mayDeclare(property, field[1:])
}

// branches appends the schemas and all that they could apply to the same value.
func branches(flat, schemas []*jsonschema.Schema) []*jsonschema.Schema {
	for _, s := range schemas {
		flat = branches(append(flat, s), inPlace(s))
	}
	return flat
}

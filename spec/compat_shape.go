// SPDX-License-Identifier: Apache-2.0

package spec

import (
	"maps"
	"math/big"
	"slices"
	"strconv"
)

// shape is a schema in the form in which it is compared. A schema that says things of several forms, such as a string
// that is also one of a list, is combined from them as by allOf.
type shape struct {
	form    shapeForm
	words   map[string]any // the schema's keywords as written; nil of true and false
	notes   bool           // its title, description, default and id are compared
	typed   bool           // the type keyword says so, else other values pass
	integer bool           // of numbers

	numbers map[string]*big.Rat // of numbers: their bounds, in the words of draft-07

	// Of objects: schemas by name, by pattern, and by the property that asks for them; required properties by the
	// property that asks for them.
	properties, patterns, dependent map[string]*shape
	requires                        map[string][]string

	rest, unevaluated *shape // of objects and arrays: what is not named; nil = anything

	prefix     []*shape // of arrays
	items      *shape   // of arrays without prefix
	contains   *shape
	nameShape  *shape // of objects: propertyNames
	values     []any  // of enumerations
	valuesWord string // enum or const

	by        string // of combinations: allOf, anyOf or oneOf
	subs      []*shape
	distinct  []branch // subs, each once; made when it is needed
	word      string   // of combinations: the keyword that makes it one, "" where several forms do
	role      string   // of parts of such a one: what makes them different
	inner     *shape   // of not and if
	then, els *shape
}

type shapeForm string

const (
	formAny     shapeForm = "" // true and {}
	formNever   shapeForm = "nothing"
	formString  shapeForm = "string"
	formNumber  shapeForm = "number"
	formBoolean shapeForm = "boolean"
	formNull    shapeForm = "null"
	formObject  shapeForm = "object"
	formArray   shapeForm = "array"
	formValues  shapeForm = "values"
	formMany    shapeForm = "combination"
	formNot     shapeForm = "not"
	formIf      shapeForm = "if"
)

// hints are the keywords by which a schema without type says what it is about.
var hints = []struct {
	form  shapeForm
	words []string
}{
	{formObject, []string{"properties", "required", "additionalProperties", "minProperties", "maxProperties",
		"patternProperties", "dependencies", "dependentRequired", "dependentSchemas", "propertyNames",
		"unevaluatedProperties"}},
	{formArray, []string{"items", "prefixItems", "additionalItems", "minItems", "maxItems", "uniqueItems", "contains",
		"unevaluatedItems"}},
	{formNumber, []string{"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"}},
	{formString, []string{"minLength", "maxLength", "pattern", "format", "contentEncoding", "contentMediaType"}},
}

// shape gives the shape of the schema v that stands at a place.
func (d *schemaDocument) shape(at string, v any) *shape {
	if s := d.shapes[at]; s != nil {
		return s
	}
	switch v := v.(type) {
	case bool:
		s := &shape{}
		if !v {
			s.form = formNever
		}
		d.shapes[at] = s
		return s
	case map[string]any:
		for _, word := range []string{"$ref", "$dynamicRef", "$recursiveRef"} {
			ref, ok := v[word].(string)
			if !ok {
				continue
			}
			if d.refAlone {
				return d.follow(at, ref)
			}
			d.checkForms(at, v)
			s := &shape{words: v}
			d.shapes[at] = s
			d.parts(s, at, v)
			to := d.follow(at, ref)
			if len(s.subs) == 0 {
				d.shapes[at] = to
				return to
			}
			s.form, s.by, s.notes = formMany, "allOf", true
			s.subs = append(s.subs, to)
			return s
		}
		d.checkForms(at, v)
		s := &shape{words: v}
		d.shapes[at] = s
		d.parts(s, at, v)
		switch len(s.subs) {
		case 0:
			s.form = formAny
		case 1:
			*s = *s.subs[0]
		default:
			s.form, s.by = formMany, "allOf"
		}
		s.notes = true
		return s
	}
	return d.fail(at, "a schema must be an object, true or false")
}

// parts reads each form that the schema has into a part of s.
func (d *schemaDocument) parts(s *shape, at string, m map[string]any) {
	add := func(part *shape, role string) {
		part.words, part.role = m, role
		s.subs = append(s.subs, part)
	}
	switch t := m["type"].(type) {
	case string:
		if part := d.typed(t, at, m); part != nil {
			add(part, "type")
		}
	case []any:
		sum := &shape{form: formMany, by: "anyOf", word: "type"}
		for _, name := range t {
			name, _ := name.(string)
			if part := d.typed(name, at, m); part != nil {
				part.words = m
				sum.subs = append(sum.subs, part)
			}
		}
		add(sum, "type")
	default:
		for _, h := range hints {
			if slices.ContainsFunc(h.words, func(w string) bool { return m[w] != nil }) && m["type"] == nil {
				form := h.form
				if format, _ := m["format"].(string); form == formString && (format == "int32" || format == "int64") {
					form = formNumber
				}
				part := &shape{form: form}
				d.fill(part, at, m)
				add(part, string(h.form))
			}
		}
	}
	if values, ok := m["enum"].([]any); ok {
		add(&shape{form: formValues, values: values, valuesWord: "enum"}, "values")
	}
	if value, ok := m["const"]; ok {
		add(&shape{form: formValues, values: []any{value}, valuesWord: "const"}, "values")
	}
	for _, word := range []string{"allOf", "anyOf", "oneOf"} {
		if list, ok := m[word].([]any); ok {
			part := &shape{form: formMany, by: word, word: word}
			for i, sub := range list {
				part.subs = append(part.subs, d.shape(at+"/"+word+"/"+strconv.Itoa(i), sub))
			}
			add(part, word)
		}
	}
	if not, ok := m["not"]; ok {
		add(&shape{form: formNot, inner: d.shape(at+"/not", not)}, "not")
	}
	if cond, ok := m["if"]; ok && (m["then"] != nil || m["else"] != nil) {
		add(&shape{form: formIf, inner: d.shape(at+"/if", cond), then: d.under(at, m, "then"),
			els: d.under(at, m, "else")}, "if")
	}
}

// typed gives what a schema says of values of one type, nil for a type that JSON Schema does not know.
func (d *schemaDocument) typed(name, at string, m map[string]any) *shape {
	s := &shape{form: shapeForm(name), typed: true}
	switch name {
	case "integer":
		s.form, s.integer = formNumber, true
	case "string", "number", "boolean", "null", "object", "array":
	default:
		return nil
	}
	d.fill(s, at, m)
	return s
}

func (d *schemaDocument) fill(s *shape, at string, m map[string]any) {
	switch s.form {
	case formNumber:
		s.numbers = bounds(m)
	case formObject:
		s.properties = d.named(at, m, "properties")
		s.patterns = d.named(at, m, "patternProperties")
		s.rest, s.unevaluated = d.under(at, m, "additionalProperties"), d.under(at, m, "unevaluatedProperties")
		s.nameShape = d.under(at, m, "propertyNames")
		d.dependencies(s, at, m)
	case formArray:
		d.items(s, at, m)
	default:
	}
}

// under gives the shape of the schema that a keyword holds, nil when there is none.
func (d *schemaDocument) under(at string, m map[string]any, word string) *shape {
	v, ok := m[word]
	if !ok {
		return nil
	}
	return d.shape(at+"/"+word, v)
}

func (d *schemaDocument) named(at string, m map[string]any, word string) map[string]*shape {
	from, _ := m[word].(map[string]any)
	out := make(map[string]*shape, len(from))
	for _, name := range slices.Sorted(maps.Keys(from)) {
		out[name] = d.shape(at+"/"+word+string(appendToken(nil, name)), from[name])
	}
	return out
}

// dependencies reads what draft-07 has in one keyword and later drafts in two.
func (d *schemaDocument) dependencies(s *shape, at string, m map[string]any) {
	s.requires, s.dependent = map[string][]string{}, d.named(at, m, "dependentSchemas")
	required, _ := m["dependentRequired"].(map[string]any)
	for name, list := range required {
		s.requires[name] = stringsOf(list)
	}
	either, _ := m["dependencies"].(map[string]any)
	for _, name := range slices.Sorted(maps.Keys(either)) {
		if list, ok := either[name].([]any); ok {
			s.requires[name] = stringsOf(list)
		} else {
			s.dependent[name] = d.shape(at+"/dependencies"+string(appendToken(nil, name)), either[name])
		}
	}
}

// items reads tuples of all drafts: items and additionalItems, or prefixItems and items.
func (d *schemaDocument) items(s *shape, at string, m map[string]any) {
	word, restWord := "items", "additionalItems"
	if _, ok := m["prefixItems"].([]any); ok {
		word, restWord = "prefixItems", "items"
	}
	if list, ok := m[word].([]any); ok {
		for i, v := range list {
			s.prefix = append(s.prefix, d.shape(at+"/"+word+"/"+strconv.Itoa(i), v))
		}
	} else {
		s.items = d.under(at, m, word)
	}
	s.rest, s.unevaluated = d.under(at, m, restWord), d.under(at, m, "unevaluatedItems")
	s.contains = d.under(at, m, "contains")
}

func stringsOf(v any) []string {
	list, _ := v.([]any)
	var out []string
	for _, item := range list {
		if s, ok := item.(string); ok {
			out = append(out, s)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// bounds reads the limits of numbers. In draft-04 exclusiveMinimum: true makes minimum an exclusive one.
func bounds(m map[string]any) map[string]*big.Rat {
	out := map[string]*big.Rat{}
	for _, word := range []string{"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"} {
		if r := ratOf(m[word]); r != nil {
			out[word] = r
		}
	}
	for exclusive, inclusive := range map[string]string{"exclusiveMinimum": "minimum", "exclusiveMaximum": "maximum"} {
		if m[exclusive] == true && out[inclusive] != nil {
			out[exclusive] = out[inclusive]
			delete(out, inclusive)
		}
	}
	return out
}

// SPDX-License-Identifier: Apache-2.0

package spec

import (
	"encoding/json"
	"slices"
)

// typeNames are the types that JSON Schema knows.
var typeNames = []string{"string", "integer", "number", "boolean", "null", "object", "array"}

// keywordForms says in which form a keyword is compared. In another one it would be passed over, as if it were not
// there: a slip such as "type": "strin" would accept everything.
var keywordForms = []struct {
	want  string
	words []string
	ok    func(v any) bool
}{
	{"text", []string{"$ref", "$dynamicRef", "$recursiveRef"}, isText},
	{"a list", []string{"enum", "allOf", "anyOf", "oneOf"}, func(v any) bool { _, ok := v.([]any); return ok }},
	{"an object", []string{"properties", "patternProperties", "dependencies", "dependentRequired", "dependentSchemas"},
		func(v any) bool { _, ok := v.(map[string]any); return ok }},
	{"a list of names", []string{"required"}, isNames},
	{"a number", []string{"minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties",
		"minContains", "maxContains", "minimum", "maximum", "multipleOf"}, isNumber},
	{"a number", []string{"exclusiveMinimum", "exclusiveMaximum"}, func(v any) bool { // true or false in draft-04
		_, flag := v.(bool)
		return flag || isNumber(v)
	}},
	{"a type (string, integer, number, boolean, null, object, array) or a list of types", []string{"type"}, isType},
}

func isText(v any) bool { _, ok := v.(string); return ok }

func isNumber(v any) bool { _, ok := v.(json.Number); return ok }

// isNames takes the flag of draft-03, too, which counts for nothing in later drafts.
func isNames(v any) bool {
	if _, flag := v.(bool); flag {
		return true
	}
	list, ok := v.([]any)
	return ok && !slices.ContainsFunc(list, func(v any) bool { return !isText(v) })
}

func isType(v any) bool {
	if list, ok := v.([]any); ok {
		return len(list) > 0 && !slices.ContainsFunc(list, func(v any) bool { return !isType(v) || !isText(v) })
	}
	name, _ := v.(string)
	return slices.Contains(typeNames, name)
}

// checkForms refuses a schema with a keyword that would be passed over.
func (d *schemaDocument) checkForms(at string, m map[string]any) {
	for _, f := range keywordForms {
		for _, word := range f.words {
			if v, there := m[word]; there && !f.ok(v) {
				d.fail(at+"/"+word, "it must be %s", f.want)
			}
		}
	}
}

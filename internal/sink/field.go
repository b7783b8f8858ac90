// SPDX-License-Identifier: Apache-2.0

package sink

import (
	"maps"
	"slices"
	"strings"
)

// Field is one place of a type's data, as documentation shows it.
type Field struct {
	Pointer  string   `json:"pointer"`  // JSON pointer into the data
	Types    []string `json:"types"`    // as JSON Schema names them, null among them; empty = any
	Format   string   `json:"format"`   // "" = none
	SQL      string   `json:"sql"`      // the column that a sink makes of it, where nothing else is asked for
	Required bool     `json:"required"` // it is always there, and so is the object around it
}

// maxFieldDepth ends the walk into schemas that refer to themselves.
const maxFieldDepth = 8

// Fields lists the members of the objects that a JSON Schema describes, those of an object right behind it. What stands
// in arrays is the array's.
func Fields(schema []byte) ([]Field, error) {
	doc, err := newSchemaDoc(schema)
	if err != nil {
		return nil, err
	}
	out := []Field{}
	doc.fields("", true, maxFieldDepth, &out)
	return out, nil
}

func (s *schemaDoc) fields(pointer string, required bool, depth int, out *[]Field) {
	found, _ := s.at(pointer)
	names, must := map[string]bool{}, map[string]bool{}
	for _, n := range found {
		properties, _ := n["properties"].(map[string]any)
		for name := range properties {
			names[name] = true
		}
	}
	if len(found) > 0 { // the first judges all values; of branches nobody knows which holds
		list, _ := found[0]["required"].([]any)
		for _, name := range list {
			if name, ok := name.(string); ok {
				must[name] = required
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		at := pointer + "/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(name)
		schemas, _ := s.at(at)
		facts := factsOf(schemas)
		types := slices.Sorted(maps.Keys(facts.types))
		if len(types) > 0 && slices.ContainsFunc(schemas, nullable) {
			types = append(types, "null")
		}
		*out = append(*out, Field{at, types, facts.format, facts.infer("").String(), must[name]})
		if facts.types["object"] && depth > 1 {
			s.fields(at, must[name], depth-1, out)
		}
	}
}

// nullable reports whether a schema names null among its types.
func nullable(n map[string]any) bool {
	types, _ := n["type"].([]any)
	return slices.Contains(types, any("null"))
}

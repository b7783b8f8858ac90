// SPDX-License-Identifier: Apache-2.0

package spec_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/spec"
)

// A slip in a keyword is told with its place, and never makes a schema that accepts everything.
func TestSchemasWithSlipsAreNotCompared(t *testing.T) {
	for _, c := range []struct{ schema, at string }{
		{`{"type": "strin"}`, "#/type"},
		{`{"type": 5}`, "#/type"},
		{`{"type": []}`, "#/type"},
		{`{"type": ["string", "nul"]}`, "#/type"},
		{`{"properties": {"type": {"type": "Integer"}}}`, "#/properties/type/type"},
		{`{"items": {"enum": "red"}}`, "#/items/enum"},
		{`{"oneOf": {"type": "string"}}`, "#/oneOf"},
		{`{"$ref": 5}`, "#/$ref"},
		{`{"type": "object", "required": "id"}`, "#/required"},
		{`{"type": "object", "required": ["id", 1]}`, "#/required"},
		{`{"type": "object", "properties": [{"type": "string"}]}`, "#/properties"},
		{`{"type": "string", "maxLength": "5"}`, "#/maxLength"},
		{`{"type": "number", "exclusiveMinimum": "0"}`, "#/exclusiveMinimum"},
		{`{"definitions": {"a": {"type": "strin"}}, "$ref": "#/definitions/a"}`, "#/definitions/a/type"},
	} {
		for _, pair := range [][2]string{{`{"type": "string"}`, c.schema}, {c.schema, `{"type": "string"}`}} {
			v, err := spec.CheckSchemas([][]byte{[]byte(pair[0])}, []byte(pair[1]), spec.LevelBackward, spec.PolicyStrict)
			if !errors.Is(err, &autobus.Error{Reason: autobus.ReasonSpecInvalid}) || !strings.Contains(err.Error(), c.at+": ") {
				t.Errorf("%s to %s: %v, %v; want a fault at %s", pair[0], pair[1], v, err, c.at)
			}
		}
	}
	for _, schema := range []string{
		`{"type": "number", "minimum": 0, "exclusiveMinimum": true}`, // draft-04
		`{"type": "object", "properties": {"enum": {"type": "string"}, "$ref": {"type": "integer"}}}`,
		`{"type": "object", "properties": {"id": {"type": "string", "required": true}}}`,
		`{"definitions": {"a": {}}, "$ref": "#/definitions/a", "type": "nothing"}`, // beside $ref nothing counts
	} {
		if _, err := spec.CompareSchemas([]byte(schema), []byte(schema), spec.PolicyStrict); err != nil {
			t.Errorf("%s: %v", schema, err)
		}
	}
}

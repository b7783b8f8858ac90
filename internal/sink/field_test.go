// SPDX-License-Identifier: Apache-2.0

package sink_test

import (
	"fmt"
	"testing"

	"github.com/autobus-io/autobus/internal/sink"
)

// Documentation shows the column that a sink makes: the narrowest that holds whatever the spec allows.
func TestFields(t *testing.T) {
	fields, err := sink.Fields([]byte(`{"type": "object", "required": ["id", "sum", "who"], "properties": {
		"id": {"type": "integer", "format": "int64"},
		"count": {"type": ["integer", "null"], "minimum": 0, "maximum": 100},
		"sum": {"$ref": "#/definitions/money"},
		"who": {"type": "object", "required": ["at"], "properties": {"at": {"type": "string", "format": "date-time"}}},
		"maybe": {"type": "object", "required": ["a~/b"], "properties": {"a~/b": {"type": "boolean"}}},
		"next": {"$ref": "#"}, "any": {}},
		"definitions": {"money": {"type": "string", "format": "decimal"}}}`))
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, f := range fields {
		got[f.Pointer] = fmt.Sprint(f.Types, f.Format, " ", f.SQL, " ", f.Required)
	}
	for pointer, want := range map[string]string{
		"/id": "[integer]int64 bigint true", "/count": "[integer null] integer false",
		"/sum": "[string]decimal numeric true",
		"/who": "[object] jsonb true", "/who/at": "[string]date-time timestamptz true",
		"/maybe/a~0~1b": "[boolean] boolean false",
		"/any":          "[] jsonb false", "/next/id": "[integer]int64 bigint false",
	} {
		if got[pointer] != want {
			t.Errorf("%s is %q, want %q", pointer, got[pointer], want)
		}
	}
	if _, err := sink.Fields([]byte("{")); err == nil {
		t.Error("what is no JSON has fields")
	}
}

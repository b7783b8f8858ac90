// SPDX-License-Identifier: Apache-2.0

package spec

import "testing"

func TestExampleOfSpec(t *testing.T) {
	ty, _ := parseDir(t, "testdata/shop").Type("orders.order.placed.v1")
	if got, ok := ty.Example(); !ok || string(got) != string(ty.Examples[0]) {
		t.Errorf("got %s", got)
	}
}

func TestExampleMadeFromSchema(t *testing.T) {
	for schema, want := range map[string]string{
		`{type: object}`: `{}`,
		`{}`:             `{}`,
		`{properties: {id: {type: string}, n: {type: integer, minimum: 5}, x: {type: [number, 'null'], exclusiveMaximum: 0}}}`:                   `{"id":"text","n":5,"x":-1}`,
		`{properties: {at: {type: string, format: date-time}, u: {type: string, format: uuid}, d: {type: string, format: decimal}}}`:             `{"at":"2026-01-31T12:00:00Z","d":"10.50","u":"0190e2d8-7c3a-7c3a-8c3a-0190e2d87c3a"}`,
		`{properties: {code: {type: string, pattern: '^[A-Z]{3}-\d+(x|y)?$'}}}`:                                                                  `{"code":"AAA-1"}`,
		`{properties: {s: {enum: [new, paid]}, c: {const: 7}, b: {type: boolean}, e: {type: string, examples: [hello]}}}`:                        `{"b":true,"c":7,"e":"hello","s":"new"}`,
		`{properties: {l: {type: array, minItems: 2, items: {type: string, maxLength: 2}}, m: {type: string, minLength: 6}}}`:                    `{"l":["te","te"],"m":"xxxxxx"}`,
		`{properties: {k: {type: string}}, oneOf: [{properties: {t: {const: a}}, required: [t]}, {properties: {t: {const: b}}, required: [t]}]}`: `{"k":"text","t":"a"}`,
		`{allOf: [{properties: {a: {type: integer, multipleOf: 3}}}, {properties: {b: {type: number, minimum: 0.5, maximum: 0.75}}}]}`:           `{"a":3,"b":0.75}`,
	} {
		ty := typeOf(t, schema)
		got, ok := ty.Example()
		if !ok || string(got) != want {
			t.Errorf("%s: got %s, want %s", schema, got, want)
		}
	}
}

func TestNoExample(t *testing.T) {
	for _, schema := range []string{`{properties: {a: {not: {}}}, required: [a]}`, `{not: {}}`} {
		if got, ok := typeOf(t, schema).Example(); ok {
			t.Errorf("%s: got %s", schema, got)
		}
	}
	if _, ok := (&Type{}).Example(); ok {
		t.Error("an example without a schema")
	}
}

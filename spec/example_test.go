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
	cases := []struct{ schema, want string }{
		{`{type: object}`, `{}`},
		{`{}`, `{}`},
		{`{properties: {id: {type: string}, n: {type: integer, minimum: 5}, x: {type: [number], exclusiveMaximum: 0}}}`,
			`{"id":"text","n":5,"x":-1}`},
		{`{properties: {at: {type: string, format: date-time}, d: {type: string, format: decimal}}}`,
			`{"at":"2026-01-31T12:00:00Z","d":"10.50"}`},
		{`{properties: {code: {type: string, pattern: '^[A-Z]{3}-\d+(x|y)?$'}}}`, `{"code":"AAA-1"}`},
		{`{properties: {s: {enum: [new, paid]}, c: {const: 7}, b: {type: boolean}, e: {type: string, examples: [hello]}}}`,
			`{"b":true,"c":7,"e":"hello","s":"new"}`},
		{`{properties: {l: {type: array, minItems: 2, items: {type: string, maxLength: 2}}}}`, `{"l":["te","te"]}`},
		{`{properties: {m: {type: string, minLength: 6}}}`, `{"m":"xxxxxx"}`},
		{`{properties: {k: {type: string}}, oneOf: [{properties: {t: {const: a}}, required: [t]}, {required: [z]}]}`,
			`{"k":"text","t":"a"}`},
		{`{allOf: [{properties: {a: {multipleOf: 3, type: integer}}}, {properties: {b: {type: number, maximum: 0.75}}}]}`,
			`{"a":3,"b":0.75}`},
	}
	for _, c := range cases {
		ty := typeOf(t, c.schema)
		got, ok := ty.Example()
		if !ok || string(got) != c.want {
			t.Errorf("%s: got %s, want %s", c.schema, got, c.want)
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

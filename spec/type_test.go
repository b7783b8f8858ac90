// SPDX-License-Identifier: Apache-2.0

package spec

import (
	"strconv"
	"strings"
	"testing"

	"github.com/autobus-io/autobus"
)

// order is an event of about 1 KB.
const order = `{"orderId": "o-4711", "placedAt": "2026-11-20T10:00:00Z", "status": "paid",
 "email": "someone@example.com",
 "total": {"amount": "1050.50", "currency": "RUB"},
 "items": [{"sku": "BOOTS-BLACK-42", "qty": 1}, {"sku": "SHIRT-WHITE-M", "qty": 3}, {"sku": "SOCKS-GREY", "qty": 12},
  {"sku": "JACKET-GREEN-L", "qty": 1}, {"sku": "SCARF-RED", "qty": 2}, {"sku": "GLOVES-BLACK-S", "qty": 1},
  {"sku": "BELT-BROWN-100", "qty": 1}, {"sku": "HAT-BLUE", "qty": 1}, {"sku": "JEANS-32-34", "qty": 2},
  {"sku": "COAT-GREY-48", "qty": 1}, {"sku": "DRESS-RED-S", "qty": 1}, {"sku": "SKIRT-BLACK-M", "qty": 1},
  {"sku": "BOOTS-BROWN-40", "qty": 1}, {"sku": "SHIRT-BLUE-L", "qty": 2}, {"sku": "SOCKS-BLACK", "qty": 6},
  {"sku": "JACKET-BLACK-M", "qty": 1}, {"sku": "SCARF-GREEN", "qty": 1}, {"sku": "GLOVES-WHITE-M", "qty": 1}],
 "payment": {"method": "card", "last4": "4242"}}`

// checked are the faults of data as lines "pointer rule want got".
func checked(ty *Type, data string) []string {
	err := ty.Check([]byte(data))
	if err == nil {
		return nil
	}
	lines := []string{string(err.Reason)}
	for _, f := range err.Faults {
		lines = append(lines, strings.TrimSpace(f.Pointer+" "+f.Rule+" "+f.Want+" "+f.Got))
	}
	return lines
}

func expect(t *testing.T, ty *Type, data string, want ...string) {
	t.Helper()
	got := checked(ty, data)
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("%s\n got: %s\nwant: %s", shorten(data, 200), strings.Join(got, "\n      "), strings.Join(want, "\n      "))
	}
}

// with changes one place of the order.
func with(t *testing.T, old, replacement string) string {
	t.Helper()
	if strings.Count(order, old) != 1 {
		t.Fatalf("%s does not stand once in the order", old)
	}
	return strings.Replace(order, old, replacement, 1)
}

func TestCheckOrder(t *testing.T) {
	ty, _ := parseDir(t, "testdata/shop").Type("orders.order.placed.v1")
	expect(t, ty, order)
	expect(t, ty, with(t, `"email": "someone@example.com"`, `"email": null`))
	expect(t, ty, `{"orderId":`, "data_unreadable", "/orderId syntax a value the end of the data")
	expect(t, ty, with(t, `{"amount": "1050.50", "currency": "RUB"}`, `"1050.50"`), "data_invalid",
		"/total type object string")
	expect(t, ty, with(t, `"status": "paid",`, ``), "data_invalid", "/status required string")
	expect(t, ty, with(t, `"currency": "RUB"`, `"currency": "RUB", "rate": 1`), "data_invalid", "/total/rate undeclared")
	expect(t, ty, with(t, `"status": "paid"`, `"status": "lost"`), "data_invalid",
		`/status enum "new" or "paid" or "on_hold" "lost"`)
	expect(t, ty, with(t, `2026-11-20T10:00:00Z`, `yesterday`), "data_invalid", `/placedAt format date-time "yesterday"`)
	expect(t, ty, with(t, `"1050.50"`, `"1,050"`), "data_invalid", `/total/amount format decimal "1,050"`)
	expect(t, ty, with(t, `"qty": 12`, `"qty": 2147483648`), "data_invalid", "/items/2/qty format int32 2147483648")
	expect(t, ty, with(t, `"qty": 12`, `"qty": 1.5`), "data_invalid", "/items/2/qty type integer number")
	expect(t, ty, with(t, `"qty": 12`, `"qty": 0, "x": {}`), "data_invalid", "/items/2/qty minimum 1 0",
		"/items/2/x undeclared")
	expect(t, ty, with(t, `"card"`, `"cash"`), "data_invalid", "/payment/last4 undeclared")
	expect(t, ty, with(t, `, "last4": "4242"`, ``), "data_invalid", "/payment/last4 required string")
	expect(t, ty, with(t, `"card"`, `"crypto"`), "data_invalid", `/payment/method oneOf "card" or "cash" "crypto"`)
	expect(t, ty, `[]`, "data_invalid", "type object array")
}

func TestCheckReportsAtMostTwentyFaultsInOrder(t *testing.T) {
	ty := typeOf(t, `{type: array, items: {type: string}}`)
	err := ty.Check([]byte("[" + strings.Repeat("1,", 99) + "1]"))
	if err == nil || len(err.Faults) != 20 {
		t.Fatalf("got %v", err)
	}
	for i, f := range err.Faults {
		if want := newFault([]string{strconv.Itoa(i)}, "type", "string", "number"); f != want {
			t.Errorf("fault %d is %v, want %v", i, f, want)
		}
	}
}

func TestNumbersAreExact(t *testing.T) {
	ty := typeOf(t, `{type: object, properties: {n: {type: integer, format: int64}, `+
		`m: {type: integer, maximum: 9007199254740993}}}`)
	expect(t, ty, `{"n": 9223372036854775807, "m": 9007199254740993}`)
	expect(t, ty, `{"n": 9223372036854775808}`, "data_invalid", "/n format int64 9223372036854775808")
	expect(t, ty, `{"n": -9223372036854775808}`)
	expect(t, ty, `{"m": 9007199254740994}`, "data_invalid", "/m maximum 9007199254740993 9007199254740994")
	expect(t, ty, `{"n": 1e1000}`, "data_unreadable", "/n number an exponent within +-999 1e1000")
}

func TestClosedWriters(t *testing.T) {
	const ab = `properties: {a: {type: string}, b: {type: object, properties: {c: {type: string}}}}`
	const ifThenElse = `{properties: {k: {}}, if: {properties: {k: {const: 1}}}, then: {properties: {p: {}}}, ` +
		`else: {properties: {q: {}}}}`
	cases := []struct {
		name, schema, data string
		undeclared         []string
	}{
		{"declared", `{type: object, ` + ab + `}`, `{"a":"x","b":{"c":"y"}}`, nil},
		{"undeclared", `{type: object, ` + ab + `}`, `{"A":"x"}`, []string{"/A"}},
		{"undeclared below", `{type: object, ` + ab + `}`, `{"b":{"d":1,"e/f":2}}`, []string{"/b/d", "/b/e~1f"}},
		{"undeclared in items", `{type: array, items: {` + ab + `}}`, `[{"a":"x"},{"x":1}]`, []string{"/1/x"}},
		{"tuple", `{type: array, items: [{` + ab + `}], additionalItems: {properties: {z: {}}}}`,
			`[{"z":1},{"z":1},{"a":""}]`, []string{"/0/z", "/2/a"}},
		{"free-form", `{type: object, ` + `properties: {any: {type: object}}}`, `{"any":{"x":{"y":[{"z":1}]}}}`, nil},
		{"free-form payload", `{type: object}`, `{"x":1}`, nil},
		{"no schema at all", `{}`, `{"x":1}`, nil},
		{"additionalProperties true", `{type: object, ` + ab + `, additionalProperties: true}`, `{"x":{"y":1}}`, nil},
		{"additionalProperties schema", `{type: object, additionalProperties: {properties: {n: {type: integer}}}}`,
			`{"x":{"n":1},"y":{"m":1}}`, []string{"/y/m"}},
		{"additionalProperties false", `{type: object, ` + ab + `, additionalProperties: false}`, `{"x":1}`, []string{"/x"}},
		{"patternProperties", `{type: object, patternProperties: {'^x-': {type: integer}}}`, `{"x-a":1,"y":2}`,
			[]string{"/y"}},
		{"allOf", `{allOf: [{` + ab + `}, {properties: {z: {}}}]}`, `{"a":"x","z":1,"y":1}`, []string{"/y"}},
		{"allOf below", `{properties: {p: {allOf: [{` + ab + `}, {properties: {z: {}}}]}}}`, `{"p":{"a":"","z":1,"y":1}}`,
			[]string{"/p/y"}},
		{"matching branch", `{oneOf: [{properties: {a: {const: x}, p: {}}}, {properties: {a: {const: y}, q: {}}}]}`,
			`{"a":"x","p":1,"q":1}`, []string{"/q"}},
		{"several branches", `{anyOf: [{required: [p], properties: {p: {}}}, {required: [q], properties: {q: {}}}]}`,
			`{"p":1,"q":1}`, nil},
		{"branch without match", `{anyOf: [{required: [p], properties: {p: {}}}, {required: [q], properties: {r: {}}}]}`,
			`{"p":1,"r":1}`, []string{"/r"}},
		{"then", ifThenElse,
			`{"k":1,"p":1,"q":1}`, []string{"/q"}},
		{"else", ifThenElse,
			`{"k":2,"p":1,"q":1}`, []string{"/p"}},
		{"dependency", `{properties: {k: {}}, dependencies: {k: {properties: {p: {}}}}}`, `{"k":1,"p":1}`, nil},
		{"dependency absent", `{properties: {k: {}}, dependencies: {k: {properties: {p: {}}}}}`, `{"p":1}`, []string{"/p"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			var want []string
			for _, p := range c.undeclared {
				want = append(want, p+" undeclared")
			}
			if want != nil {
				want = append([]string{"data_invalid"}, want...)
			}
			expect(t, typeOf(t, c.schema), c.data, want...)
			if !strings.Contains(c.schema, "false") {
				expect(t, typeOf(t, c.schema, "x-writers: open"), c.data)
			}
		})
	}
}

func TestRecursiveSchema(t *testing.T) {
	spec := string(specOf(`{$ref: '#/components/schemas/Tree'}`)) + `components:
  schemas:
    Tree:
      type: object
      required: [name]
      properties:
        name: {type: string}
        children: {type: array, items: {$ref: '#/components/schemas/Tree'}}
`
	s, err := Parse(Files{"tree.yaml": []byte(spec)})
	if err != nil {
		t.Fatal(err)
	}
	ty, _ := s.Type("tests.thing.made.v1")
	expect(t, ty, `{"name":"a","children":[{"name":"b","children":[{"name":"c"}]}]}`)
	expect(t, ty, `{"name":"a","children":[{"name":"b","children":[{"nome":"c"}]}]}`, "data_invalid",
		"/children/0/children/0/name required string", "/children/0/children/0/nome undeclared")
}

func TestFormatsCanBeAnnotations(t *testing.T) {
	const schema = `{type: object, properties: {at: {type: string, format: date-time}}}`
	expect(t, typeOf(t, schema), `{"at":"noon"}`, "data_invalid", `/at format date-time "noon"`)
	expect(t, typeOf(t, schema, "x-formats: annotate"), `{"at":"noon"}`)
}

func TestFaultsStaySmall(t *testing.T) {
	long := strings.Repeat("é", 100_000)
	ty := typeOf(t, `{type: object, properties: {a: {type: string, maxLength: 3, enum: [x]}}}`)
	for _, data := range []string{`{"` + long + `":1}`, `{"a":"` + long + `"}`, `{"a":"x","` + long + `":"`} {
		err := ty.Check([]byte(data))
		if err == nil {
			t.Fatal("accepted")
		}
		size := len(err.Detail)
		for _, f := range err.Faults {
			size += len(f.Pointer) + len(f.Want) + len(f.Got)
		}
		if size > 3000 {
			t.Errorf("an answer of %d bytes", size)
		}
	}
}

func TestDetailRepeatsNoValues(t *testing.T) {
	ty, _ := parseDir(t, "testdata/shop").Type("orders.order.placed.v1")
	err := ty.Check([]byte(with(t, "someone@example.com", "secret")))
	if err == nil || err.Reason != autobus.ReasonDataInvalid || strings.Contains(err.Error(), "secret") {
		t.Errorf("got %v", err)
	}
}

func BenchmarkCheck(b *testing.B) {
	ty, _ := parseDir(b, "testdata/shop").Type("orders.order.placed.v1")
	data := []byte(order)
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		if err := ty.Check(data); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkCheckJSON(b *testing.B) {
	data := []byte(order)
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		if err := CheckJSON(data); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkKey(b *testing.B) {
	ty := &Type{KeyPointer: "/payment/last4"}
	data := []byte(order)
	for b.Loop() {
		if _, err := ty.Key(data); err != nil {
			b.Fatal(err)
		}
	}
}

// Data of another content type than JSON is not looked at, where the message has no payload.
func TestOpaqueData(t *testing.T) {
	snapshot, err := Parse(Files{"image.yaml": []byte("asyncapi: 3.1.0\ninfo: {title: x, version: 1.0.0}\nchannels:\n" +
		"  c: {address: shop.image.stored.v1, messages: {m: {contentType: 'Image/PNG; q=1'}}}\n")})
	if err != nil {
		t.Fatal(err)
	}
	typ, _ := snapshot.Type("shop.image.stored.v1")
	if typ == nil || typ.ContentType != "image/png" || typ.Schema != nil || typ.KeyPointer != "" {
		t.Fatalf("type %+v", typ)
	}
	for _, data := range []string{"", "\x89PNG", "{", "{}"} {
		key, keyErr, err := typ.CheckKey([]byte(data))
		if key != nil || keyErr != nil || err != nil || typ.Check([]byte(data)) != nil {
			t.Errorf("%q: key %q, %v, %v", data, key, keyErr, err)
		}
	}
	if example, ok := typ.Example(); ok {
		t.Errorf("example %s", example)
	}
}

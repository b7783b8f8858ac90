// SPDX-License-Identifier: Apache-2.0

package spec

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/autobus-io/autobus"
)

var keyCases = []struct {
	name, pointer, data string
	key                 string
	got                 string // why not: what stands there, "missing", or "unreadable"
}{
	{"string", "/id", `{"id":"o-1"}`, "o-1", ""},
	{"empty string", "/id", `{"id":""}`, "", ""},
	{"unescaped", "/id", `{"id":"a\u00e9\ud83d\ude00\"\n"}`, "aé😀\"\n", ""},
	{"UTF-8", "/id", `{"id":"ключ"}`, "ключ", ""},
	{"integer", "/id", `{"x":[1,{"id":2}], "id" : 007}`, "007", ""},
	{"long integer", "/id", `{"id":-123456789012345678901234567890}`, "-123456789012345678901234567890", ""},
	{"below", "/a/b", `{"b":1,"a":{"c":"}","b":"x"}}`, "x", ""},
	{"item", "/a/1/b", `{"a":[{"b":"x"},{"b":"y"},3]}`, "y", ""},
	{"escaped name", "/a~1b~0c", `{"a/b~c":"x"}`, "x", ""},
	{"name with escapes in the data", "/id", `{"\u0069d":"x"}`, "x", ""},
	{"item itself", "/1", `[0,"x"]`, "x", ""},
	{"empty name", "/", `{"":"x"}`, "x", ""},
	{"quotes and brackets before", "/id", `{"s":"\"}]{,\\","id":"x"}`, "x", ""},

	{"null", "/id", `{"id":null}`, "", "null"},
	{"missing", "/id", `{"ID":"x"}`, "", "missing"},
	{"empty object", "/id", `{}`, "", "missing"},
	{"empty array", "/0", `[]`, "", "missing"},
	{"array too short", "/1", `[1]`, "", "missing"},
	{"name in an array", "/id", `["id"]`, "", "missing"},
	{"below a string", "/id/x", `{"id":"x"}`, "", "missing"},
	{"no object", "/id", `17`, "", "missing"},
	{"boolean", "/id", `{"id":true}`, "", "boolean"},
	{"fraction", "/id", `{"id":1.0}`, "", "number"},
	{"exponent", "/id", `{"id":1e3}`, "", "number"},
	{"object", "/id", `{"id":{}}`, "", "object"},
	{"array", "/id", `{"id":[]}`, "", "array"},

	{"cut in the key", "/id", `{"id":"o-`, "", "unreadable"},
	{"cut before", "/id", `{"x":[1,2`, "", "unreadable"},
	{"nothing", "/id", ``, "", "unreadable"},
	{"no colon", "/id", `{"id" "x"}`, "", "unreadable"},
}

func TestKey(t *testing.T) {
	for _, c := range keyCases {
		t.Run(c.name, func(t *testing.T) {
			ty := &Type{Name: "a.b.v1", KeyPointer: c.pointer}
			key, err := ty.Key([]byte(c.data))
			switch c.got {
			case "":
				if err != nil || key == nil || string(key) != c.key {
					t.Errorf("got %q, %v, want %q", key, err, c.key)
				}
			case "unreadable":
				if err == nil || err.Reason != autobus.ReasonDataUnreadable {
					t.Errorf("got %q, %v, want data_unreadable", key, err)
				}
			default:
				want := autobus.Fault{Pointer: c.pointer, Rule: "type", Want: "string or integer", Got: c.got}
				if c.got == "missing" {
					want.Rule, want.Got = "required", ""
				}
				if err == nil || err.Reason != autobus.ReasonKeyMissing || key != nil || err.Faults[0] != want {
					t.Errorf("got %q, %v, want key_missing with %v", key, err, want)
				}
			}
		})
	}
}

// What Check would refuse in general words Key refuses as what it is: the schema requires the field too.
func TestKeyOfARequiredField(t *testing.T) {
	ty := typeOf(t, `{type: object, required: [id], properties: {id: {type: string}}}`,
		"bindings: {kafka: {key: {x-from: /id}}}")
	for data, rule := range map[string]string{
		`{}`: "required", `{"id":null}`: "type", `{"id":true}`: "type", `{"id":{}}`: "type", `{"id":1.5}`: "type",
	} {
		if err := ty.Check([]byte(data)); err == nil || err.Reason != autobus.ReasonDataInvalid {
			t.Errorf("Check(%s) = %v", data, err)
		}
		_, err := ty.Key([]byte(data))
		if err == nil || err.Reason != autobus.ReasonKeyMissing || len(err.Faults) != 1 ||
			err.Faults[0].Pointer != "/id" || err.Faults[0].Rule != rule {
			t.Errorf("Key(%s) = %v", data, err)
		}
	}
}

func TestKeyOfGoodDataIsCheap(t *testing.T) {
	ty := &Type{KeyPointer: "/order/id"}
	for _, data := range []string{`{"n":[1,2],"order":{"id":"o-1"}}`, `{"n":[1,2],"order":{"id":4711}}`} {
		if n := testing.AllocsPerRun(100, func() { _, _ = ty.Key([]byte(data)) }); n > 1 { // one is the test's own
			t.Errorf("%s: %v allocations", data, n)
		}
	}
}

func TestNoKeyWithoutPointer(t *testing.T) {
	if key, err := (&Type{}).Key([]byte(`{"id":"x"}`)); key != nil || err != nil {
		t.Errorf("got %q, %v, want neither", key, err)
	}
}

func FuzzKey(f *testing.F) {
	for _, c := range keyCases {
		f.Add([]byte(c.data), "id")
		f.Add([]byte(c.data), "0")
	}
	f.Fuzz(func(t *testing.T, data []byte, name string) {
		ty := &Type{KeyPointer: pointer([]string{name})}
		key, err := ty.Key(data)
		if CheckJSON(data) != nil {
			return // any answer will do, as long as there is one
		}
		var want any
		switch in := decode(data).(type) {
		case map[string]any:
			want = in[name]
		case []any:
			if i, ok := itemIndex(name); ok && i < len(in) {
				want = in[i]
			}
		}
		switch want := want.(type) {
		case string:
			if err != nil || string(key) != want {
				t.Fatalf("got %q, %v, want %q", key, err, want)
			}
		case json.Number:
			if err == nil && !bytes.Equal(key, []byte(want)) {
				t.Fatalf("got %q, want %q", key, want)
			}
		default:
			if err == nil || err.Reason != autobus.ReasonKeyMissing {
				t.Fatalf("got %q, %v, want key_missing", key, err)
			}
		}
	})
}

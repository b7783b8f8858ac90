// SPDX-License-Identifier: Apache-2.0

package spec

import "testing"

// walkCases are schemas with what the walk says of data: valid, or nothing.
var walkCases = []struct {
	name, schema string
	taken        []string
	valid        []string // but left to the validator
	refused      []string
}{
	{"types", `{"type":["integer","string"]}`, []string{`1`, `-0`, `1.0`, `"x"`, ` 7 `}, []string{`1e2`},
		[]string{`1.5`, `null`, `true`, `[]`, `{}`, `nul`, ``}},
	{"anything", `{}`, []string{`1e2`, `{"a":[{"b":null}]}`, `"\u00e9"`, `{"\u0061":1}`}, nil,
		[]string{`{"a":1,"a":2}`, `{"\u0061":1,"a":2}`, `"\ud800"`, "\"\xff\"", `[1,]`, `{"a":1,}`, `1e1000`, `01`, `tru`}},
	{"nothing", `false`, nil, nil, []string{`1`, `null`, `{}`}},
	{"enum", `{"enum":["a",1,2.50,null,true]}`, []string{`"a"`, `"\u0061"`, `1`, `1.0`, `2.5`, `null`, `true`},
		[]string{`1e0`}, []string{`"b"`, `2`, `false`}},
	{"enum within other rules", `{"enum":["a","abc",1,7],"maxLength":2,"minimum":5}`, []string{`"a"`, `7`}, nil,
		[]string{`"abc"`, `1`}},
	{"long enum", `{"enum":["a","b","c","d","e","f","g","h","i"]}`, []string{`"i"`, `"\u0069"`}, nil, []string{`"j"`}},
	{"ranges", `{"minimum":-1.5,"exclusiveMaximum":3}`, []string{`-1`, `-1.5`, `2`, `2.999`, `"x"`}, []string{`1e0`},
		[]string{`-2`, `-1.51`, `3`, `3.0`}},
	{"multiples", `{"multipleOf":0.01}`, []string{`1`, `0.07`, `-19.99`, `100.000`}, []string{`1e-2`}, []string{`0.001`}},
	{"lengths", `{"minLength":2,"maxLength":3}`, []string{`"ab"`, `"éàü"`, `"\u00e9a"`, `"😀😀"`}, nil,
		[]string{`"a"`, `"abcd"`, `"é"`, `"😀😀😀😀"`}},
	{"pattern", `{"pattern":"^[A-Z]{2}-\\d+$"}`, []string{`"AB-1"`, `"AB\u002d12"`}, nil,
		[]string{`"AB-"`, `"ab-1"`, `"AB-1\n"`}},
	{"pattern that is not plain", `{"pattern":"(a|é)b"}`, []string{`"xéby"`, `"ab"`}, nil, []string{`"a"`}},
	{"required", `{"required":["a"],"properties":{"a":{},"b":{}}}`, []string{`{"b":1,"a":2}`, `[]`},
		[]string{`{"\u0061":1}`}, []string{`{}`, `{"b":1}`, `{"a":1,"a":2}`, `{"a":1,"c":2}`}},
	{"free-form", `{"type":"object"}`, []string{`{"x":{"y":[1]}}`}, nil, []string{`{"x":{"y":1,"y":2}}`}},
	{"additional", `{"properties":{"a":{}},"additionalProperties":{"type":"integer"}}`, []string{`{"a":"x","b":1,"c":2}`},
		nil, []string{`{"b":"x"}`, `{"b":1,"b":2}`}},
	{"no additional", `{"properties":{"a":{}},"additionalProperties":false}`, []string{`{"a":1}`}, nil,
		[]string{`{"b":1}`}},
	{"pattern properties", `{"patternProperties":{"^x":{"type":"integer"},"y$":{"minimum":3}}}`,
		[]string{`{"x":1,"y":5,"xy":3}`}, nil, []string{`{"xy":1}`, `{"xy":4.5}`, `{"z":1}`}},
	{"sizes", `{"minProperties":1,"maxProperties":2,"minItems":1,"maxItems":2}`, []string{`{"a":1}`, `[1,2]`}, nil,
		[]string{`{}`, `[]`, `[1,2,3]`, `{"a":1,"b":2,"c":3}`}},
	{"items", `{"items":{"properties":{"a":{"type":"null"}}}}`, []string{`[]`, `[{"a":null},{},3]`}, nil,
		[]string{`[{"a":1}]`, `[{"b":1}]`}},
	{"different items", `{"uniqueItems":true,"items":{"type":"string"}}`, []string{`["a","b","\u0063"]`, `[]`}, nil,
		[]string{`["a","b","a"]`, `["a","\u0061"]`}},
	{"allOf", `{"allOf":[{"properties":{"a":{"type":"string"}}},` +
		`{"properties":{"a":{"minLength":2},"b":{}},"required":["b"]}]}`,
		[]string{`{"a":"xx","b":1}`}, nil, []string{`{"a":"x","b":1}`, `{"a":"xx"}`, `{"b":1,"c":1}`}},
	{"nullable", `{"oneOf":[{"type":"null"},{"type":"string","maxLength":1},{"properties":{"a":{}},"type":"object"}]}`,
		[]string{`null`, `"x"`, `{"a":1}`}, nil, []string{`"xx"`, `1`, `{"b":1}`}},
	{"words with titles", `{"anyOf":[{"const":"a"},{"enum":["b","a"]}]}`, []string{`"a"`, `"b"`}, nil, []string{`"c"`}},
	{"exactly one word", `{"oneOf":[{"const":"a"},{"enum":["b","a"]}]}`, []string{`"b"`}, nil, []string{`"a"`}},
	{"tag", `{"required":["t"],"properties":{"id":{}},"oneOf":[{"properties":{"t":{"const":"a"},"x":{}}},` +
		`{"properties":{"t":{"enum":["b","c"]},"y":{}},"required":["y"]}]}`,
		[]string{`{"t":"a","x":1}`, `{"y":1,"id":2,"t":"c"}`}, []string{`{"t":"\u0061"}`},
		[]string{`{"t":"b"}`, `{"t":"a","y":1}`, `{"t":"d"}`, `{"t":1}`, `{}`, `{"t":"a","t":"b","y":1}`}},
	{"no tag", `{"type":"object","anyOf":[{"required":["a"]},{"required":["b"]}]}`, nil,
		[]string{`{"a":1}`}, []string{`{}`}},
	{"part that is not known", `{"properties":{"a":{"items":{"type":"integer"},"uniqueItems":true},"b":{}}}`,
		[]string{`{"b":1}`, `{"a":1}`}, []string{`{"a":[1,2]}`}, []string{`{"a":[1,1]}`}},
	{"condition", `{"if":{"type":"string"},"then":{"minLength":1}}`, []string{`true`}, []string{`"x"`, `1`},
		[]string{`""`}},
	{"recursion", `{"properties":{"next":{"$ref":"#"},"v":{"type":"integer"}}}`,
		[]string{`{"next":{"next":{"v":1}}}`}, nil, []string{`{"next":{"next":{"v":"x"}}}`}},
	{"number formats", `{"format":"int32"}`, []string{`2147483647`, `1.0`, `"x"`}, []string{`1e1`},
		[]string{`2147483648`, `1.5`}},
}

func TestWalk(t *testing.T) {
	for _, c := range walkCases {
		t.Run(c.name, func(t *testing.T) {
			ty := typeFor(t, []byte(c.schema), false, "")
			expect := func(all []string, wantValid, wantWalked bool) {
				for _, data := range all {
					if valid, walked := held(t, ty, []byte(data)); valid != wantValid || walked != wantWalked {
						t.Errorf("%s: got valid=%v walked=%v, want %v %v", data, valid, walked, wantValid, wantWalked)
					}
				}
			}
			expect(c.taken, true, true)
			expect(c.valid, true, false)
			expect(c.refused, false, false)
		})
	}
}

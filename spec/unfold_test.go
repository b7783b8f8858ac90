// SPDX-License-Identifier: Apache-2.0

package spec

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
)

// chain is a spec of schemas S0 to S<n>, each written by format from the number of the next one. The last is a string.
func chain(n int, format, payload string) []byte {
	b := bytes.NewBuffer(specOf(payload))
	b.WriteString("components:\n  schemas:\n")
	for i := range n {
		fmt.Fprintf(b, "    S%d: %s\n", i, strings.ReplaceAll(format, "NEXT", fmt.Sprintf("$ref: '#/components/schemas/S%d'",
			i+1)))
	}
	fmt.Fprintf(b, "    S%d: {type: string}\n", n)
	return b.Bytes()
}

func TestSchemasThatUnfoldTooFar(t *testing.T) {
	const first = `{$ref: '#/components/schemas/S0'}`
	for name, data := range map[string][]byte{
		"allOf":        chain(30, `{allOf: [{NEXT}, {NEXT}]}`, first),
		"anyOf":        chain(30, `{anyOf: [{NEXT}, {NEXT}]}`, first),
		"oneOf":        chain(30, `{oneOf: [{NEXT}, {NEXT}]}`, first),
		"if":           chain(30, `{if: {NEXT}, then: {NEXT}}`, first),
		"not":          chain(30, `{not: {NEXT}, else: {NEXT}, if: {NEXT}}`, first),
		"dependencies": chain(30, `{dependencies: {a: {NEXT}, b: {NEXT}}}`, first),
		"below fields": chain(30, `{properties: {a: {NEXT}}, patternProperties: {a: {NEXT}}}`, first),
		"below items":  chain(30, `{items: {allOf: [{NEXT}, {NEXT}]}}`, first),
		"beside":       chain(30, `{allOf: [{NEXT}, {NEXT}]}`, `{properties: {a: {items: `+first+`}}}`),
		// One that is entered at its end, and leads from each schema back to the one before.
		"in a loop": bytes.ReplaceAll(chain(30, `{allOf: [{NEXT}, {NEXT}]}`,
			`{properties: {a: {$ref: '#/components/schemas/S30'}}}`), []byte("S30: {type: string}"),
			[]byte("S30: {properties: {a: "+first+"}}")),
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Parse(Files{"t.yaml": data})
			ps := problemsOf(t, err)
			if len(ps) != 1 || ps[0].Message != "the schema unfolds to more than 20000 checks of one event" ||
				ps[0].Line < 8 || ps[0].Hint == "" {
				t.Errorf("got %v", ps)
			}
		})
	}
}

func TestSchemasThatUnfoldFarEnough(t *testing.T) {
	const first = `{$ref: '#/components/schemas/S0'}`
	tree := bytes.ReplaceAll(specOf(`{$ref: '#/components/schemas/Tree'}`), []byte("channels:"), []byte(`components:
  schemas:
    Tree:
      anyOf:
      - type: object
        properties: {left: {$ref: '#/components/schemas/Tree'}, right: {$ref: '#/components/schemas/Tree'}}
      - {type: array, items: {$ref: '#/components/schemas/Tree'}}
channels:`))
	for name, data := range map[string][]byte{
		"a dozen doublings": chain(12, `{allOf: [{NEXT}, {NEXT}]}`, first),
		"a long chain":      chain(1000, `{properties: {a: {NEXT}}}`, first),
		"a recursive tree":  tree,
	} {
		if _, err := Parse(Files{"t.yaml": data}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestLongPatterns(t *testing.T) {
	for n, want := range map[int]string{
		maxPatternBytes:     "",
		maxPatternBytes + 1: "a pattern of 4097 bytes; at most 4096 are allowed",
	} {
		long := strings.Repeat("a", n)
		for _, payload := range []string{
			`{properties: {a: {type: string, pattern: ` + long + `}}}`,
			"\n          patternProperties:\n            ? " + long + "\n            : {type: string}",
		} {
			_, err := Parse(Files{"t.yaml": specOf(payload)})
			if want == "" {
				if err != nil {
					t.Errorf("%d bytes: %v", n, err)
				}
				continue
			}
			if ps := problemsOf(t, err); len(ps) != 1 || ps[0].Message != want || ps[0].Line < 8 {
				t.Errorf("got %v", ps)
			}
		}
	}
}

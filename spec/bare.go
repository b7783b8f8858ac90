// SPDX-License-Identifier: Apache-2.0

package spec

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// CheckSchema reports whether text is a JSON Schema that can be compared with others, of draft 4 to 2020-12, which
// refers to nothing outside itself. The error has the reason spec_invalid.
func CheckSchema(text []byte) error {
	if _, err := readShape(text); err != nil {
		return invalidSchema("given", err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		return invalidSchema("given", err)
	}
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft7)
	c.UseLoader(noLoader{})
	c.UseRegexpEngine(anyPattern)
	if err := c.AddResource(schemaURL, doc); err != nil {
		return invalidSchema("given", err)
	}
	if _, err := c.Compile(schemaURL); err != nil {
		return invalidSchema("given", err)
	}
	return nil
}

// anyPattern takes every pattern: those of other languages are fine in a schema that judges no data here.
func anyPattern(pattern string) (jsonschema.Regexp, error) { return foreignPattern(pattern), nil }

type foreignPattern string

// MatchString is not asked: nothing is validated.
func (foreignPattern) MatchString(string) bool { return true }

func (p foreignPattern) String() string { return string(p) }

// NormalSchema writes a JSON Schema, or any JSON, so that texts which differ in white space, the order of fields, the
// form of numbers and what they call themselves ($id, and $schema where it is the draft-07 that is meant without it)
// are the same.
func NormalSchema(text []byte) ([]byte, error) {
	v, err := decodeWhole(text)
	if err != nil {
		return nil, err
	}
	if root, ok := v.(map[string]any); ok {
		delete(root, "$id")
		if draft, _ := root["$schema"].(string); strings.Contains(draft, "/draft-07/") {
			delete(root, "$schema")
		}
	}
	return json.Marshal(normalNumbers(v))
}

// EmbedSchemas writes a JSON Schema together with those that it names by address, so that it refers to nothing outside
// itself. An address is what stands in $ref.
func EmbedSchemas(text []byte, byAddress map[string][]byte) ([]byte, error) {
	if len(byAddress) == 0 {
		return text, nil
	}
	v, err := decodeWhole(text)
	root, ok := v.(map[string]any)
	if err != nil || !ok {
		return text, err
	}
	beside := map[string]any{}
	for _, address := range slices.Sorted(maps.Keys(byAddress)) {
		part, err := decodeWhole(byAddress[address])
		if err != nil {
			return nil, fmt.Errorf("the schema %s: %w", address, err)
		}
		if p, ok := part.(map[string]any); ok {
			p["$id"] = address
		}
		beside[address] = part
	}
	const definitions = "definitions"
	if own, ok := root[definitions].(map[string]any); ok {
		maps.Copy(own, beside)
	} else {
		root[definitions] = beside
	}
	return json.Marshal(root)
}

func decodeWhole(text []byte) (any, error) {
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		return nil, err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) { // More takes a bracket too many for an end
		return nil, fmt.Errorf("something follows the JSON at byte %d", dec.InputOffset())
	}
	return v, nil
}

// normalNumbers writes numbers in one form: 1.0 as 1.
func normalNumbers(v any) any {
	switch v := v.(type) {
	case json.Number:
		if r := ratOf(v); r != nil && r.IsInt() {
			return json.Number(r.RatString())
		}
	case []any:
		for i := range v {
			v[i] = normalNumbers(v[i])
		}
	case map[string]any:
		for name := range v {
			v[name] = normalNumbers(v[name])
		}
	}
	return v
}

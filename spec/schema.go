// SPDX-License-Identifier: Apache-2.0

package spec

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/big"
	"regexp"
	"slices"
	"strconv"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/autobus-io/autobus"
)

// schema is a compiled JSON Schema that explains itself in faults.
type schema struct {
	root *jsonschema.Schema
	at   map[string]*jsonschema.Schema // every subschema by its location
	open bool                          // undeclared fields are accepted
}

// schemaURL is the address of every schema while it is compiled; nothing is ever read from it.
const schemaURL = "spec:///schema.json"

// compile compiles a schema that refers to nothing outside itself.
func compile(raw []byte) (*schema, error) {
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
	if err != nil {
		return nil, err
	}
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft7)
	c.UseLoader(noLoader{})
	for _, f := range []*jsonschema.Format{
		{Name: "int32", Validate: formatInteger(31)},
		{Name: "int64", Validate: formatInteger(63)},
		{Name: "decimal", Validate: formatDecimal},
	} {
		c.RegisterFormat(f)
	}
	if err := c.AddResource(schemaURL, doc); err != nil {
		return nil, err
	}
	root, err := c.Compile(schemaURL)
	if err != nil {
		return nil, err
	}
	s := &schema{root: root, at: map[string]*jsonschema.Schema{}}
	s.index(root)
	return s, nil
}

// annotateFormats makes formats mere annotations.
func (s *schema) annotateFormats() {
	for _, sub := range s.at {
		sub.Format = nil
	}
}

func (s *schema) index(sub *jsonschema.Schema) {
	if s.at[sub.Location] != nil {
		return
	}
	s.at[sub.Location] = sub
	for _, next := range append(sameValue(sub), otherValues(sub)...) {
		s.index(next)
	}
}

// inPlace are the subschemas that look at the same value as s and can declare its fields.
func inPlace(s *jsonschema.Schema) []*jsonschema.Schema {
	subs := []*jsonschema.Schema{}
	for _, sub := range []*jsonschema.Schema{s.Ref, s.If, s.Then, s.Else} {
		if sub != nil {
			subs = append(subs, sub)
		}
	}
	subs = append(subs, s.AllOf...)
	subs = append(subs, s.AnyOf...)
	subs = append(subs, s.OneOf...)
	for _, d := range s.Dependencies {
		if sub, ok := d.(*jsonschema.Schema); ok {
			subs = append(subs, sub)
		}
	}
	return subs
}

// circle returns a subschema that needs itself to judge the very same value, which no data can satisfy.
func (s *schema) circle() (location string, found bool) {
	const entered, left = 1, 2
	state := map[*jsonschema.Schema]int{}
	var visit func(sub *jsonschema.Schema) bool
	visit = func(sub *jsonschema.Schema) bool {
		if state[sub] != 0 {
			location = sub.Location
			return state[sub] == entered
		}
		state[sub] = entered
		if slices.ContainsFunc(sameValue(sub), visit) {
			return true
		}
		state[sub] = left
		return false
	}
	for _, start := range slices.Sorted(maps.Keys(s.at)) {
		if visit(s.at[start]) {
			return location, true
		}
	}
	return "", false
}

// faults judges a decoded value.
func (s *schema) faults(v any) []autobus.Fault {
	var faults []autobus.Fault
	if err := s.root.Validate(v); err != nil {
		var invalid *jsonschema.ValidationError
		if !errors.As(err, &invalid) {
			return []autobus.Fault{{Rule: "schema", Want: err.Error()}}
		}
		e := explainer{s: s, root: v}
		faults = e.explain(invalid)
	}
	if !s.open {
		faults = s.closeWriters(faults, v)
	}
	if len(faults) == 0 {
		return nil
	}
	return settle(faults)
}

type noLoader struct{}

func (noLoader) Load(url string) (any, error) {
	return nil, fmt.Errorf("%s is outside of the spec repository", url)
}

// formatInteger asserts that a number is an integer of a sign and so many bits.
func formatInteger(bits int) func(any) error {
	limit := new(big.Int).Lsh(big.NewInt(1), uint(bits))
	lowest := new(big.Int).Neg(limit)
	return func(v any) error {
		n, ok := v.(json.Number)
		if !ok {
			return nil
		}
		if _, err := strconv.ParseInt(n.String(), 10, bits+1); err == nil {
			return nil
		}
		r, ok := new(big.Rat).SetString(n.String())
		if !ok || !r.IsInt() || r.Num().Cmp(limit) >= 0 || r.Num().Cmp(lowest) < 0 {
			return errors.New("not an integer of that size")
		}
		return nil
	}
}

var decimalForm = regexp.MustCompile(`^-?(0|[1-9][0-9]*)(\.[0-9]+)?$`)

func formatDecimal(v any) error {
	if s, ok := v.(string); ok && !decimalForm.MatchString(s) {
		return errors.New("not a decimal such as 10.50")
	}
	return nil
}

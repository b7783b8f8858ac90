// SPDX-License-Identifier: Apache-2.0

package spec

import (
	"cmp"
	"encoding/json"
	"math/big"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// The validator collects errors and computes numbers as fractions; most events are valid and plain. quick answers yes
// or no for schemas of plain keywords, several times faster. The validator stays the judge: it explains every no, and
// a test holds the two against each other.

// plain reports whether quick knows every keyword of one subschema.
func plain(s *jsonschema.Schema) bool {
	if s.PropertyNames != nil || s.Dependencies != nil || s.Contains != nil || s.UniqueItems || s.MultipleOf != nil ||
		s.AdditionalItems != nil || len(s.Extensions) > 0 || s.DraftVersion != 7 {
		return false
	}
	if _, tuple := s.Items.([]*jsonschema.Schema); tuple {
		return false
	}
	if s.Const != nil && !plainValue(*s.Const) {
		return false
	}
	if s.Enum != nil {
		for _, v := range s.Enum.Values {
			if !plainValue(v) {
				return false
			}
		}
	}
	return true
}

// plainValue reports whether == compares the value as JSON Schema does.
func plainValue(v any) bool {
	switch v.(type) {
	case nil, bool, string:
		return true
	}
	return false
}

// quick reports whether v is valid. All of s must be plain.
func quick(s *jsonschema.Schema, v any) bool {
	switch {
	case s.Bool != nil:
		return *s.Bool
	case s.Ref != nil:
		return quick(s.Ref, v)
	case s.Types != nil && !quickType(s.Types, v), s.Const != nil && !quickEqual(*s.Const, v),
		s.Enum != nil && !quickEnum(s.Enum.Values, v), s.Format != nil && s.Format.Validate(v) != nil:
		return false
	}
	switch v := v.(type) {
	case map[string]any:
		if !quickObject(s, v) {
			return false
		}
	case []any:
		if !quickArray(s, v) {
			return false
		}
	case string:
		if !quickString(s, v) {
			return false
		}
	case json.Number:
		if !quickNumber(s, v) {
			return false
		}
	}
	return quickBranches(s, v)
}

func quickType(types *jsonschema.Types, v any) bool {
	if *types&typeSet(typeName(v)) != 0 {
		return true
	}
	n, ok := v.(json.Number)
	return ok && *types&typeSet("integer") != 0 && isInteger(n)
}

func typeSet(name string) jsonschema.Types {
	var t jsonschema.Types
	t.Add(name)
	return t
}

func isInteger(n json.Number) bool {
	if !strings.ContainsAny(string(n), ".eE") {
		return true
	}
	r, ok := new(big.Rat).SetString(string(n))
	return ok && r.IsInt()
}

// quickEqual compares with a plain value.
func quickEqual(want, v any) bool {
	switch v.(type) {
	case map[string]any, []any:
		return false
	}
	return want == v
}

func quickEnum(values []any, v any) bool {
	for _, want := range values {
		if quickEqual(want, v) {
			return true
		}
	}
	return false
}

func quickObject(s *jsonschema.Schema, obj map[string]any) bool {
	if s.MinProperties != nil && len(obj) < *s.MinProperties || s.MaxProperties != nil && len(obj) > *s.MaxProperties {
		return false
	}
	for _, name := range s.Required {
		if _, ok := obj[name]; !ok {
			return false
		}
	}
	for name, v := range obj {
		sub := s.Properties[name]
		if sub != nil && !quick(sub, v) {
			return false
		}
		known := sub != nil
		for re, sub := range s.PatternProperties {
			if re.MatchString(name) {
				if known = true; !quick(sub, v) {
					return false
				}
			}
		}
		if known {
			continue
		}
		switch more := s.AdditionalProperties.(type) {
		case bool:
			if !more {
				return false
			}
		case *jsonschema.Schema:
			if !quick(more, v) {
				return false
			}
		}
	}
	return true
}

func quickArray(s *jsonschema.Schema, arr []any) bool {
	if s.MinItems != nil && len(arr) < *s.MinItems || s.MaxItems != nil && len(arr) > *s.MaxItems {
		return false
	}
	if items, ok := s.Items.(*jsonschema.Schema); ok {
		for _, v := range arr {
			if !quick(items, v) {
				return false
			}
		}
	}
	return true
}

func quickString(s *jsonschema.Schema, v string) bool {
	if s.MinLength != nil || s.MaxLength != nil {
		n := utf8.RuneCountInString(v)
		if s.MinLength != nil && n < *s.MinLength || s.MaxLength != nil && n > *s.MaxLength {
			return false
		}
	}
	return s.Pattern == nil || s.Pattern.MatchString(v)
}

func quickNumber(s *jsonschema.Schema, v json.Number) bool {
	if s.Minimum == nil && s.Maximum == nil && s.ExclusiveMinimum == nil && s.ExclusiveMaximum == nil {
		return true
	}
	to := comparison(v)
	return (s.Minimum == nil || to(s.Minimum) >= 0) && (s.Maximum == nil || to(s.Maximum) <= 0) &&
		(s.ExclusiveMinimum == nil || to(s.ExclusiveMinimum) > 0) &&
		(s.ExclusiveMaximum == nil || to(s.ExclusiveMaximum) < 0)
}

// comparison compares a number with bounds, without fractions where both are integers of 64 bits.
func comparison(v json.Number) func(bound *big.Rat) int {
	i, err := strconv.ParseInt(string(v), 10, 64)
	return func(bound *big.Rat) int {
		if err == nil && bound.IsInt() && bound.Num().IsInt64() {
			return cmp.Compare(i, bound.Num().Int64())
		}
		n, _ := new(big.Rat).SetString(string(v)) // CheckJSON has bounded the exponent
		return n.Cmp(bound)
	}
}

func quickBranches(s *jsonschema.Schema, v any) bool {
	if s.Not != nil && quick(s.Not, v) {
		return false
	}
	for _, sub := range s.AllOf {
		if !quick(sub, v) {
			return false
		}
	}
	if len(s.AnyOf) > 0 && count(s.AnyOf, v, 1) == 0 || len(s.OneOf) > 0 && count(s.OneOf, v, 2) != 1 {
		return false
	}
	if s.If == nil {
		return true
	}
	side := s.Else
	if quick(s.If, v) {
		side = s.Then
	}
	return side == nil || quick(side, v)
}

// count is how many branches match, at most enough.
func count(branches []*jsonschema.Schema, v any, enough int) int {
	n := 0
	for _, b := range branches {
		if n < enough && quick(b, v) {
			n++
		}
	}
	return n
}

// SPDX-License-Identifier: Apache-2.0

package spec

import (
	"slices"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// valuesOf names the finite set of values of a kind that a schema admits.
type valuesOf struct {
	schema *jsonschema.Schema
	kind   string
}

// finite is a list of values outside of which a schema admits none; of values inside it may refuse some. It is not
// known for a schema without const, enum or the like.
type finite struct {
	values []any
	known  bool
}

// admits is false when a schema surely refuses all values of a kind.
func (c *compiler) admits(s *jsonschema.Schema, kind string) bool {
	f := c.values(s, kind)
	return !f.known || len(f.values) > 0
}

func (c *compiler) values(s *jsonschema.Schema, kind string) finite {
	of := valuesOf{s, kind}
	f, done := c.known[of]
	if !done {
		f = c.findValues(s, kind)
		c.known[of] = f
	}
	return f
}

func (c *compiler) findValues(s *jsonschema.Schema, kind string) finite {
	types := typeSet(kind)
	if kind == "number" {
		types |= typeSet("integer")
	}
	switch {
	case s.Bool != nil:
		return finite{known: !*s.Bool}
	case s.Ref != nil:
		return c.values(s.Ref, kind)
	case s.Types != nil && *s.Types&types == 0:
		return finite{known: true}
	case s.Const != nil:
		return finite{ofKind([]any{*s.Const}, kind), true}
	case s.Enum != nil:
		return finite{ofKind(s.Enum.Values, kind), true}
	}
	for _, sub := range s.AllOf {
		if f := c.values(sub, kind); f.known {
			return f
		}
	}
	for _, branches := range [][]*jsonschema.Schema{s.AnyOf, s.OneOf} {
		all := finite{known: len(branches) > 0}
		for _, b := range branches {
			f := c.values(b, kind)
			all.values, all.known = append(all.values, f.values...), all.known && f.known
		}
		if all.known {
			return all
		}
	}
	return finite{}
}

func ofKind(values []any, kind string) []any {
	return slices.DeleteFunc(slices.Clone(values), func(v any) bool { return typeName(v) != kind })
}

func typeSet(name string) jsonschema.Types {
	var t jsonschema.Types
	t.Add(name)
	return t
}

// candidates are the values of a kind that a set of schemas admits, when they can be listed. Each is valid.
func (c *compiler) candidates(set []*jsonschema.Schema, kind string) finite {
	for _, s := range set {
		if f := c.values(s, kind); f.known {
			return finite{slices.DeleteFunc(slices.Clone(f.values), func(v any) bool { return !c.accepts(set, v) }), true}
		}
	}
	return finite{}
}

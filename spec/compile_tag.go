// SPDX-License-Identifier: Apache-2.0

package spec

import (
	"slices"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// tagged compiles a union of objects that a tag tells apart: a field that each branch requires, with strings that no
// other branch has. Whatever the tag is, at most one branch can match, and its variant checks the tag again: so it does
// not matter how the walk finds the tag.
func (c *compiler) tagged(p parts, toKey []string) *objectRule {
	branches := make([]parts, len(p.unions[0]))
	for i, b := range p.unions[0] {
		branches[i] = parts{flat: slices.Clone(p.flat), unions: slices.Clone(p.unions[1:])}
		c.add(&branches[i], b, "object")
	}
	for _, name := range c.names(branches[0].flat) {
		owners, ok := c.owners(branches, name)
		if !ok {
			continue
		}
		o := &objectRule{tag: name, variants: map[string]*objectRule{}}
		variants := make([]*objectRule, len(branches))
		for i, branch := range branches {
			variants[i] = c.object(branch, toKey)
		}
		for value, i := range owners {
			if variants[i] != nil {
				o.variants[value] = variants[i]
			}
		}
		return o
	}
	c.doubt()
	return nil
}

// owners tells to which branch each value of a tag belongs; ok is false when the field is no tag.
func (c *compiler) owners(branches []parts, name string) (owners map[string]int, ok bool) {
	owners = map[string]int{}
	for i, branch := range branches {
		values, ok := c.tagValues(branch.flat, name)
		if !ok {
			return nil, false
		}
		for _, v := range values {
			text := v.(string)
			if first, taken := owners[text]; taken && first != i {
				return nil, false
			}
			owners[text] = i
		}
	}
	return owners, true
}

// tagValues lists all values of a required field, if they are strings.
func (c *compiler) tagValues(flat []*jsonschema.Schema, name string) (values []any, ok bool) {
	if !slices.ContainsFunc(flat, func(s *jsonschema.Schema) bool { return slices.Contains(s.Required, name) }) {
		return nil, false
	}
	for _, s := range flat {
		sub := s.Properties[name]
		if sub == nil || slices.ContainsFunc([]string{"null", "boolean", "number", "array", "object"},
			func(kind string) bool { return c.admits(sub, kind) }) {
			continue
		}
		if f := c.values(sub, "string"); f.known {
			if ok && len(f.values) >= len(values) {
				continue
			}
			values, ok = f.values, true
		}
	}
	return values, ok
}

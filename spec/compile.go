// SPDX-License-Identifier: Apache-2.0

package spec

import (
	"fmt"
	"slices"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// The validator builds a tree of values, computes numbers as fractions and collects errors; most events are valid and
// plain. So a schema is compiled into rules that one pass over the raw bytes can follow. The pass says yes or nothing:
// yes is what CheckJSON, the validator and closed writers would say together; on anything else these decide and find
// the words. The compiler may therefore leave out whatever it does not know, a value at a time: a rule that admits
// nothing is always right, only slow.

// program is a schema compiled. It is immutable.
type program struct {
	root  *rule
	whole bool // no keyword was left out
}

// rule is what a value may be. Kinds that are false or nil are left to the validator.
type rule struct {
	null, yes, no bool // yes and no are true and false
	number        *numberRule
	text          *textRule
	array         *arrayRule
	object        *objectRule
}

// arrayRule is what an array may be.
type arrayRule struct {
	min, max int
	items    *rule
	unique   bool // no item twice; the items are strings
}

// maxRules bounds a program: merging what several schemas say of one field can multiply.
const maxRules = 2000

// compileProgram compiles a schema that has no circle. The pass finds the value at keyPointer, too.
func compileProgram(s *schema, raw []byte, keyPointer string) *program {
	c := compiler{schema: s, raw: raw, ids: map[*jsonschema.Schema]int{}, rules: map[string]*rule{},
		known: map[valuesOf]finite{}, whole: true}
	return &program{root: c.rule([]*jsonschema.Schema{s.root}, tokens(keyPointer)), whole: c.whole}
}

type compiler struct {
	schema *schema
	raw    []byte
	ids    map[*jsonschema.Schema]int
	rules  map[string]*rule // by what they were made of; recursion ends here
	known  map[valuesOf]finite
	whole  bool
}

// rule merges schemas that all apply to one value. toKey is the way from there to the partition key, empty when the
// key is elsewhere.
func (c *compiler) rule(set []*jsonschema.Schema, toKey []string) *rule {
	id := c.name(set, len(toKey))
	if r := c.rules[id]; r != nil {
		return r
	}
	r := &rule{}
	if len(c.rules) == maxRules {
		c.whole = false
		return r
	}
	c.rules[id] = r
	r.null, r.yes, r.no = c.accepts(set, nil), c.accepts(set, true), c.accepts(set, false)
	r.number, r.text = c.number(set), c.text(set)
	r.array = c.array(set)
	if p := c.resolve(set, "object"); !p.never {
		r.object = c.object(p, toKey)
	}
	return r
}

// name is the same for the same set.
func (c *compiler) name(set []*jsonschema.Schema, toKey int) string {
	ids := make([]int, len(set))
	for i, s := range set {
		if c.ids[s] == 0 {
			c.ids[s] = len(c.ids) + 1
		}
		ids[i] = c.ids[s]
	}
	slices.Sort(ids)
	return fmt.Sprint(toKey, slices.Compact(ids))
}

// accepts asks the validator, so that a value without parts needs no compiling.
func (c *compiler) accepts(set []*jsonschema.Schema, v any) bool {
	return !slices.ContainsFunc(set, func(s *jsonschema.Schema) bool { return s.Validate(v) != nil })
}

// doubt leaves something to the validator.
func (c *compiler) doubt() { c.whole = false }

// parts is what a set of schemas says of values of one kind.
type parts struct {
	flat   []*jsonschema.Schema   // all that apply, through $ref, allOf and unions with one branch for the kind
	unions [][]*jsonschema.Schema // branches of which exactly one must be found
	never  bool                   // no value of the kind is valid
	doubt  bool                   // there is a keyword that the pass does not know
}

func (c *compiler) resolve(set []*jsonschema.Schema, kind string) parts {
	var p parts
	for _, s := range set {
		c.add(&p, s, kind)
	}
	return p
}

func (c *compiler) add(p *parts, s *jsonschema.Schema, kind string) {
	if s.Ref != nil { // in draft-07 nothing counts beside $ref
		c.add(p, s.Ref, kind)
		return
	}
	if slices.Contains(p.flat, s) {
		return
	}
	if !c.admits(s, kind) {
		p.never = true
		return
	}
	p.flat = append(p.flat, s)
	p.doubt = p.doubt || !plain(s, kind)
	for _, sub := range s.AllOf {
		c.add(p, sub, kind)
	}
	for _, branches := range [][]*jsonschema.Schema{s.AnyOf, s.OneOf} {
		if len(branches) > 0 {
			c.union(p, branches, kind)
		}
	}
}

// union adds what a union means for one kind of value: string or null is a string for strings.
func (c *compiler) union(p *parts, branches []*jsonschema.Schema, kind string) {
	var left []*jsonschema.Schema
	for _, b := range branches {
		if c.admits(b, kind) {
			left = append(left, b)
		}
	}
	switch len(left) {
	case 0:
		p.never = true
	case 1:
		c.add(p, left[0], kind)
	default:
		p.unions = append(p.unions, left)
	}
}

// plain reports whether the pass knows all that one schema says of values of a kind.
func plain(s *jsonschema.Schema, kind string) bool {
	if s.Bool == nil && s.DraftVersion != 7 || s.Not != nil || s.If != nil || len(s.Extensions) > 0 {
		return false
	}
	switch kind {
	case "object":
		return s.Const == nil && s.Enum == nil && s.PropertyNames == nil && s.Dependencies == nil
	case "array":
		_, tuple := s.Items.([]*jsonschema.Schema)
		return s.Const == nil && s.Enum == nil && s.Contains == nil && !tuple && s.AdditionalItems == nil
	case "string":
		return s.ContentEncoding == nil && s.ContentMediaType == nil
	}
	return true
}

func (c *compiler) array(set []*jsonschema.Schema) *arrayRule {
	p := c.resolve(set, "array")
	if p.never {
		return nil
	}
	if p.doubt || len(p.unions) > 0 {
		c.doubt()
		return nil
	}
	a := &arrayRule{max: noLimit}
	var items []*jsonschema.Schema
	for _, s := range p.flat {
		a.min, a.max = narrow(a.min, a.max, s.MinItems, s.MaxItems)
		a.unique = a.unique || s.UniqueItems
		if sub, ok := s.Items.(*jsonschema.Schema); ok {
			items = append(items, sub)
		}
	}
	a.items = c.rule(items, nil) // a key below an item is found by a second pass
	if a.unique && !a.items.onlyText() {
		c.doubt()
		return nil
	}
	return a
}

func (r *rule) onlyText() bool {
	return !r.null && !r.yes && !r.no && r.number == nil && r.array == nil && r.object == nil
}

const noLimit = int(^uint(0) >> 1)

// narrow takes the narrower of limits.
func narrow(low, high int, least, most *int) (newLow, newHigh int) {
	if least != nil {
		low = max(low, *least)
	}
	if most != nil {
		high = min(high, *most)
	}
	return low, high
}

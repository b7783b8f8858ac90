// SPDX-License-Identifier: Apache-2.0

package spec

import (
	"cmp"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// objectRule is what an object may be. Either it has a tag, a field whose value says which variant the object is, or
// it has fields.
type objectRule struct {
	tag      string
	variants map[string]*objectRule // by the tag's value; nil = there is no tag

	fields   []field // what a schema names, in the document's order
	index    map[string]int
	required fieldSet
	min, max int
	patterns []*regexp.Regexp
	rest     []*rule // of other fields, by the set of patterns that match the name; bit 0 is the first pattern
}

// field is a field with a name that a schema says.
type field struct {
	quoted string // its usual spelling and the closing quote
	rule   *rule
	isKey  bool // the partition key
}

// fieldSet is a set of an objectRule's fields.
type fieldSet [4]uint64

const (
	maxFields   = 4 * 64
	maxPatterns = 3
)

func (c *compiler) object(p parts, toKey []string) *objectRule {
	switch {
	case p.never:
		return nil
	case p.doubt:
		c.doubt()
		return nil
	case len(p.unions) > 0:
		return c.tagged(p, toKey)
	}
	o := &objectRule{max: noLimit, index: map[string]int{}}
	for _, s := range p.flat {
		o.min, o.max = narrow(o.min, o.max, s.MinProperties, s.MaxProperties)
	}
	names := c.names(p.flat)
	if len(toKey) > 0 && !slices.Contains(names, toKey[0]) {
		names = append(names, toKey[0])
	}
	if len(names) > maxFields || slices.ContainsFunc(names, odd) || !c.others(o, p.flat) {
		c.doubt()
		return nil
	}
	for i, name := range names {
		var below []string
		f := field{quoted: name + `"`}
		if len(toKey) > 0 && toKey[0] == name {
			below, f.isKey = toKey[1:], len(toKey) == 1
		}
		f.rule = c.field(p.flat, func(re jsonschema.Regexp) bool { return re.MatchString(name) }, name, below)
		o.fields, o.index[name] = append(o.fields, f), i
		if slices.ContainsFunc(p.flat, func(s *jsonschema.Schema) bool { return slices.Contains(s.Required, name) }) {
			o.required[i/64] |= 1 << (i % 64)
		}
	}
	return o
}

// odd reports whether a name cannot be found by its bytes: because it is escaped in JSON, or because it is empty, which
// field takes for no name.
func odd(name string) bool {
	end, form := textEnd([]byte(name+`"`), 0)
	return name == "" || end != len(name) || form == escapedText
}

// names are the fields that schemas name.
func (c *compiler) names(flat []*jsonschema.Schema) []string {
	var names []string
	known := map[string]bool{}
	for _, s := range flat {
		order := map[string]int{}
		for i, name := range c.fieldOrder(s) {
			order[name] = i
		}
		of := slices.Clone(s.Required)
		for name := range s.Properties {
			of = append(of, name)
		}
		slices.SortFunc(of, func(a, b string) int { return cmp.Or(cmp.Compare(order[a], order[b]), cmp.Compare(a, b)) })
		for _, name := range slices.Compact(of) {
			if !known[name] {
				known[name], names = true, append(names, name)
			}
		}
	}
	return names
}

// fieldOrder lists the properties of a schema in the order of the document, which most writers keep.
func (c *compiler) fieldOrder(s *jsonschema.Schema) []string {
	_, fragment, _ := strings.Cut(s.Location, "#")
	pointer, _ := url.PathUnescape(fragment)
	raw, _ := find(c.raw, pointer+"/properties")
	var names []string
	for i, more := 1, len(raw) > 1 && raw[0] == '{'; more; {
		i = skipSpace(raw, i)
		end := skipValue(raw, i)
		if end < i+len(`""`) {
			break // there are no properties
		}
		names = append(names, string(appendUnescaped(nil, raw[i+1:end-1])))
		i, more, _ = nextElement(raw, skipSpace(raw, end)+1, '}')
	}
	return names
}

// others compiles what schemas say of fields that they do not name.
func (c *compiler) others(o *objectRule, flat []*jsonschema.Schema) bool {
	bits := map[string]int{}
	for _, s := range flat {
		for re := range s.PatternProperties {
			compiled, ok := re.(*regexp.Regexp)
			if !ok {
				return false
			}
			if _, known := bits[re.String()]; !known {
				bits[re.String()] = len(o.patterns)
				o.patterns = append(o.patterns, compiled)
			}
		}
	}
	if len(o.patterns) > maxPatterns {
		return false
	}
	for set := range 1 << len(o.patterns) {
		matches := func(re jsonschema.Regexp) bool { return set>>bits[re.String()]&1 == 1 }
		o.rest = append(o.rest, c.field(flat, matches, "", nil))
	}
	return true
}

// field merges what schemas say of one field: a named one, or (name is "") any other whose name matches these patterns.
// What applies is what the validator and closeWriters take.
func (c *compiler) field(flat []*jsonschema.Schema, matches func(jsonschema.Regexp) bool, name string,
	toKey []string) *rule {
	var subs []*jsonschema.Schema
	declared := false
	for _, s := range flat {
		known := false
		if sub := s.Properties[name]; sub != nil {
			subs, known = append(subs, sub), true
		}
		for re, sub := range s.PatternProperties {
			if matches(re) {
				subs, known = append(subs, sub), true
			}
		}
		if !known && s.AdditionalProperties != nil {
			if s.AdditionalProperties == false {
				return &rule{}
			}
			known = true
			if sub, ok := s.AdditionalProperties.(*jsonschema.Schema); ok {
				subs = append(subs, sub)
			}
		}
		declared = declared || known
	}
	if !declared && !c.schema.open && slices.ContainsFunc(flat, declaresFields) {
		return &rule{}
	}
	return c.rule(subs, toKey)
}

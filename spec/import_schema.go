// SPDX-License-Identifier: Apache-2.0

package spec

import (
	"fmt"
	"regexp"
	"slices"

	"github.com/autobus-io/autobus"
)

// schemas gives the schema at root, under name, and all that it refers to, as members of components.schemas.
func (m *importer) schemas(root place, name string) (*node, error) {
	root, err := m.resolve(root)
	if err != nil {
		return nil, autobus.NewError(autobus.ReasonSpecInvalid, "the schema cannot be used: %v", err).
			WithHint("Mend its references.")
	}
	m.taken[name] = true
	m.names[root.id()] = name
	m.queue = []definition{{name, root}}
	out := obj()
	for i := 0; i < len(m.queue); i++ {
		n, err := m.schema(m.queue[i].place)
		if err != nil {
			return nil, err
		}
		out.set(m.queue[i].name, asObject(n))
	}
	return out, nil
}

// schema copies one schema into draft-07. Keywords that it does not have only make a schema accept less; without them
// the data still passes.
func (m *importer) schema(p place) (*node, error) {
	if p.node.form != object {
		return p.node, nil
	}
	if _, ok := p.node.ref(); ok {
		return m.reference(p)
	}
	out := obj()
	for _, k := range p.node.keys {
		name, value, err := m.keyword(p, k.name)
		if err != nil {
			return nil, err
		}
		if value != nil && out.get(name) == nil {
			out.set(name, value)
		}
	}
	return out, nil
}

// asObject writes true and false as objects, because nothing else may stand in components.schemas.
func asObject(n *node) *node {
	switch {
	case n.form != literal:
		return n
	case n.text == "false":
		return obj("not", obj())
	}
	return obj()
}

// noDraft07 are keywords that draft-07 does not have or that mean nothing in a file of the repository.
var noDraft07 = []string{"$id", "$schema", "$anchor", "$comment", "$vocabulary", "$defs", "definitions", "$dynamicRef",
	"$dynamicAnchor", "$recursiveRef", "$recursiveAnchor", "unevaluatedProperties", "unevaluatedItems", "minContains",
	"maxContains", "contentSchema", "nullable", "discriminator", "xml"}

// keyword translates one keyword; nil = it is left out.
func (m *importer) keyword(p place, name string) (as string, value *node, err error) {
	at := p.child(name)
	n := at.node
	switch {
	case slices.Contains(noDraft07, name):
		return "", nil, nil
	case name == "id" && n.form == str, name == "required" && n.form == literal:
		return "", nil, nil // of drafts 3 and 4
	}
	switch name {
	case "exclusiveMinimum", "exclusiveMaximum": // draft 4 says true beside the bound
		if bound := p.node.get(lowerFirst(name[len("exclusive"):])); n.text == "true" || n.text == "false" {
			if n.text == "true" {
				return name, bound, nil
			}
			return "", nil, nil
		}
	case "minimum", "maximum":
		if exclusive := p.node.get("exclusive" + upperFirst(name)); exclusive != nil && exclusive.text == "true" {
			return "", nil, nil
		}
	case "type":
		return name, typeNode(p.node), nil
	case "pattern":
		if !m.matchable(at, n.value) {
			return "", nil, nil
		}
	case "dependentRequired", "dependentSchemas", "dependencies":
		value, err = m.named(at)
		return "dependencies", value, err
	case "not", "if", "then", "else":
		decides := at
		if name != "not" {
			decides = p.child("if")
		}
		if decides.node == nil || m.loose(decides, map[string]bool{}) {
			return "", nil, nil
		}
		value, err = m.schema(at)
		return name, value, err
	case "oneOf":
		if m.loose(at, map[string]bool{}) {
			name = "anyOf"
		}
		value, err = m.listed(at)
		return name, value, err
	case "properties", "patternProperties":
		value, err = m.named(at)
		return name, value, err
	case "prefixItems":
		value, err = m.listed(at)
		return "items", value, err
	case "items", "allOf", "anyOf":
		if name == "items" && p.node.get("prefixItems") != nil {
			name = "additionalItems"
		}
		value, err = m.listed(at)
		return name, value, err
	case "additionalProperties", "additionalItems", "contains", "propertyNames":
		value, err = m.schema(at)
		return name, value, err
	}
	return name, n, nil
}

// loose reports whether something is left out of a schema or of what it refers to, so that it accepts more than it did.
// What refuses data that such a schema accepts would refuse more: it is left out itself, and of branches of which one
// must match one or more may.
func (m *importer) loose(p place, seen map[string]bool) bool {
	to, err := m.resolve(p)
	if err != nil || seen[to.id()] {
		return false
	}
	seen[to.id()] = true
	if ref, isRef := p.node.ref(); isRef && ref != "" && len(p.node.keys) > 1 {
		return true
	}
	for _, word := range []string{"unevaluatedProperties", "unevaluatedItems", "minContains", "maxContains", "$dynamicRef",
		"$recursiveRef"} {
		if to.node.get(word) != nil {
			return true
		}
	}
	if pattern := to.node.str("pattern"); !compiles(pattern) {
		return true
	}
	if patterns := to.node.get("patternProperties"); patterns != nil && slices.ContainsFunc(patterns.keys,
		func(k key) bool { return !compiles(k.name) }) {
		return true
	}
	found := false
	_ = m.each(to, false, func(next place, names bool) error { // never an error
		if names {
			return m.each(next, true, func(next place, _ bool) error {
				found = found || m.loose(next, seen)
				return nil
			})
		}
		found = found || m.loose(next, seen)
		return nil
	})
	return found
}

func compiles(pattern string) bool {
	_, err := regexp.Compile(pattern)
	return err == nil && len(pattern) <= maxPatternBytes
}

// matchable leaves out patterns that only other engines know.
func (m *importer) matchable(p place, pattern string) bool {
	if !compiles(pattern) {
		m.left = append(m.left, fmt.Sprintf("%s: the pattern %s", pointer(p.path), shorten(pattern, maxValue)))
		return false
	}
	return true
}

// typeNode is a type of draft-07: any is none, nullable is one more.
func typeNode(schema *node) *node {
	kinds := typesOf(schema)
	if n := schema.get("nullable"); n != nil && n.text == "true" && !slices.Contains(kinds, "null") {
		kinds = append(kinds, "null")
	}
	switch {
	case slices.Contains(kinds, "any") || len(kinds) == 0:
		return nil
	case len(kinds) == 1:
		return text0(kinds[0])
	}
	out := arr()
	for _, kind := range kinds {
		out.values = append(out.values, text0(kind))
	}
	return out
}

func (m *importer) reference(p place) (*node, error) {
	to, err := m.resolve(p)
	if err != nil {
		return nil, autobus.NewError(autobus.ReasonSpecInvalid, "%s: %v", pointer(p.path), err).
			WithHint("Mend the reference in %s.", p.file)
	}
	name, known := m.names[to.id()]
	if !known {
		name = (&bundler{taken: m.taken}).name(to)
		m.names[to.id()] = name
		m.queue = append(m.queue, definition{name, to})
	}
	return obj("$ref", text0("#/components/schemas/"+name)), nil
}

// named copies schemas by their names.
func (m *importer) named(p place) (*node, error) {
	if p.node.form != object {
		return p.node, nil
	}
	out := obj()
	for _, k := range p.node.keys {
		if p.path[len(p.path)-1] == "patternProperties" && !m.matchable(p.child(k.name), k.name) {
			continue
		}
		n, err := m.schema(p.child(k.name))
		if err != nil {
			return nil, err
		}
		out.set(k.name, n)
	}
	return out, nil
}

// listed copies a list of schemas, or one.
func (m *importer) listed(p place) (*node, error) {
	if p.node.form != list {
		return m.schema(p)
	}
	out := arr()
	for i := range p.node.values {
		n, err := m.schema(p.child(itoa(i)))
		if err != nil {
			return nil, err
		}
		out.values = append(out.values, n)
	}
	return out, nil
}

func lowerFirst(s string) string { return string(s[0]+'a'-'A') + s[1:] }

func upperFirst(s string) string { return string(s[0]-'a'+'A') + s[1:] }

// SPDX-License-Identifier: Apache-2.0

package spec

import (
	"maps"
	"slices"
)

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// union is the keys of both, sorted.
func union[V any](a, b map[string]V) []string {
	keys := append(slices.Collect(maps.Keys(a)), slices.Collect(maps.Keys(b))...)
	slices.Sort(keys)
	return slices.Compact(keys)
}

func (c *comparer) objects(o, n *shape) []Change {
	found := c.required(o, n)
	for _, name := range union(o.properties, n.properties) {
		found = append(found, under(member("properties", name), c.property(o, n, name))...)
	}
	found = append(found, c.patternProperties(o, n)...)
	found = append(found, c.dependentOn(o, n)...)
	found = append(found, under("/propertyNames", c.pair(o.nameShape, n.nameShape))...)
	found = append(found, under("/additionalProperties", c.remainder("ADDITIONAL_PROPERTIES", o.rest, n.rest))...)
	found = append(found,
		under("/unevaluatedProperties", c.remainder("UNEVALUATED_PROPERTIES", o.unevaluated, n.unevaluated))...)
	found = append(found, limit("MAX_PROPERTIES", "maxProperties", o, n)...)
	return append(found, limit("MIN_PROPERTIES", "minProperties", o, n)...)
}

// remainder compares what may stand beside what is named.
func (c *comparer) remainder(prefix ChangeKind, o, n *shape) []Change {
	was, is := o != nil && o.form == formNever, n != nil && n.form == formNever
	switch {
	case was && is, isOpen(o) && isOpen(n):
		return nil
	case was:
		return one(prefix+"_ADDED", "", o.written(), n.written())
	case is:
		return one(prefix+"_REMOVED", "", o.written(), n.written())
	case isOpen(o):
		return one(prefix+"_NARROWED", "", o.written(), n.written())
	case isOpen(n):
		return one(prefix+"_EXTENDED", "", o.written(), n.written())
	}
	return c.pair(o, n)
}

// requiredNames are the properties that an object must have.
func (s *shape) requiredNames() []string { return stringsOf(s.words["required"]) }

// hasDefault reports whether readers of the schema fill in a property that is missing.
func (s *shape) hasDefault(name string) bool {
	p := s.properties[name]
	if p == nil {
		return false
	}
	_, ok := p.words["default"] // null is one
	return ok
}

// required compares which properties must be there. One that is new is told of with what is new about it.
func (c *comparer) required(o, n *shape) []Change {
	var found []Change
	was, is := o.requiredNames(), n.requiredNames()
	for _, name := range was {
		if !slices.Contains(is, name) {
			found = append(found, Change{Kind: "REQUIRED_ATTRIBUTE_REMOVED", Pointer: member("required", name), Old: name})
		}
	}
	for _, name := range is {
		added := o.properties[name] == nil && n.properties[name] != nil
		if slices.Contains(was, name) || added {
			continue
		}
		kind := ChangeKind("REQUIRED_ATTRIBUTE_ADDED")
		if n.hasDefault(name) {
			kind = "REQUIRED_ATTRIBUTE_WITH_DEFAULT_ADDED"
		}
		found = append(found, Change{Kind: kind, Pointer: member("required", name), New: name})
	}
	return found
}

// property compares what two objects say of one property.
func (c *comparer) property(o, n *shape, name string) []Change {
	was, is := o.properties[name], n.properties[name]
	switch {
	case is == nil:
		return c.propertyRemoved(was, n, name)
	case was == nil:
		return c.propertyAdded(o, n, name)
	}
	return c.pair(was, is)
}

// propertyRemoved looks only at what the new object accepts instead.
func (c *comparer) propertyRemoved(was, n *shape, name string) []Change {
	var found []Change
	accepted, open := n.accepts(name, true)
	switch {
	case open:
		return one("PROPERTY_REMOVED_FROM_OPEN_CONTENT_MODEL", "", was.written(), nil)
	case len(accepted) == 1 && accepted[0].form == formNever && was.form == formNever:
		return one("PROPERTY_WITH_FALSE_REMOVED_FROM_CLOSED_CONTENT_MODEL", "", was.written(), nil)
	case len(accepted) == 1 && accepted[0].form == formNever:
		return one("PROPERTY_REMOVED_FROM_CLOSED_CONTENT_MODEL", "", was.written(), nil)
	}
	for _, s := range accepted {
		found = append(found, c.pair(was, s)...)
	}
	if c.compatible(found) {
		return append(slices.Clip(found), Change{Kind: "PROPERTY_REMOVED_IS_COVERED_BY_PARTIALLY_OPEN_CONTENT_MODEL",
			Old: was.written()})
	}
	return append(slices.Clip(found), Change{Kind: "PROPERTY_REMOVED_NOT_COVERED_BY_PARTIALLY_OPEN_CONTENT_MODEL",
		Old: was.written()})
}

// propertyAdded looks only at what the old object accepted there.
func (c *comparer) propertyAdded(o, n *shape, name string) []Change {
	is := n.properties[name]
	model, optional := ChangeKind("_ADDED_TO_UNOPEN_CONTENT_MODEL"), ChangeKind("OPTIONAL_PROPERTY")
	if slices.Contains(n.requiredNames(), name) && !slices.Contains(o.requiredNames(), name) {
		optional = "REQUIRED_PROPERTY"
		if n.hasDefault(name) {
			optional = "REQUIRED_PROPERTY_WITH_DEFAULT"
		}
	}
	accepted, open := o.accepts(name, false)
	var found []Change
	switch {
	case open && isOpen(is) && optional != "REQUIRED_PROPERTY":
		return one("PROPERTY_WITH_EMPTY_SCHEMA_ADDED_TO_OPEN_CONTENT_MODEL", "", nil, is.written())
	case open:
		model = "_ADDED_TO_OPEN_CONTENT_MODEL"
	case len(accepted) == 1 && accepted[0].form == formNever:
	default:
		kind := ChangeKind("PROPERTY_ADDED_NOT_COVERED_BY_PARTIALLY_OPEN_CONTENT_MODEL")
		for _, s := range accepted { // all of them hold, so one is enough
			if found = c.pair(s, is); c.compatible(found) {
				kind = "PROPERTY_ADDED_IS_COVERED_BY_PARTIALLY_OPEN_CONTENT_MODEL"
				break
			}
		}
		found = append(slices.Clip(found), Change{Kind: kind, New: is.written()})
	}
	return append(slices.Clip(found), Change{Kind: optional + model, New: is.written()})
}

// accepts gives the schemas that must hold for a property which the object does not name; open, if anything does. A
// pattern that cannot be understood counts as matching if unsure says so.
func (s *shape) accepts(name string, unsure bool) (schemas []*shape, open bool) {
	for _, pattern := range sortedKeys(s.patterns) {
		if matches(pattern, name, unsure) {
			schemas = append(schemas, s.patterns[pattern])
		}
	}
	if len(schemas) == 0 {
		schemas = append(schemas, s.others())
	}
	return schemas, !slices.ContainsFunc(schemas, func(s *shape) bool { return !isOpen(s) })
}

// others is what the object accepts of properties that nothing names.
func (s *shape) others() *shape {
	if _, said := s.words["additionalProperties"]; said {
		return s.rest
	}
	return s.unevaluated
}

func (c *comparer) dependentOn(o, n *shape) []Change {
	var found []Change
	for _, name := range union(o.requires, n.requires) {
		was, hadIt := o.requires[name]
		is, hasIt := n.requires[name]
		lost := slices.ContainsFunc(was, func(s string) bool { return !slices.Contains(is, s) })
		won := slices.ContainsFunc(is, func(s string) bool { return !slices.Contains(was, s) })
		kind := ChangeKind("DEPENDENCY_ARRAY_CHANGED")
		switch {
		case !hasIt:
			kind = "DEPENDENCY_ARRAY_REMOVED"
		case !hadIt:
			kind = "DEPENDENCY_ARRAY_ADDED"
		case !lost && !won:
			continue
		case !lost:
			kind = "DEPENDENCY_ARRAY_EXTENDED"
		case !won:
			kind = "DEPENDENCY_ARRAY_NARROWED"
		}
		found = append(found, Change{Kind: kind, Pointer: member("dependencies", name), Old: listOf(was), New: listOf(is)})
	}
	for _, name := range union(o.dependent, n.dependent) {
		was, is := o.dependent[name], n.dependent[name]
		at := member("dependencies", name)
		switch {
		case is == nil:
			found = append(found, Change{Kind: "DEPENDENCY_SCHEMA_REMOVED", Pointer: at, Old: was.written()})
		case was == nil:
			found = append(found, Change{Kind: "DEPENDENCY_SCHEMA_ADDED", Pointer: at, New: is.written()})
		default:
			found = append(found, under(at, c.pair(was, is))...)
		}
	}
	return found
}

func listOf(words []string) any {
	if words == nil {
		return nil
	}
	return words
}

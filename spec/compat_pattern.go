// SPDX-License-Identifier: Apache-2.0

package spec

import (
	"regexp"
	"slices"
)

// matches reports whether a pattern matches a name; unsure is the answer for patterns that Go does not know.
func matches(pattern, name string, unsure bool) bool {
	re, err := regexp.Compile(pattern)
	if err != nil {
		return unsure
	}
	return re.MatchString(name)
}

// patternProperties compares properties by pattern.
func (c *comparer) patternProperties(o, n *shape) []Change {
	var found []Change
	for _, pattern := range union(o.patterns, n.patterns) {
		was, is, at := o.patterns[pattern], n.patterns[pattern], member("patternProperties", pattern)
		switch {
		case is == nil:
			found = append(found, Change{Kind: c.patternRemoved(was, n), Pointer: at, Old: was.written()})
		case was == nil:
			found = append(found, Change{Kind: c.patternAdded(o, is, pattern), Pointer: at, New: is.written()})
		default:
			found = append(found, under(at, c.pair(was, is))...)
		}
	}
	return found
}

// patternRemoved looks at what the new object accepts of properties that nothing names. That another pattern of it may
// apply to some of them is judged with that pattern.
func (c *comparer) patternRemoved(was, n *shape) ChangeKind {
	if others := n.others(); isOpen(others) || c.compatible(c.pair(was, others)) {
		return "PATTERN_PROPERTY_REMOVED"
	}
	return "PATTERN_PROPERTY_REMOVED_NOT_COVERED"
}

// patternAdded looks at all that the old object may hold under a name that the pattern matches.
func (c *comparer) patternAdded(o, is *shape, pattern string) ChangeKind {
	accepted := []*shape{o.others()}
	for _, name := range sortedKeys(o.properties) {
		if matches(pattern, name, true) {
			accepted = append(accepted, o.properties[name])
		}
	}
	for _, other := range sortedKeys(o.patterns) {
		accepted = append(accepted, o.patterns[other])
	}
	covered := func(s *shape) bool { return c.compatible(c.pair(s, is)) }
	if slices.ContainsFunc(accepted, func(s *shape) bool { return !covered(s) }) {
		return "PATTERN_PROPERTY_ADDED"
	}
	return "PATTERN_PROPERTY_ADDED_IS_COVERED"
}

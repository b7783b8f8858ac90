// SPDX-License-Identifier: Apache-2.0

package spec

import (
	"slices"
	"strconv"
)

func ruleS19() Rule {
	return Rule{
		ID: "S19", Severity: SeverityError,
		Title: "Strings and arrays have maxLength and maxItems: an error for keys and ids, a warning elsewhere; and the " +
			"largest event fits max.message.bytes.",
		Why:   "One value that no column holds stops a reader; one event that is too large is refused by the brokers.",
		Mend:  "Add maxLength or maxItems: the most that anybody has room for.",
		check: checkS19,
	}
}

func checkS19(l *linter) {
	keys := map[string]bool{}
	for _, s := range l.specs {
		at := s.payload
		for _, step := range tokens(s.KeyPointer) {
			fields := l.topFields(s, at)
			i := slices.IndexFunc(fields, func(f *schemaAt) bool { return f.name == step })
			if i < 0 {
				break
			}
			at = fields[i].place
		}
		keys[at.id()] = s.KeyPointer != ""
	}
	for _, s := range l.schemas {
		severity := SeverityWarning
		if keys[s.id()] || slices.Contains([]string{"id", "ids"}, lastWord(s.name)) {
			severity = SeverityError
		}
		if s.has("string") && !limited(s.node) {
			l.addAs(severity, s.declared, l.rule.Mend, "the string %s has no maxLength", s.name)
		}
		if s.has("array") && s.says("maxItems") == nil {
			l.addAs(severity, s.declared, l.rule.Mend, "the array %s has no maxItems", s.name)
		}
	}
	for _, s := range l.specs {
		size, known := l.largest(s.payload, map[string]bool{})
		if known && s.ContentType == "" && size > s.MaxEventBytes {
			l.addAs(SeverityError, s.payload, "Lower maxLength and maxItems, or raise max.message.bytes.",
				"an event of %s may have %d bytes, its topic takes %d", s.Name, size, s.MaxEventBytes)
		}
	}
}

// limited reports whether a string has a length that is known.
func limited(n *node) bool {
	for _, keyword := range []string{"maxLength", "enum", "const"} {
		if n.get(keyword) != nil {
			return true
		}
	}
	return slices.Contains([]string{"date-time", "date", "time", "uuid", "ipv4", "ipv6", "decimal", "hostname",
		"email"}, n.str("format"))
}

// What values that have no limit of their own count for, in bytes, and characters of strings.
const (
	scalarBytes = 32
	formatBytes = 256
	runeBytes   = 4
)

// largest is how many bytes a value may have as JSON; false where there is no limit.
func (l *linter) largest(p place, open map[string]bool) (size int, known bool) {
	p, err := l.resolve(p)
	if err != nil || p.node == nil || open[p.id()] {
		return 0, false
	}
	open[p.id()] = true
	defer delete(open, p.id())
	kinds := typesOf(p.node)
	switch {
	case slices.Contains(kinds, "array"):
		most, limited := intOf(p.node.get("maxItems"))
		item, known := l.largest(p.child("items"), open)
		return most*(item+1) + 2, limited && known
	case slices.Contains(kinds, "string"):
		if most, limited := intOf(p.node.get("maxLength")); limited {
			return most*runeBytes + 2, true
		}
		return formatBytes, limited(p.node)
	case !slices.Contains(kinds, "object"):
		return scalarBytes, len(kinds) > 0 || p.node.get("const") != nil
	}
	for _, keyword := range []string{"allOf", "anyOf", "oneOf"} {
		if p.node.get(keyword) != nil {
			return 0, false
		}
	}
	size = 2
	properties := p.child("properties")
	if properties.node == nil {
		return 0, false
	}
	for _, k := range properties.node.keys {
		n, known := l.largest(properties.child(k.name), open)
		if !known {
			return 0, false
		}
		size += len(k.name) + 4 + n
	}
	return size, true
}

func intOf(n *node) (int, bool) {
	if n == nil {
		return 0, false
	}
	i, err := strconv.Atoi(n.text)
	return i, err == nil && i >= 0 && i < 1<<31
}

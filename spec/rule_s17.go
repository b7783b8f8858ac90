// SPDX-License-Identifier: Apache-2.0

package spec

import (
	"regexp"
	"slices"
	"strings"
)

func ruleS17() Rule {
	return Rule{
		ID: "S17", Severity: SeverityError,
		Title: "Every property has a type, names have one casing in the whole repository and are no reserved words, and a " +
			"nested object has a title or is shared by $ref.",
		Why:   "Code is generated from it: a class needs a name, a field a type.",
		Mend:  "Add type; write orderId everywhere or order_id everywhere; add title: OrderItem to the object.",
		check: checkS17,
	}
}

var (
	camelCase = regexp.MustCompile(`^[a-z][a-zA-Z0-9]*$`)
	snakeCase = regexp.MustCompile(`^[a-z][a-z0-9]*(_[a-z0-9]+)*$`)
)

// reserved are words that are no names in one of the languages that clients are written in.
const reserved = "abstract and as assert async await boolean break byte case catch char class const continue " +
	"debugger def del delete do double elif else enum except export extends false final finally float for from " +
	"function global goto if implements import in instanceof int interface is lambda let long namespace native new " +
	"nonlocal not null or package pass private protected public raise return self short static super " +
	"switch synchronized this throw throws transient true try typeof var void volatile while with yield"

func checkS17(l *linter) {
	casing, word := l.casing()
	for _, f := range l.fields {
		switch {
		case !casing.MatchString(f.name):
			l.add(f.declared, "the name %s is not %s, as others here are", f.name, word)
		case slices.Contains(strings.Fields(reserved), f.name):
			l.add(f.declared, "the name %s is a reserved word", f.name)
		}
		if !typed(f.node) {
			l.add(f.declared, "the property %s has no type", f.name)
		}
	}
	for _, s := range l.schemas {
		nested := s.in != nil && !s.branch && !s.reference
		if nested && s.says("properties") != nil && s.node.str("title") == "" {
			l.add(s.declared, "the object %s has no title and is not shared", orThis(s.name))
		}
	}
}

func typed(n *node) bool {
	return slices.ContainsFunc([]string{"type", "const", "enum", "oneOf", "anyOf", "allOf"}, func(k string) bool {
		return n.get(k) != nil
	})
}

// casing is what most names of several words have; files taken over from elsewhere do not count.
func (l *linter) casing() (form *regexp.Regexp, word string) {
	camel, snake := 0, 0
	for _, f := range l.fields {
		isCamel, isSnake := camelCase.MatchString(f.name), snakeCase.MatchString(f.name)
		switch {
		case isCamel == isSnake || l.openFile(f.file):
		case isCamel:
			camel++
		default:
			snake++
		}
	}
	if snake > camel {
		return snakeCase, "snake_case"
	}
	return camelCase, "camelCase"
}

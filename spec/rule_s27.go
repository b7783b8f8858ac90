// SPDX-License-Identifier: Apache-2.0

package spec

import (
	"slices"
	"strings"
)

func ruleS27() Rule {
	return Rule{
		ID: "S27", Severity: SeverityWarning,
		Title: "No two events of a domain have 80 % of their fields in common.",
		Why:   "They may be one event, or one of them may carry what belongs to another.",
		Mend:  "Make one of them, or say in the waiver why both are needed.",
		check: checkS27,
	}
}

// What makes two events alike.
const (
	alikePart   = 80 // per cent
	alikeFields = 4
)

func checkS27(l *linter) {
	for i, s := range l.specs {
		for _, other := range l.specs[:i] {
			if s.Kind != "event" || other.Kind != "event" || !neighbours(s.Name, other.Name) {
				continue
			}
			same := 0
			for _, f := range s.top {
				if slices.ContainsFunc(other.top, func(o *schemaAt) bool {
					return o.name == f.name && slices.Equal(typesOf(o.node), typesOf(f.node))
				}) {
					same++
				}
			}
			if most := max(len(s.top), len(other.top)); most >= alikeFields && same*100 >= most*alikePart {
				l.add(s.channel.child("address"), "%s has %d of %d fields in common with %s", s.Name, same, most, other.Name)
			}
		}
	}
}

// neighbours reports whether two types are of one domain and not versions of one.
func neighbours(a, b string) bool {
	domain, _, _ := strings.Cut(a, ".")
	return strings.HasPrefix(b, domain+".") && a[:strings.LastIndex(a, ".v")] != b[:strings.LastIndex(b, ".v")]
}

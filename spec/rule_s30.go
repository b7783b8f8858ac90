// SPDX-License-Identifier: Apache-2.0

package spec

import "strings"

func ruleS30() Rule {
	return Rule{
		ID: "S30", Severity: SeverityHint,
		Title: "Who still reads a type with a property that says deprecated: true.",
		Why:   "It can go with the next major, once they need it no more.",
		Mend:  "Ask them before the next major.",
		check: checkS30,
	}
}

func checkS30(l *linter) {
	for _, f := range l.fields {
		if !f.flag("deprecated") {
			continue
		}
		readers := "nobody"
		if names := l.services(f.spec.Name); len(names) > 0 {
			readers = strings.Join(names, ", ")
		}
		l.add(f.declared, "the deprecated property %s of %s is read by: %s", f.name, f.spec.Name, readers)
	}
}

// SPDX-License-Identifier: Apache-2.0

package spec

func ruleS18() Rule {
	return Rule{
		ID: "S18", Severity: SeverityWarning,
		Title: "A property is optional or may be null, not both; else it says x-null-means.",
		Why:   "Absent, null and a value are three states; most languages have two.",
		Mend:  "Leave null away, or require the property, or say x-null-means: the customer took the address away.",
		check: checkS18,
	}
}

func checkS18(l *linter) {
	for _, f := range l.fields {
		if !f.required && f.has("null") && f.node.str("x-null-means") == "" {
			l.add(f.declared, "%s may be absent and may be null", f.name)
		}
	}
}

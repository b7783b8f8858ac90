// SPDX-License-Identifier: Apache-2.0

package spec

func ruleS14() Rule {
	return Rule{
		ID: "S14", Severity: SeverityWarning,
		Title: "An enum of two values or more says x-extensible: true, or x-closed: why it never grows.",
		Why:   "Readers that know all values stop at the first new one, in the next minor version.",
		Mend:  "Add x-extensible: true beside the enum; readers must then take a value they do not know.",
		check: checkS14,
	}
}

func checkS14(l *linter) {
	for _, s := range l.schemas {
		enum := s.child("enum")
		if enum.node == nil || len(enum.node.values) < 2 || s.flag("x-extensible") || s.node.str("x-closed") != "" {
			continue
		}
		l.add(enum, "the enum does not say whether it may grow")
	}
}

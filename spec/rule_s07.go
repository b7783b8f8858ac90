// SPDX-License-Identifier: Apache-2.0

package spec

import "slices"

func ruleS07() Rule {
	return Rule{
		ID: "S07", Severity: SeverityWarning,
		Title: "No meta-event: a type named updated, changed or status does not say in a field what happened.",
		Why:   "Every reader of all must know all; a switch in the data has no schema, no filter and no order of its own.",
		Mend:  "Make an event of each value, such as refund.approved and refund.paid; autobus spec new --like copies one.",
		check: checkS07,
	}
}

func checkS07(l *linter) {
	for _, s := range l.specs {
		if !slices.Contains([]string{"update", "updated", "change", "changed", "event", "status"}, lastPart(s.Name)) {
			continue
		}
		for _, f := range s.top {
			says := slices.Contains([]string{"type", "kind", "action", "event"}, f.name)
			if says && f.required && (f.says("enum") != nil || l.switches(s, f.name)) {
				l.add(f.declared, "%s says in %s what happened", s.Name, f.name)
			}
		}
	}
}

// switches reports whether the payload has branches that a field decides between.
func (l *linter) switches(s *specAt, field string) bool {
	condition, err := l.resolve(s.payload.child("if"))
	if err == nil && condition.node.get("properties").get(field) != nil {
		return true
	}
	branches := s.payload.node.get("oneOf")
	return branches != nil && slices.ContainsFunc(branches.values, func(n *node) bool {
		return n.get("properties").get(field).get("const") != nil
	})
}

// lastPart is the last part of a type's name before the version.
func lastPart(name string) string {
	parts := splitName(name)
	return parts[len(parts)-1]
}

// SPDX-License-Identifier: Apache-2.0

package spec

func ruleS03() Rule {
	return Rule{
		ID: "S03", Severity: SeverityError,
		Title: "An event channel has one message; a reply channel has one message of success, the others say x-error: true.",
		Why:   "What is one topic for several things has no schema, no owner and no order that anybody can rely on.",
		Mend:  "Give each event its own file; mark the replies that mean failure by x-error: true.",
		check: checkS03,
	}
}

func checkS03(l *linter) {
	for _, s := range l.specs {
		for _, r := range s.replies {
			fine := 0
			for _, msg := range l.messages(r.at) {
				if !isError(msg) {
					fine++
				}
			}
			if fine != 1 {
				l.add(r.at.child("messages"), "%s has %d messages of success, not one", r.at.node.str("address"), fine)
			}
		}
	}
}

// isError reports whether a reply means failure.
func isError(msg place) bool {
	n := msg.node.get("x-error")
	return n != nil && n.text == "true"
}

// SPDX-License-Identifier: Apache-2.0

package spec

import "strings"

func ruleS05() Rule {
	return Rule{
		ID: "S05", Severity: SeverityError,
		Title: "The name of an event does not hide a command: no ready-to-..., should-..., need-..., to-be-..., do-...",
		Why: "item.ready-to-refund tells somebody to refund, but nobody answers for it, and nobody sees that it was " +
			"not done.",
		Mend:  "Make it a command with a reply (kind:command, refunds.refund.create), or name what happened (item.returned).",
		check: checkS05,
	}
}

func checkS05(l *linter) {
	for _, s := range l.specs {
		if word := hidesCommand(s.Name); word != "" && s.Kind == "event" {
			l.add(s.channel.child("address"), "the event %s says by %q what is to be done", s.Name, word)
		}
	}
}

// hidesCommand gives the words in a type's name that tell somebody what to do.
func hidesCommand(name string) string {
	for part := range strings.SplitSeq(name, ".") {
		for _, hidden := range []string{"ready-to", "should", "need", "needs", "to-be", "do", "must"} {
			if part == hidden || strings.HasPrefix(part, hidden+"-") {
				return hidden
			}
		}
	}
	return ""
}

// SPDX-License-Identifier: Apache-2.0

package spec

import "slices"

func ruleS29() Rule {
	return Rule{
		ID: "S29", Severity: SeverityWarning,
		Title: "A producer does not read its own event; an event has a reader, at the latest in the version after its first.",
		Why: "A loop multiplies events; an event that nobody reads is work for nobody. Who reads needs --against to be " +
			"judged.",
		Mend:  "Keep the state where it is made; or deprecate the event.",
		check: checkS29,
	}
}

func checkS29(l *linter) {
	for _, s := range l.specs {
		op, found := l.operationOf(s)
		for _, in := range l.readersOf(s.Name) {
			if found && slices.Contains(words(op.node.get("x-producers")), l.serviceOf(in)) {
				l.add(in.op, "%s publishes %s and reads it", l.serviceOf(in), s.Name)
			}
		}
		if s.Kind == "event" && s.Lifecycle == "active" && len(l.readersOf(s.Name)) == 0 && l.unreadBefore(s.Name) {
			l.add(s.channel.child("address"), "nobody reads %s, and nobody did before", s.Name)
		}
	}
}

// unreadBefore reports whether the version before had the type, and no reader of it.
func (l *linter) unreadBefore(name string) bool {
	if len(l.history) == 0 {
		return false
	}
	last := l.history[len(l.history)-1]
	_, there := last.Type(name)
	return there && !slices.ContainsFunc(last.Subscriptions(), func(s *Subscription) bool {
		return slices.Contains(s.Policy.Types, name)
	})
}

// SPDX-License-Identifier: Apache-2.0

package spec

func ruleS28() Rule {
	return Rule{
		ID: "S28", Severity: SeverityError,
		Title: "Every receive operation of a service has a group of its own (groupId or x-subscription.instances), x-sla " +
			"and x-on-failure.",
		Why:   "Else nobody knows that a reader is stuck, nor what is done with an event that it cannot take.",
		Mend:  "Add x-sla: {max-lag: 1000, max-age: 60s} and x-on-failure: {retries: [1s, 10s, 1m]}.",
		check: checkS28,
	}
}

func checkS28(l *linter) {
	for _, in := range l.receives {
		if l.said(in.op, "x-on-failure").node == nil {
			l.add(in.op, "the operation does not say what is done after a failure: no x-on-failure")
		}
		sla := l.said(in.op, "x-sla")
		if sla.node == nil {
			l.add(in.op, "the operation does not say how far it may lag: no x-sla")
			continue
		}
		lag, age, within := sla.child("max-lag"), sla.child("max-age"), sla.child("reply-within")
		if lag.node == nil && age.node == nil && within.node == nil {
			l.add(sla, "x-sla has neither max-lag nor max-age")
		}
		if _, ok := intOf(lag.node); lag.node != nil && !ok {
			l.addAs(SeverityError, lag, "Write a number of events.", "max-lag is no number")
		}
		for _, at := range []place{age, within} {
			if _, ok := durationOf(at.node); at.node != nil && !ok {
				l.addAs(SeverityError, at, "Write it as 60s or 1m30s.", "%s is no duration", at.path[len(at.path)-1])
			}
		}
	}
}

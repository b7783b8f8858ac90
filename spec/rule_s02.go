// SPDX-License-Identifier: Apache-2.0

package spec

import "strings"

func ruleS02() Rule {
	return Rule{
		ID: "S02", Severity: SeverityError,
		Title: "The address is domain.entity.action.vN, and the file, id, title, topic and version agree with it.",
		Why: "One name finds the spec, the topic and the owner. A name of two parts, such as refund.update.v1, is a " +
			"warning: it is waived, not renamed, while there are readers.",
		Mend:  "Write address: orders.order.placed.v1 in events/orders/order.placed.v1.yaml.",
		check: checkS02,
	}
}

func checkS02(l *linter) {
	for _, s := range l.specs {
		name := s.Name[:strings.LastIndex(s.Name, ".v")]
		domain, rest, _ := strings.Cut(s.Name, ".")
		if strings.Count(name, ".") < 2 {
			l.addAs(SeverityWarning, s.channel.child("address"), "Name new types domain.entity.action.vN; waive this one "+
				"while it has readers.", "the name %s has two parts: which of domain, entity and action is missing?", s.Name)
		}
		if want := "events/" + domain + "/" + rest + ".yaml"; s.doc.file != want {
			l.addAs(SeverityError, s.channel.child("address"), "Move the file, or rename the type while nobody uses it.",
				"%s is not the file of %s, which is %s", s.doc.file, s.Name, want)
		}
		if id, want := s.doc.child("id"), "urn:"+s.Kind+":"+s.Name; id.node != nil && id.node.value != want {
			l.addAs(SeverityError, id, "Write id: "+want+".", "the id %s is not that of %s", shorten(id.node.value, maxValue),
				s.Name)
		}
		if s.Title != name {
			l.addAs(SeverityError, s.info.child("title"), "Write title: "+name+".", "the title %q is not the name %s",
				shorten(s.Title, maxValue), name)
		}
	}
}

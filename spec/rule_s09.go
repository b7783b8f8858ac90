// SPDX-License-Identifier: Apache-2.0

package spec

import (
	"slices"
	"strings"
)

func ruleS09() Rule {
	return Rule{
		ID: "S09", Severity: SeverityError,
		Title: "Events take id, time, source, type and spec version from the CloudEvents trait; the payload does not say " +
			"them again, and a time in it says of what it is.",
		Why: "Two ids are two answers to whether an event came twice. The time of the event and that of the business " +
			"differ.",
		Mend: "Add traits: [{$ref: '../../common/cloudevent.yaml#/components/messageTraits/event'}]; write orderId, " +
			"placedAt.",
		check: checkS09,
	}
}

func checkS09(l *linter) {
	for _, s := range l.specs {
		if s.Kind == "event" && l.said(s.message, "headers", "properties", "ce_id").node == nil {
			l.add(s.message, "the message of %s has no trait that declares ce_id", s.Name)
		}
		for _, f := range s.top {
			if redeclares(f) {
				l.add(f.declared, "%s is what CloudEvents say outside of the data", f.name)
			}
		}
	}
}

// redeclares reports whether a field of a payload is an attribute of the event under its own or a common name. An enum
// is a word of the business.
func redeclares(f *schemaAt) bool {
	name := strings.Join(wordsOf(f.name), "")
	switch name {
	case "type", "source":
		return f.says("enum") == nil && f.says("const") == nil
	}
	return strings.HasPrefix(f.name, "ce_") || slices.Contains([]string{"id", "time", "timestamp", "datetime", "date",
		"specversion", "eventid", "eventtime", "eventtype", "eventsource", "eventversion", "schemaversion",
		"messageid"}, name)
}

// SPDX-License-Identifier: Apache-2.0

package spec

import "slices"

func ruleS10() Rule {
	return Rule{
		ID: "S10", Severity: SeverityError,
		Title: "x-from names the key: a field that is required, not null, and a string or an integer; or the type says " +
			"x-unordered: true.",
		Why:   "Events of one order are read in their order only if they have the same key, every time.",
		Mend:  "Write bindings: {kafka: {key: {type: string, x-from: /orderId}}} at the message, and require the field.",
		check: checkS10,
	}
}

func checkS10(l *linter) {
	for _, s := range l.specs {
		from := l.said(s.message, "bindings", "kafka", "key", "x-from")
		switch {
		case s.Unordered || s.ContentType != "":
		case from.node == nil:
			l.add(s.message, "%s has no key, and does not say that it needs none", s.Name)
		case s.KeyPointer != "":
			l.checkKey(s, from)
		}
	}
}

func (l *linter) checkKey(s *specAt, from place) {
	at := s.payload
	var field *schemaAt
	for _, step := range tokens(s.KeyPointer) {
		fields := l.topFields(s, at)
		i := slices.IndexFunc(fields, func(f *schemaAt) bool { return f.name == step })
		if i < 0 || !fields[i].required {
			l.add(from, "the key %s of %s is not required", s.KeyPointer, s.Name)
			return
		}
		field, at = fields[i], fields[i].place
	}
	for _, kind := range typesOf(field.node) {
		if kind != "string" && kind != "integer" {
			l.add(from, "the key %s of %s may be %s", s.KeyPointer, s.Name, kind)
		}
	}
}

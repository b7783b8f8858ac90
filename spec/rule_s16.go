// SPDX-License-Identifier: Apache-2.0

package spec

func ruleS16() Rule {
	return Rule{
		ID: "S16", Severity: SeverityError,
		Title: "No not, if, then, else, dependencies, patternProperties, propertyNames, contains, tuples, and no " +
			"additionalProperties: false.",
		Why: "Generated code cannot say it, and what is closed cannot grow: the gateway refuses undeclared fields anyway. " +
			"What else the fast check does not know is a warning: such events are checked by a general validator, which " +
			"costs several times the processor time.",
		Mend:  "Say it by required, enum, oneOf with a const, or leave it to the reader.",
		check: checkS16,
	}
}

func checkS16(l *linter) {
	left := map[*specAt]bool{}
	for _, s := range l.schemas {
		for _, keyword := range []string{"not", "if", "then", "else", "dependencies", "patternProperties", "propertyNames",
			"contains", "additionalItems"} {
			if at := s.child(keyword); at.node != nil {
				left[s.spec] = true
				l.add(at, "the keyword %s", keyword)
			}
		}
		if items := s.child("items"); items.node != nil && items.node.form == list {
			left[s.spec] = true
			l.add(items, "items that differ by their place, a tuple")
		}
		if more := s.child("additionalProperties"); more.node != nil && more.node.text == "false" {
			left[s.spec] = true
			l.add(more, "additionalProperties: false")
		}
	}
	for _, f := range l.found { // without a tag the check cannot choose a branch, and S15 has said so
		for _, s := range l.specs {
			left[s] = left[s] || f.Rule == "S15" && f.File == s.payload.file
		}
	}
	for _, s := range l.specs {
		if s.program != nil && !s.program.whole && !left[s] {
			l.addAs(SeverityWarning, s.payload, "Leave away what is unusual, such as anyOf or a pattern with look-around.",
				"the fast check does not know all of this schema: an event of %s costs several times the processor time", s.Name)
		}
	}
}

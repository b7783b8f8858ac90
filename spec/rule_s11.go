// SPDX-License-Identifier: Apache-2.0

package spec

func ruleS11() Rule {
	return Rule{
		ID: "S11", Severity: SeverityError,
		Title: "An integer has format int32 or int64, or minimum and maximum; an id is a string or an int64.",
		Why:   "What fits an UNSIGNED INT here overflows an INT there, and the reader stops at that event.",
		Mend:  "Add format: int32 (SQL INTEGER) or int64 (BIGINT); autobus spec show prints the SQL type of each field.",
		check: checkS11,
	}
}

func checkS11(l *linter) {
	for _, s := range l.schemas {
		if s.has("integer") && !bounded(s) {
			l.add(s.declared, "the integer %s has no format and no bounds", s.name)
		}
	}
	for _, f := range l.fields {
		if f.has("integer") && lastWord(f.name) == "id" && bounded(f) && f.node.str("format") != "int64" {
			l.addAs(SeverityError, f.declared, "Write format: int64; ids grow.", "the id %s is a small integer", f.name)
		}
	}
}

func bounded(s *schemaAt) bool {
	switch s.node.str("format") {
	case "int32", "int64":
		return true
	}
	low := s.says("minimum") != nil || s.says("exclusiveMinimum") != nil
	high := s.says("maximum") != nil || s.says("exclusiveMaximum") != nil
	return low && high || s.says("enum") != nil || s.says("const") != nil
}

// SPDX-License-Identifier: Apache-2.0

package spec

func ruleS08() Rule {
	return Rule{
		ID: "S08", Severity: SeverityWarning,
		Title: "Of five fields or more at most 40 % are optional, and there are at most 30.",
		Why:   "One more optional field is always easier than a new event, until nobody knows which fields come together.",
		Mend:  "Consider an event of its own for what comes together; autobus spec new TYPE --like OTHER begins one.",
		check: checkS08,
	}
}

// What an event may have before it looks like several.
const (
	manyFields      = 30
	fewFields       = 5
	maxOptionalPart = 40 // per cent
)

func checkS08(l *linter) {
	for _, s := range l.specs {
		optional := 0
		for _, f := range s.top {
			if !f.required {
				optional++
			}
		}
		switch n := len(s.top); {
		case n > manyFields:
			l.add(s.payload, "%s has %d fields", s.Name, n)
		case n >= fewFields && optional*100 > n*maxOptionalPart:
			l.add(s.payload, "%d of %d fields of %s are optional", optional, n, s.Name)
		}
	}
}

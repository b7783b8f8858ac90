// SPDX-License-Identifier: Apache-2.0

package spec

import "slices"

func ruleS13() Rule {
	return Rule{
		ID: "S13", Severity: SeverityError,
		Title: "A point in time is a string with format: date-time, which has an offset; no seconds since 1970, no local " +
			"times.",
		Why:   "Seconds or milliseconds, of which zone: five languages give five answers.",
		Mend:  "Write {type: string, format: date-time}; for a day {type: string, format: date}.",
		check: checkS13,
	}
}

func checkS13(l *linter) {
	for _, f := range l.fields {
		format := f.node.str("format")
		switch {
		case slices.Contains([]string{"local-date-time", "date-time-local", "local-time", "unix-time", "timestamp"}, format):
			l.add(f.declared, "%s has format %s, which has no offset", f.name, format)
		case !isTime(f.name):
		case f.has("integer") || f.has("number"):
			l.add(f.declared, "%s is a point in time as a number", f.name)
		case f.has("string") && format != "date-time" && format != "date":
			l.add(f.declared, "%s is a point in time without format: date-time", f.name)
		}
	}
}

// isTime reports whether a name is that of a point in time.
func isTime(name string) bool {
	words := wordsOf(name)
	return len(words) > 1 && words[len(words)-1] == "at" || slices.Contains([]string{"timestamp", "datetime"},
		lastWord(name))
}

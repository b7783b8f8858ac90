// SPDX-License-Identifier: Apache-2.0

package spec

import "slices"

func ruleS26() Rule {
	return Rule{
		ID: "S26", Severity: SeverityWarning,
		Title: "An event carries the id of its entity, required, and the state needed to act, not only a link.",
		Why:   "Else each reader asks the owner for the rest, all at once, and gets what is true by then.",
		Mend:  "Add what readers need: ids, the status, amounts.",
		check: checkS26,
	}
}

func checkS26(l *linter) {
	for _, s := range l.specs {
		if s.Kind != "event" || len(s.top) == 0 {
			continue
		}
		id := func(f *schemaAt) bool { return lastWord(f.name) == "id" || s.KeyPointer == "/"+f.name }
		link := func(f *schemaAt) bool {
			return slices.Contains([]string{"uri", "url", "uri-reference"}, f.node.str("format")) ||
				slices.Contains([]string{"link", "url", "uri", "href"}, lastWord(f.name))
		}
		rest := func(f *schemaAt) bool { return !id(f) && !link(f) }
		switch {
		case !slices.ContainsFunc(s.top, func(f *schemaAt) bool { return id(f) && f.required }):
			l.add(s.payload, "%s requires no id", s.Name)
		case slices.ContainsFunc(s.top, link) && !slices.ContainsFunc(s.top, rest):
			l.add(s.payload, "%s is only a link to what happened", s.Name)
		}
	}
}

// SPDX-License-Identifier: Apache-2.0

package spec

import (
	"maps"
	"slices"
	"strings"

	"github.com/autobus-io/autobus"
)

// waivers is the mapping in which a file says which rules it does not follow, and why: x-lint-ignore: {S07: reason}.
const waivers = "x-lint-ignore"

// waiver gives the reason for which a place does not follow a rule: it stands at the place or at what holds it, or in
// info for the whole file.
func (l *linter) waiver(p place, rule string) (reason string, written bool) {
	at := place{file: p.file, node: l.docs[p.file]}
	if reason = at.child("info").child(waivers).node.str(rule); reason != "" {
		return reason, true
	}
	for i := 0; ; i++ {
		if reason = at.node.get(waivers).str(rule); reason != "" {
			return reason, true
		}
		if i == len(p.path) || at.node == nil {
			return "", false
		}
		at = at.child(p.path[i])
	}
}

// openFile reports whether a file holds a foreign schema, taken over as it is.
func (l *linter) openFile(file string) bool {
	for _, s := range l.specs {
		if s.OpenWriters && (s.doc.file == file || s.payload.file == file) {
			return true
		}
	}
	return l.docs[file].get("info").str("x-writers") == "open"
}

// checkWaivers refuses waivers without a reason or of rules that do not exist.
func (l *linter) checkWaivers() {
	l.rule = ruleS01()
	var ids []string
	for _, r := range Rules() {
		ids = append(ids, r.ID)
	}
	for _, file := range slices.Sorted(maps.Keys(l.docs)) {
		l.waiversBelow(place{file: file, node: l.docs[file]}, ids)
	}
}

func (l *linter) waiversBelow(p place, ids []string) {
	switch p.node.form {
	case object:
		for _, k := range p.node.keys {
			if k.name != waivers {
				l.waiversBelow(p.child(k.name), ids)
				continue
			}
			l.checkWaiver(p.child(k.name), ids)
		}
	case list:
		for i := range p.node.values {
			l.waiversBelow(p.child(itoa(i)), ids)
		}
	case literal, str:
	}
}

func (l *linter) checkWaiver(p place, ids []string) {
	const example = "Write x-lint-ignore: {S08: the reason in words}."
	if p.node.form != object {
		l.addAs(SeverityError, p, example, "%s must map rules to reasons", waivers)
		return
	}
	for _, k := range p.node.keys {
		at := p.child(k.name)
		switch {
		case !slices.Contains(ids, k.name):
			hint := "The rules are S01 to S30."
			if near := autobus.Near(k.name, ids, 1); len(near) > 0 {
				hint = "Did you mean " + near[0] + "?"
			}
			l.addAs(SeverityError, at, hint, "there is no rule %s", shorten(k.name, maxValue))
		case strings.TrimSpace(at.node.value) == "":
			l.addAs(SeverityError, at, example, "the waiver of %s gives no reason", k.name)
		}
	}
}

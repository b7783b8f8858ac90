// SPDX-License-Identifier: Apache-2.0

package spec

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Severity says what a finding of the linter means.
type Severity string

// The severities. An error must be mended; it can be waived only in a file with x-writers: open. A warning is mended or
// waived with a reason. A hint is for whoever plans the next version.
const (
	SeverityError   Severity = "error"
	SeverityWarning Severity = "warning"
	SeverityHint    Severity = "hint"
)

// Rule is one rule of the linter.
type Rule struct {
	ID       string   // S01
	Severity Severity // of most of its findings
	Title    string   // what must be so
	Why      string   // what goes wrong where it is not
	Mend     string   // what to do; findings may know better

	check func(l *linter) // nil = the loader finds it
}

// Rules returns all rules by their ids. Adding one is adding it here.
func Rules() []Rule {
	return []Rule{ruleS01(), ruleS02(), ruleS03(), ruleS04(), ruleS05(), ruleS06(), ruleS07(), ruleS08(), ruleS09(),
		ruleS10(), ruleS11(), ruleS12(), ruleS13(), ruleS14(), ruleS15(), ruleS16(), ruleS17(), ruleS18(), ruleS19(),
		ruleS20(), ruleS21(), ruleS22(), ruleS23(), ruleS24(), ruleS25(), ruleS26(), ruleS27(), ruleS28(), ruleS29(),
		ruleS30()}
}

// LintFinding is one thing that a rule has to say.
type LintFinding struct {
	Severity Severity `json:"severity"`
	Problem
	Waived string `json:"waived,omitempty"` // the reason given in x-lint-ignore; such a finding counts no more
}

// LintOptions are what the linter knows beside the files.
type LintOptions struct {
	History []*Snapshot      // earlier versions of the repository, the oldest first; none = nothing to compare with
	Gone    func(*Type) bool // of the history: no event of it is left (CompatOptions.Gone)
}

// Lint holds a spec repository against all rules and gives every finding at once, by file and line, the waived ones
// too. What the loader refuses is among them, so files without an error can be read by Parse.
func Lint(files Files, o LintOptions) []LintFinding {
	l := newLinter(files, o)
	for _, p := range l.problems {
		l.found = append(l.found, LintFinding{Severity: SeverityError, Problem: p})
	}
	refused := map[string]bool{} // a line that the loader refuses needs no second opinion by the same rule
	for _, p := range l.problems {
		refused[fmt.Sprint(p.Rule, " ", p.File, ":", p.Line)] = true
	}
	l.checkWaivers()
	for _, rule := range Rules() {
		if rule.check == nil {
			continue
		}
		l.rule = rule
		before := len(l.found)
		rule.check(l)
		l.found = append(l.found[:before], slices.DeleteFunc(slices.Clone(l.found[before:]), func(f LintFinding) bool {
			return refused[fmt.Sprint(f.Rule, " ", f.File, ":", f.Line)]
		})...)
	}
	return l.sorted()
}

// linter is one look at a repository.
type linter struct {
	*parser
	rule     Rule // the one that looks
	snapshot *Snapshot
	history  []*Snapshot
	gone     func(*Type) bool
	specs    []*specAt   // types whose message could be read, by name
	schemas  []*schemaAt // every schema of every payload once, in the order of the files
	fields   []*schemaAt // every property once
	found    []LintFinding
}

// specAt is a type and where its parts stand.
type specAt struct {
	*Type
	doc, channel, message, payload place
	info                           place
	top                            []*schemaAt // the properties of the payload itself, those of allOf too
	replies                        []reply
}

func newLinter(files Files, o LintOptions) *linter {
	l := &linter{parser: parse(files), history: o.History, gone: o.Gone}
	l.snapshot = newSnapshot(l.types, l.subs)
	w := schemaCollector{l: l, schemas: map[string]*schemaAt{}, fields: map[string]bool{}}
	for _, name := range slices.Sorted(maps.Keys(l.types)) {
		d := l.types[name]
		if d.message.node == nil {
			continue
		}
		s := &specAt{Type: d.Type, doc: d.doc, channel: d.at, message: d.message, info: d.doc.child("info")}
		for _, r := range l.replies {
			if r.to == name {
				s.replies = append(s.replies, r)
			}
		}
		l.specs = append(l.specs, s)
		s.payload = w.message(s, d.message)
		s.top = l.topFields(s, s.payload)
	}
	for _, s := range l.specs {
		for _, r := range s.replies {
			for _, msg := range l.messages(r.at) {
				w.message(s, msg)
			}
		}
	}
	return l
}

// messages are those of a channel, resolved.
func (l *linter) messages(channel place) []place {
	list := channel.child("messages")
	if list.node == nil {
		return nil
	}
	var out []place
	for _, k := range list.node.keys {
		if msg, err := l.resolve(list.child(k.name)); err == nil {
			out = append(out, msg)
		}
	}
	return out
}

// add adds a finding of the rule that looks.
func (l *linter) add(p place, format string, args ...any) {
	l.addAs(l.rule.Severity, p, l.rule.Mend, format, args...)
}

// addAs adds a finding whose severity or remedy is not its rule's.
func (l *linter) addAs(severity Severity, p place, mend, format string, args ...any) {
	pos := l.docs[p.file].find(p.path)
	f := LintFinding{Severity: severity, Problem: Problem{Rule: l.rule.ID, File: p.file, Line: pos.line,
		Column: pos.column, Pointer: pointer(p.path), Message: fmt.Sprintf(format, args...), Hint: mend}}
	reason, written := l.waiver(p, l.rule.ID)
	switch {
	case !written:
	case severity == SeverityError && !l.openFile(p.file):
		f.Hint += " It is an error: x-lint-ignore counts only where the type says x-writers: open."
	default:
		f.Waived = reason
	}
	l.found = append(l.found, f)
}

func (l *linter) sorted() []LintFinding {
	slices.SortFunc(l.found, func(a, b LintFinding) int {
		if c := comparePlaces(a.Problem, b.Problem); c != 0 {
			return c
		}
		return strings.Compare(a.Rule, b.Rule)
	})
	return slices.Compact(l.found)
}

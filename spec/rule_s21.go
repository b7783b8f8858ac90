// SPDX-License-Identifier: Apache-2.0

package spec

import (
	"slices"
	"strings"
)

func ruleS21() Rule {
	return Rule{
		ID: "S21", Severity: SeverityError,
		Title: "A version gets along with all earlier ones, as x-compatibility asks, and info.version is raised as the " +
			"change needs.",
		Why:   "Events stay in the log, and readers are moved later than writers. Needs --against to compare with.",
		Mend:  "Take the change back, or make a new type of the next major; docs/reference/compatibility.md lists changes.",
		check: checkS21,
	}
}

// partitionsChanged is S24's.
const partitionsChanged ChangeKind = "PARTITIONS_CHANGED"

func checkS21(l *linter) {
	l.broken(func(f Finding) bool { return f.Kind != partitionsChanged })
}

// broken adds what is not compatible with the history. A repository that cannot be read is not compared: what is
// missing from it may be there once it is mended.
func (l *linter) broken(mine func(Finding) bool) {
	if len(l.history) == 0 || len(l.problems) > 0 {
		return
	}
	for _, f := range CheckSpecs(l.history, l.snapshot, CompatOptions{Gone: l.gone}).Changes {
		if f.Compatible || !mine(f) {
			continue
		}
		message := f.Message
		if f.Old != nil && f.New != nil {
			message += ": " + show(f.Old) + " became " + show(f.New)
		}
		if len(f.Hit) > 0 {
			message += " (hit: " + strings.Join(f.Hit, ", ") + ")"
		}
		i := slices.IndexFunc(l.specs, func(s *specAt) bool { return s.Name == f.Type })
		if i < 0 {
			l.found = append(l.found, LintFinding{Severity: l.rule.Severity, Problem: Problem{Rule: l.rule.ID,
				Message: f.Type + ": " + message, Hint: "Bring it back; say x-lifecycle: deprecated, then retired, first."}})
			continue
		}
		l.add(l.changed(l.specs[i], f), "%s: %s", f.Type, message)
	}
}

// changed is the place of a change in the new files, or the nearest to it that there is.
func (l *linter) changed(s *specAt, f Finding) place {
	switch f.Pointer {
	case "info.version":
		return s.info.child("version")
	case "x-from":
		return l.said(s.message, "bindings", "kafka", "key", "x-from")
	case "":
		return s.channel.child("address")
	}
	steps, inSchema := strings.CutPrefix(f.Pointer, "#")
	if !inSchema {
		kafka := l.walk(s.channel, "bindings", "kafka")
		for _, at := range []place{kafka.child(f.Pointer), kafka.child("topicConfiguration").child(f.Pointer)} {
			if at.node != nil {
				return at
			}
		}
		return s.channel
	}
	at := s.payload
	for _, step := range tokens(steps) {
		next := at.child(step)
		if next.node == nil {
			if to, err := l.resolve(at); err == nil {
				next = to.child(step)
			}
		}
		if next.node == nil {
			break
		}
		at = next
	}
	return at
}

// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/autobus-io/autobus/internal/control"
	"github.com/autobus-io/autobus/spec"
)

// livingReaders finds what a push would do to subscriptions that the bus has, which the files alone do not show: a type
// is retired that one of them names (S22), or a command gets a second service (S06).
func (r *Registry) livingReaders(now, next *spec.Snapshot) []spec.LintFinding {
	var out []spec.LintFinding
	for _, rec := range r.cfg.Control.All(control.KindSubscription) {
		v, err := control.Decode[control.Subscription](rec)
		if err != nil {
			continue // of a newer build, which sees to it that nobody writes over it
		}
		who := fmt.Sprintf("the subscription %s of %s", rec.Name, cmp.Or(v.Policy.Owner, "nobody"))
		for _, name := range v.Policy.Types {
			t, ok := next.Type(name)
			if !ok {
				continue // what is taken away without having been retired breaks S21
			}
			if was, ok := now.Type(name); t.Lifecycle == "retired" && (!ok || was.Lifecycle != "retired") {
				out = append(out, finding("S22", t.File, t.Line, "Let it finish, then delete it.", "%s is retired, but %s reads it",
					name, who))
			}
			if _, declared := next.Subscription(rec.Name); declared || t.Kind != "command" {
				continue // whether those of the files are of one service the linter knows
			}
			for _, s := range next.Subscriptions() {
				if handles(s, name) && !handledBefore(now, s.Name, name) {
					out = append(out, finding("S06", s.File, s.Line, "Delete it once the new one is to have its calls.",
						"the command %s is handled by %s already", name, who))
				}
			}
		}
	}
	return out
}

func handles(s *spec.Subscription, name string) bool { return slices.Contains(s.Policy.Types, name) }

func handledBefore(now *spec.Snapshot, subscription, name string) bool {
	s, ok := now.Subscription(subscription)
	return ok && handles(s, name)
}

func finding(rule, file string, line int, hint, format string, args ...any) spec.LintFinding {
	return spec.LintFinding{Severity: spec.SeverityError, Problem: spec.Problem{Rule: rule, File: file, Line: line,
		Message: fmt.Sprintf(format, args...), Hint: hint}}
}

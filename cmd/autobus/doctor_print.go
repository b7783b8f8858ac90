// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"

	"github.com/autobus-io/autobus/internal/doctor"
)

// endWith prints findings and ends the command: exit status 3 when there is a problem among them.
func (a *app) endWith(findings []doctor.Finding) error {
	problems := doctor.Problems(findings)
	if err := a.printFindings(findings, problems == 0); err != nil {
		return err
	}
	if problems > 0 {
		a.note("%d of %d findings must be mended.", problems, len(findings))
		return &exitError{code: exitFound}
	}
	return nil
}

func (a *app) printFindings(findings []doctor.Finding, ok bool) error {
	switch a.output {
	case "json":
		return a.emitValue(map[string]any{"ok": ok, "findings": findings})
	case "ndjson":
		var errs []error
		for _, f := range findings {
			errs = append(errs, a.emitValue(f))
		}
		return errors.Join(errs...)
	}
	var rows [][]string
	for _, f := range findings {
		rows = append(rows, []string{a.severity(f.Severity), f.Check, f.Where, f.What, f.Fix})
	}
	a.table([]string{"", "check", "where", "found", "fix"}, rows)
	return nil
}

// severity is the first column of a finding.
func (a *app) severity(s doctor.Severity) string {
	colors := map[doctor.Severity]string{doctor.OK: green, doctor.Skipped: dim, doctor.Warning: yellow,
		doctor.Problem: red}
	return a.paint(a.out, colors[s], string(s))
}

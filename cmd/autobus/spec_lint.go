// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/autobus-io/autobus/spec"
)

// specLint is the command that holds a spec repository against the rules.
type specLint struct {
	*app
	dir     string
	against []string
	strict  bool
}

// lintReport is what -o json prints.
type lintReport struct {
	Errors   int                `json:"errors"` // of these three those that are not waived
	Warnings int                `json:"warnings"`
	Hints    int                `json:"hints"`
	Waived   int                `json:"waived"`
	Findings []spec.LintFinding `json:"findings"` // the waived ones too
}

func (a *app) newSpecLintCommand() *cobra.Command {
	l := &specLint{app: a}
	cmd := &cobra.Command{
		Use:   "lint [DIR]",
		Short: "Hold a spec repository against the rules",
		Long: "Hold the specs in DIR, by default specs if it is there, else this folder, against all rules, and say of\n" +
			"each finding where it is and how to mend it. docs/reference/lint.md lists the rules. Errors must be mended;\n" +
			"a warning is mended, or waived where it stands: x-lint-ignore: {S08: the reason}. With --against the\n" +
			"rules also hold the specs to what they were.\n\n" +
			"Forms of output beside the usual ones: sarif, github (annotations of a workflow run). Under -o json:\n" +
			"{\"errors\", \"warnings\", \"hints\", \"waived\", \"findings\": [{\"severity\", \"rule\", \"file\", \"line\",\n" +
			"\"column\", \"pointer\", \"message\", \"hint\", \"waived\"}]}, files relative to DIR.\n\n" +
			exitCodes(exitOK, exitFailed, exitUsage, exitFound),
		Example: "  autobus spec lint specs\n  autobus spec lint specs --against git:main --strict\n" +
			"  autobus spec lint specs -o sarif > lint.sarif",
		Args:        cobra.MaximumNArgs(1),
		Annotations: map[string]string{moreOutputs: "sarif github"},
		RunE: func(cmd *cobra.Command, args []string) error {
			l.dir = folderOf(args)
			return l.run(cmd.Context())
		},
	}
	cmd.Flags().StringArrayVar(&l.against, "against", nil,
		"what DIR was before: a folder, git:REF for DIR at a commit (of zeros:\nnothing was), or server for what is and was "+
			"in force on the bus; again\nfor a longer history, the oldest first")
	cmd.Flags().BoolVar(&l.strict, "strict", false, "warnings that are not waived end with status 3, too")
	return cmd
}

// folderOf is the folder of specs that a command works on.
func folderOf(args []string) string {
	if len(args) > 0 {
		return args[0]
	}
	if info, err := os.Stat(defaultSpecs); err == nil && info.IsDir() {
		return defaultSpecs
	}
	return "."
}

func (l *specLint) run(ctx context.Context) error {
	history, err := l.specHistory(ctx, l.against, l.dir)
	if err != nil {
		return err
	}
	files, err := filesIn(l.dir)
	if err != nil {
		return err
	}
	r := lintReport{Findings: spec.Lint(files, spec.LintOptions{History: history})}
	for _, f := range r.Findings {
		switch {
		case f.Waived != "":
			r.Waived++
		case f.Severity == spec.SeverityError:
			r.Errors++
		case f.Severity == spec.SeverityWarning:
			r.Warnings++
		default:
			r.Hints++
		}
	}
	if r.Findings == nil {
		r.Findings = []spec.LintFinding{}
	}
	if err := l.print(r); err != nil {
		return err
	}
	l.note("%d files: %d errors, %d warnings, %d hints; %d waived.", len(files), r.Errors, r.Warnings, r.Hints, r.Waived)
	if r.Errors > 0 || l.strict && r.Warnings > 0 {
		return &exitError{code: exitFound}
	}
	return nil
}

func (l *specLint) print(r lintReport) error {
	switch l.output {
	case "json":
		return l.emitValue(r)
	case "ndjson":
		var errs []error
		for _, f := range r.Findings {
			errs = append(errs, l.emitValue(f))
		}
		return errors.Join(errs...)
	case "sarif":
		return l.emitIndented(sarif(l.dir, r.Findings))
	}
	for _, f := range r.Findings {
		switch {
		case f.Waived != "":
		case l.output == "github":
			fmt.Fprintln(l.out, annotation(l.dir, f))
		default:
			l.printFinding(f)
		}
	}
	return nil
}

// printFinding prints what a compiler would, and what to do.
func (l *specLint) printFinding(f spec.LintFinding) {
	color := map[spec.Severity]string{spec.SeverityError: red, spec.SeverityWarning: yellow, spec.SeverityHint: dim}
	p := f.Problem
	if p.File != "" {
		p.File = filepath.Join(l.dir, filepath.FromSlash(p.File))
	}
	where, message := strings.TrimSuffix(strings.TrimSuffix(p.String(), p.Message), ": "), p.Message
	if where != "" {
		where += ": "
	}
	fmt.Fprintf(l.out, "%s%s %s: %s\n", where, l.paint(l.out, color[f.Severity], string(f.Severity)), f.Rule, message)
	if f.Pointer != "" {
		fmt.Fprintf(l.out, "  at: %s\n", f.Pointer)
	}
	fmt.Fprintf(l.out, "  mend: %s\n", f.Hint)
}

// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/autobus-io/autobus/spec"
)

// specDiff is the command that compares specs.
type specDiff struct {
	*app
	schemas bool
	against []string
	level   string
	policy  string
}

func (a *app) newSpecDiffCommand() *cobra.Command {
	d := &specDiff{app: a}
	cmd := &cobra.Command{
		Use:   "diff [OLD...] NEW",
		Short: "Say what changed between specs and who cannot go on",
		Long: "Compare spec repositories, or JSON Schemas, and say of each change whether data and readers still get\n" +
			"along. OLD and NEW are folders, with --json-schema files; several OLD are a history, the oldest\n" +
			"first, and levels that are transitive look at all of it; of those before the last only what breaks is\n" +
			"told. Without --level each type is held to its own x-compatibility. docs/reference/compatibility.md lists\n" +
			"the kinds of change and what allows them.\n\n" +
			"Under -o json: {\"compatible\": ..., \"changes\": [{\"type\", \"kind\", \"pointer\", \"old\", \"new\",\n" +
			"\"direction\", \"compatible\", \"message\", \"hit\"}]}, the compatible changes too.\n\n" +
			exitCodes(exitOK, exitFailed, exitUsage, exitFound),
		Example: "  autobus spec diff old-specs specs\n  autobus spec diff specs --against git:main\n" +
			"  autobus spec diff specs --against server\n" +
			"  autobus spec diff --json-schema old.json new.json --level BACKWARD --policy strict -o json",
		Args: named("specs to compare", "autobus spec diff specs --against git:main", cobra.MinimumNArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error { return d.run(cmd.Context(), args) },
	}
	f := cmd.Flags()
	f.BoolVar(&d.schemas, "json-schema", false, "compare files that are bare JSON Schemas, draft 4 to 2020-12")
	f.StringArrayVar(&d.against, "against", nil, "what NEW is held against: a folder or file, git:REF for NEW at a\n"+
		"commit, or server for what is and was in force on the bus; again for a\nlonger history, the oldest first")
	f.StringVar(&d.level, "level", "", "NONE, BACKWARD, FORWARD, FULL, or one of them with _TRANSITIVE\n"+
		"(default x-compatibility of each type, FULL_TRANSITIVE)")
	f.StringVar(&d.policy, "policy", string(spec.PolicyLenient),
		"strict: properties that nothing declares may be in the data; lenient: they are not")
	return cmd
}

func (d *specDiff) run(ctx context.Context, args []string) error {
	level, policy := spec.CompatLevel(strings.ToUpper(d.level)), spec.CompatPolicy(strings.ToLower(d.policy))
	switch {
	case level != "" && !slices.Contains(spec.CompatLevels(), level):
		return usage("--level is %q", d.level).
			WithHint("Use NONE, BACKWARD, FORWARD or FULL, the last three also with _TRANSITIVE.")
	case !slices.Contains(spec.CompatPolicies(), policy):
		return usage("--policy is %q", d.policy).WithHint("Use strict or lenient.")
	case len(args) < 2 && len(d.against) == 0:
		return usage("nothing to compare %s with", args[0]).
			WithHint("Name the older one before it, or --against git:main.")
	}
	newer := args[len(args)-1]
	older := append(slices.Clone(args[:len(args)-1]), d.against...)
	var v spec.Verdict
	var err error
	if d.schemas {
		v, err = d.diffSchemas(ctx, older, newer, level, policy)
	} else {
		v, err = d.diffSpecs(ctx, older, newer, spec.CompatOptions{Level: level, Policy: policy})
	}
	if err != nil {
		return err
	}
	return d.print(v)
}

func (d *specDiff) diffSchemas(ctx context.Context, older []string, newer string, level spec.CompatLevel,
	policy spec.CompatPolicy,
) (spec.Verdict, error) {
	if level == "" {
		level = spec.LevelFullTransitive
	}
	next, err := readFile(newer)
	if err != nil {
		return spec.Verdict{}, err
	}
	history := make([][]byte, len(older))
	for i, name := range older {
		ref, ok := strings.CutPrefix(name, "git:")
		switch {
		case ok:
			history[i], err = fileAt(ctx, ref, newer)
		case name == fromServer:
			err = usage("the bus keeps specs, not bare schemas").
				WithHint("Compare a folder of specs with it, or the file with ./%s if it is a file.", fromServer)
		default:
			history[i], err = readFile(name)
		}
		if err != nil {
			return spec.Verdict{}, err
		}
	}
	return spec.CheckSchemas(history, next, level, policy)
}

func (d *specDiff) diffSpecs(ctx context.Context, older []string, newer string, o spec.CompatOptions) (spec.Verdict,
	error,
) {
	next, err := specsIn(newer)
	if err != nil {
		return spec.Verdict{}, err
	}
	history, err := d.specHistory(ctx, older, newer)
	if err != nil {
		return spec.Verdict{}, err
	}
	return spec.CheckSpecs(history, next, o), nil
}

func (d *specDiff) print(v spec.Verdict) error {
	var err error
	switch d.output {
	case "json":
		err = d.emitValue(v)
	case "ndjson":
		var errs []error
		for _, f := range v.Changes {
			errs = append(errs, d.emitValue(f))
		}
		err = errors.Join(errs...)
	default:
		d.printChanges(v.Changes)
	}
	if err != nil {
		return err
	}
	broken := 0
	for _, f := range v.Changes {
		if !f.Compatible {
			broken++
		}
	}
	if v.Compatible {
		d.note("Compatible: %d changes.", len(v.Changes))
		return nil
	}
	d.note("Not compatible: %d of %d changes break a reader. A breaking change is a new type, of the next major.", broken,
		len(v.Changes))
	return &exitError{code: exitFound}
}

// printChanges prints what breaks first.
func (d *specDiff) printChanges(changes []spec.Finding) {
	var rows [][]string
	for _, ok := range []bool{false, true} {
		for _, f := range changes {
			if f.Compatible != ok {
				continue
			}
			word := d.paint(d.out, green, "ok")
			if !ok {
				word = d.paint(d.out, red, "breaks")
			}
			rows = append(rows, []string{word, f.Type, f.Pointer, f.Message, shownValue(f.Old), shownValue(f.New),
				strings.Join(f.Hit, ", ")})
		}
	}
	if len(rows) > 0 {
		d.table([]string{"", "type", "where", "change", "old", "new", "who is hit"}, rows)
	}
}

// maxShown is how much of a value a table shows; -o json has all of it.
const maxShown = 40

func shownValue(v any) string {
	if v == nil {
		return ""
	}
	text, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprint(v)
	}
	if runes := []rune(string(text)); len(runes) > maxShown {
		return string(runes[:maxShown]) + "…"
	}
	return string(text)
}

// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/autobus-io/autobus/internal/sink"
	"github.com/autobus-io/autobus/internal/sink/store"
)

func (a *app) newSinkPlanCommand() *cobra.Command {
	s := &sinkCommand{operator: operator{app: a}}
	specs := ""
	cmd := &cobra.Command{
		Use:   "plan FILE...",
		Short: "Say what a sink needs and what is wrong with it",
		Long: "Hold the file of a sink against the specs and the database: print the SQL that makes or widens its tables,\n" +
			"and every fault: a type or column that does not exist, a pointer that never matches, a column too small for\n" +
			"what the spec allows, a table of another shape, a name that another sink has. Changes nothing without --apply,\n" +
			"and nothing at all where there is a fault. Without faults, what is to be applied is exit status 0 too.\n\n" +
			exitCodes(exitOK, exitFailed, exitUsage, exitFound, exitUnreachable),
		Example: "  autobus sink plan orders.yaml\n" +
			"  autobus sink plan orders.yaml --apply\n" +
			"  autobus sink plan orders.yaml --specs ./specs -o json",
		Args: named("file", "autobus sink plan orders.yaml", cobra.MinimumNArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			return s.plan(cmd.Context(), args, specs)
		},
	}
	s.flags(cmd)
	cmd.Flags().BoolVar(&s.apply, "apply", false, "change the database as planned")
	cmd.Flags().StringVar(&specs, "specs", "", "folder of the specs; then no cluster is asked")
	return cmd
}

// sinkPlan is a plan as JSON.
type sinkPlan struct {
	File    string       `json:"file"`
	Sink    string       `json:"sink"`
	Target  string       `json:"target"`
	Table   string       `json:"table"`
	Steps   []store.Step `json:"steps"`
	Applied bool         `json:"applied"`
}

func (s *sinkCommand) plan(ctx context.Context, files []string, specs string) error {
	sources := func(_ context.Context, f *sink.File) ([]sink.Source, error) {
		snapshot, err := specsIn(specs)
		if err != nil {
			return nil, err
		}
		return sourcesOf(f, snapshot)
	}
	if specs == "" {
		c, types, err := s.open(ctx)
		if err != nil {
			return err
		}
		defer c.close()
		sources = types.sources
	}
	ctx, cancel := context.WithTimeout(ctx, s.app.timeout)
	defer cancel()
	plans, err := planAll(ctx, files, sources)
	for _, p := range plans {
		defer p.end()
	}
	s.app.warnSink(plans...)
	if err != nil {
		return s.app.faulty(err)
	}
	for _, p := range plans {
		if s.apply {
			if err := p.target.Apply(ctx, p.check.Steps); err != nil {
				return err
			}
		}
		if err := s.print(p); err != nil {
			return err
		}
	}
	return nil
}

func (s *sinkCommand) print(p *planned) error {
	a := s.app
	if a.output != "table" {
		steps := p.check.Steps
		if steps == nil {
			steps = []store.Step{}
		}
		return a.emitValue(sinkPlan{File: p.file.Path, Sink: p.file.Name, Target: p.target.Address(), Table: p.file.Table,
			Steps: steps, Applied: s.apply})
	}
	for _, step := range p.check.Steps {
		fmt.Fprintf(a.out, "-- %s\n%s;\n", step.Why, step.SQL)
	}
	switch {
	case len(p.check.Steps) == 0:
		a.note("%s: the table %s at %s is as the sink needs it.", p.file.Name, p.file.Table, p.target.Address())
	case s.apply:
		a.note("%s: applied to %s.", p.file.Name, p.target.Address())
	default:
		a.note("%s: apply it to %s: autobus sink plan %s --apply", p.file.Name, p.target.Address(), p.file.Path)
	}
	return nil
}

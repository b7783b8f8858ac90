// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/autobus-io/autobus/internal/sink"
	"github.com/autobus-io/autobus/internal/sink/store"
)

func (a *app) newSinkErrorsCommand() *cobra.Command {
	return group("errors", "Look at events that a sink set aside, and write them after a repair",
		"  autobus sink errors list orders.yaml\n  autobus sink errors replay orders.yaml",
		a.newSinkErrorsListCommand(), a.newSinkErrorsReplayCommand())
}

func (a *app) newSinkErrorsListCommand() *cobra.Command {
	limit := 100
	cmd := &cobra.Command{
		Use:   "list FILE",
		Short: "List events that a sink set aside",
		Long: "List events that a sink set aside because they do not fit its table, the oldest first, with the reason " +
			"and the\n" +
			"SQLSTATE that the database gave. The first column names one for sink errors replay --only.\n\n" +
			exitCodes(exitOK, exitFailed, exitUsage, exitUnreachable),
		Example: "  autobus sink errors list orders.yaml\n  autobus sink errors list orders.yaml -o ndjson | jq .data",
		Args:    named("file", "autobus sink errors list orders.yaml", cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, cancel := context.WithTimeout(cmd.Context(), a.timeout)
			defer cancel()
			f, err := sink.ReadFile(args[0])
			if err != nil {
				return a.faulty(err)
			}
			target, err := newTarget(f)
			if err != nil {
				return a.faulty(err)
			}
			defer func() { _ = target.End() }()
			aside, err := target.Asides(ctx, f.Name, limit)
			if err != nil {
				return err
			}
			return a.printAsides(f, aside)
		},
	}
	cmd.Flags().IntVarP(&limit, "limit", "n", limit, "list at most so many; 0 = all")
	return cmd
}

func (a *app) printAsides(f *sink.File, aside []store.Aside) error {
	if a.output == "json" {
		if aside == nil {
			aside = []store.Aside{}
		}
		return a.emitIndented(aside)
	}
	var rows [][]string
	for _, e := range aside {
		if a.output == "ndjson" {
			if err := a.emitValue(e); err != nil {
				return err
			}
			continue
		}
		rows = append(rows, []string{asideName(e), stamp(e.At), e.ID, e.Key, e.State, oneLine(e.Reason)})
	}
	if a.output == "ndjson" {
		return nil
	}
	if len(rows) == 0 {
		a.note("%s has set nothing aside.", f.Name)
		return nil
	}
	a.table([]string{"event", "set aside", "id", "key", "sqlstate", "reason"}, rows)
	return nil
}

func asideName(e store.Aside) string { return fmt.Sprintf("%s/%d/%d", e.Topic, e.Partition, e.Offset) }

func (a *app) newSinkErrorsReplayCommand() *cobra.Command {
	s := &sinkCommand{operator: operator{app: a}}
	var only []string
	data := ""
	cmd := &cobra.Command{
		Use:   "replay FILE",
		Short: "Write events that a sink set aside, after a repair",
		Long: "Write events that a sink set aside, after the table, the sink's file, or by --data the data was repaired. " +
			"What is\n" +
			"written is set aside no more, in the same transaction; what still does not fit stays, with its new reason, and\n" +
			"the exit status is 1. It works beside a sink that runs, and never overwrites what is newer.\n\n" +
			exitCodes(exitOK, exitFailed, exitUsage, exitFound, exitUnreachable),
		Example: "  autobus sink errors replay orders.yaml\n" +
			"  autobus sink errors replay orders.yaml --only orders.order.placed.v1/0/17 --data repaired.json",
		Args: named("file", "autobus sink errors replay orders.yaml", cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error { return s.replay(cmd.Context(), args[0], only, data) },
	}
	s.flags(cmd)
	cmd.Flags().StringSliceVar(&only, "only", nil, "events to write, as sink errors list names them (default all)")
	cmd.Flags().StringVar(&data, "data", "", "file of the data that takes the place of the one event's own")
	return cmd
}

func (s *sinkCommand) replay(ctx context.Context, file string, only []string, data string) error {
	wanted := map[string]bool{}
	for _, name := range only {
		parts := strings.Split(name, "/")
		if _, err := strconv.ParseInt(parts[len(parts)-1], 10, 64); err != nil || len(parts) != 3 {
			return usage("--only: %q names no event",
				name).WithHint("Write it as sink errors list does: TOPIC/PARTITION/OFFSET.")
		}
		wanted[name] = true
	}
	var repaired []byte
	if data != "" {
		var err error
		if len(wanted) != 1 {
			return usage("--data without one --only").WithHint("Name the one event whose data it is.")
		}
		if repaired, err = os.ReadFile(data); err != nil {
			return usage("--data: %s", err).WithHint("Check the file's name.")
		}
	}
	c, types, err := s.open(ctx)
	if err != nil {
		return err
	}
	defer c.close()
	ctx, cancel := context.WithTimeout(ctx, s.app.timeout)
	defer cancel()
	p, err := planSink(ctx, file, types.sources)
	defer p.end()
	if err != nil {
		return s.app.faulty(err)
	}
	if err := unapplied([]*planned{p}); err != nil {
		return err
	}
	done, err := p.target.Replay(ctx, p.plan,
		func(e store.Aside) bool { return len(wanted) == 0 || wanted[asideName(e)] },
		func(store.Aside) []byte { return repaired })
	if err != nil {
		return err
	}
	s.app.note("%d written, %d still set aside.", done.Rows, len(done.Bad))
	for _, row := range done.Bad {
		s.app.note("%s/%d/%d: %s %s", row.Record.Topic, row.Record.Partition, row.Record.Offset, row.Bad.State,
			oneLine(row.Bad.Reason))
	}
	if len(done.Bad) > 0 {
		return &exitError{code: exitFailed}
	}
	return nil
}

// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"log/slog"

	"github.com/spf13/cobra"

	"github.com/autobus-io/autobus/internal/sink"
)

func (a *app) newSinkRunCommand() *cobra.Command {
	s := &sinkCommand{operator: operator{app: a}}
	accept := false
	cmd := &cobra.Command{
		Use:   "run FILE...",
		Short: "Run sinks",
		Long: "Read the events of sinks and write them into their tables, until Ctrl-C, which is exit status 0 here. " +
			"Rows and\n" +
			"positions are written in one transaction: whatever is killed, each event is in the table once. A second\n" +
			"process of the same sink waits until the first is gone.\n\n" +
			"It stops where somebody has to decide: events deleted before they were written, or too many that do not fit.\n\n" +
			exitCodes(exitOK, exitFailed, exitUsage, exitFound, exitUnreachable),
		Example: "  autobus sink run orders.yaml\n" +
			"  autobus sink run orders.yaml --apply --kafka k1:9092,k2:9092",
		Args: named("file", "autobus sink run orders.yaml", cobra.MinimumNArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error { return s.run(cmd.Context(), args, accept) },
	}
	s.flags(cmd)
	cmd.Flags().BoolVar(&s.apply, "apply", false, "first change the database as sink plan says")
	cmd.Flags().BoolVar(&accept, "accept-gap", false, "go on where events were deleted before they were written")
	return cmd
}

func (s *sinkCommand) run(ctx context.Context, files []string, accept bool) error {
	c, types, err := s.open(ctx)
	if err != nil {
		return err
	}
	defer c.close()
	planning, cancel := context.WithTimeout(ctx, s.app.timeout)
	defer cancel()
	plans, err := planAll(planning, files, types.sources)
	for _, p := range plans {
		defer p.end()
	}
	s.app.warnSink(plans...)
	if err != nil {
		return s.app.faulty(err)
	}
	if s.apply {
		for _, p := range plans {
			if err := p.target.Apply(planning, p.check.Steps); err != nil {
				return err
			}
		}
	} else if err := unapplied(plans); err != nil {
		return err
	}
	level := slog.LevelInfo
	if s.app.quiet {
		level = slog.LevelWarn
	}
	logger := slog.New(slog.NewTextHandler(s.app.err, &slog.HandlerOptions{Level: level}))
	metrics := sink.NewMetrics(nil)
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	ended := make(chan error, len(plans))
	for _, p := range plans {
		r := sink.New(sink.Config{Plan: p.plan, Log: c.log, Target: p.target, Logger: logger, Metrics: metrics,
			AcceptGap: accept})
		go func() { ended <- r.Run(ctx) }()
	}
	var errs []error
	for range plans { // one that stops does not stop the others, but the command ends with its error
		err := <-ended
		if err != nil {
			s.app.note("%s", err)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

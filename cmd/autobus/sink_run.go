// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"log/slog"
	"strings"

	"github.com/spf13/cobra"

	"github.com/autobus-io/autobus/internal/sink"
)

// sinkRun is what only sink run has flags for.
type sinkRun struct {
	accept bool
	listen string
}

func (a *app) newSinkRunCommand() *cobra.Command {
	s := &sinkCommand{operator: operator{app: a}}
	var r sinkRun
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
			"  autobus sink run orders.yaml --apply --kafka k1:9092,k2:9092\n" +
			"  autobus sink run orders.yaml --config autobus.yaml --listen 127.0.0.1:7072",
		Args: named("file", "autobus sink run orders.yaml", cobra.MinimumNArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error { return s.run(cmd.Context(), args, r) },
	}
	s.flags(cmd)
	cmd.Flags().BoolVar(&s.apply, "apply", false, "first change the database as sink plan says")
	cmd.Flags().StringVar(&r.listen, "listen", "", "address at which to show /metrics, /livez and /readyz, host:port")
	cmd.Flags().BoolVar(&r.accept, "accept-gap", false, "go on where events were deleted before they were written")
	return cmd
}

func (s *sinkCommand) run(ctx context.Context, files []string, r sinkRun) error {
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
	registry := newProcessMetrics()
	metrics := sink.NewMetrics(registry)
	runners := make([]*sink.Runner, len(plans))
	for i, p := range plans {
		runners[i] = sink.New(sink.Config{Plan: p.plan, Log: c.log, Target: p.target, Logger: logger, Metrics: metrics,
			AcceptGap: r.accept})
	}
	return watched(ctx, r.listen, registry, func() error { return sinksReady(runners) }, logger,
		func(ctx context.Context) error { return s.runAll(ctx, runners) })
}

// runAll runs sinks until all of them have ended. One that stops does not stop the others, but its error remains.
func (s *sinkCommand) runAll(ctx context.Context, runners []*sink.Runner) error {
	ended := make(chan error, len(runners))
	for _, r := range runners {
		go func() { ended <- r.Run(ctx) }()
	}
	var errs []error
	for range runners {
		err := <-ended
		if err != nil {
			s.app.note("%s", err)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// sinksReady names the sinks that do not do their work. To stand by for another process is work.
func sinksReady(runners []*sink.Runner) error {
	var not []string
	for _, r := range runners {
		if state := r.State(); state != sink.StateWriting && state != sink.StateStandby {
			not = append(not, r.Name()+" is "+state)
		}
	}
	if len(not) > 0 {
		return errors.New(strings.Join(not, ", "))
	}
	return nil
}

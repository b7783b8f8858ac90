// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/kafka"
	"github.com/autobus-io/autobus/internal/sink"
	"github.com/autobus-io/autobus/internal/sink/store"
	"github.com/autobus-io/autobus/spec"
)

func (a *app) newSinkRebuildCommand() *cobra.Command {
	s := &sinkCommand{operator: operator{app: a}}
	cmd := &cobra.Command{
		Use:   "rebuild FILE",
		Short: "Fill a sink's table anew from the log, beside the live one, and swap",
		Long: "Fill new tables beside the live ones with all that the log holds, then put them in their place in one\n" +
			"transaction, with their positions: readers see the old rows or the new ones, never fewer. The live sink goes on\n" +
			"meanwhile, waits for the last moment of it, and goes on from the new positions. What retention deleted from the\n" +
			"log is not in the new tables. If it ends before the swap, nothing has changed.\n\n" +
			exitCodes(exitOK, exitFailed, exitUsage, exitFound, exitUnreachable, exitConfirm),
		Example: "  autobus sink rebuild orders.yaml\n  autobus sink rebuild orders.yaml --yes --config autobus.yaml",
		Args:    named("file", "autobus sink rebuild orders.yaml", cobra.ExactArgs(1)),
		RunE:    func(cmd *cobra.Command, args []string) error { return s.rebuild(cmd.Context(), args[0]) },
	}
	s.flags(cmd)
	s.yesFlag(cmd)
	return cmd
}

// built gives the file of the tables that are filled beside the live ones.
func builtFile(f *sink.File) *sink.File {
	b := *f
	b.Name += "~rebuild"
	b.Table += sink.BuildSuffix
	b.Start = sink.StartEarliest
	rename := func(children []sink.Child) (out []sink.Child) {
		for _, c := range children {
			c.Table += sink.BuildSuffix
			out = append(out, c)
		}
		return out
	}
	b.Children, b.Types = rename(f.Children), nil
	for _, t := range f.Types {
		t.Children = rename(t.Children)
		b.Types = append(b.Types, t)
	}
	return &b
}

func (s *sinkCommand) rebuild(ctx context.Context, file string) error {
	c, types, err := s.open(ctx)
	if err != nil {
		return err
	}
	defer c.close()
	f, err := sink.ReadFile(file)
	if err != nil {
		return s.app.faulty(err)
	}
	sources, err := types.sources(ctx, f)
	if err != nil {
		return s.app.faulty(err)
	}
	live, faults, _ := sink.MakePlan(f, sources)
	if len(faults) > 0 {
		return s.app.faulty(faults)
	}
	built, faults, _ := sink.MakePlan(builtFile(f), sources)
	if len(faults) > 0 {
		return s.app.faulty(faults)
	}
	target, err := newTarget(f)
	if err != nil {
		return s.app.faulty(err)
	}
	defer func() { _ = target.End() }()
	st, ok, err := target.Status(ctx, f.Name)
	if err != nil {
		return err
	}
	if !ok || st.Target != f.Table {
		return s.app.faulty(spec.Problems{{File: file,
			Message: "the database has no sink " + f.Name + " that fills " + f.Table,
			Hint:    "Run autobus sink plan FILE: there is nothing to rebuild yet."}})
	}
	s.app.note("%s at %s is filled anew from %d partitions and takes the place of the table there, with its children; %d "+
		"events set aside are judged again.", f.Table, target.Address(), len(live.TPs()), st.Aside)
	if err := s.confirm("Rebuild " + f.Table); err != nil {
		return err
	}
	if err := target.Prepare(ctx, live, built); err != nil {
		return s.app.faulty(err)
	}
	return s.fill(ctx, c.log, target, live, built)
}

// fill runs a sink of the built tables until it has all that the live ones have, then swaps.
func (s *sinkCommand) fill(ctx context.Context, log *kafka.Log, target *store.Store, live, built *sink.Plan) error {
	ends, err := log.Ends(ctx, live.Topics()...)
	if err != nil {
		return err
	}
	running, stop := context.WithCancel(ctx)
	defer stop()
	var mu sync.Mutex
	var rows, bad int
	r := sink.New(sink.Config{Plan: built, Log: log, Target: target, AcceptGap: true, Alone: true,
		Logger: slog.New(slog.NewTextHandler(s.app.err, &slog.HandlerOptions{Level: slog.LevelWarn})),
		Wrote: func(w sink.Written) {
			mu.Lock()
			defer mu.Unlock()
			rows, bad = rows+w.Rows, bad+len(w.Bad)
		}})
	ended := make(chan error, 1)
	go func() { ended <- r.Run(running) }()
	// First to the ends of now, while the live sink goes on; then, with that one held, to where it got.
	err = s.reach(ctx, target, built, ends, ended, nil)
	if err == nil {
		defer func() { _ = target.Release(context.WithoutCancel(ctx), live.Name) }()
		err = s.holdAndReach(ctx, target, live, built, ended)
	}
	if err == nil { // while the builder has its tables, so that no other rebuild begins anew with them
		err = s.swap(ctx, target, live, built)
	}
	stop()
	if !errors.Is(err, errBuilderEnded) {
		if ended := <-ended; err != nil { // once they are swapped, it ends for that reason
			err = errors.Join(err, ended)
		}
	}
	if errors.Is(err, sink.ErrBusy) {
		return s.app.faulty(spec.Problems{{File: built.File.Path,
			Message: "another rebuild of " + live.Name + " took over what this one had filled",
			Hint:    "Wait for its end. Nothing has changed by this one."}})
	}
	if err != nil {
		return err
	}
	mu.Lock()
	defer mu.Unlock()
	s.app.note("%s: %d events written, %d set aside; the new table is in place.", live.Table, rows, bad)
	return nil
}

var errBuilderEnded = errors.New("the rebuild stopped")

const rebuildLook = 200 * time.Millisecond

func (s *sinkCommand) holdAndReach(ctx context.Context, target *store.Store, live, built *sink.Plan,
	ended <-chan error) error {
	hold := func() error { return target.Hold(ctx, live.Name) }
	if err := hold(); err != nil {
		return err
	}
	st, _, err := target.Status(ctx, live.Name)
	if err != nil {
		return err
	}
	goal := map[kafka.TP]int64{}
	for tp, p := range st.Positions {
		goal[tp] = p.Next
	}
	return s.reach(ctx, target, built, goal, ended, hold)
}

// reach waits until the built tables have everything before the goal.
func (s *sinkCommand) reach(ctx context.Context, target *store.Store, built *sink.Plan, goal map[kafka.TP]int64,
	ended <-chan error, meanwhile func() error,
) error {
	unknown := slices.DeleteFunc(built.TPs(), func(tp kafka.TP) bool { _, ok := goal[tp]; return ok })
	tick := time.NewTicker(rebuildLook)
	defer tick.Stop()
	for {
		st, _, err := target.Status(ctx, built.Name)
		if err != nil {
			return err
		}
		behind := int64(0)
		for _, tp := range append(slices.Collect(maps.Keys(goal)), unknown...) {
			if p, ok := st.Positions[tp]; !ok {
				behind += max(goal[tp], 1)
			} else {
				behind += max(0, goal[tp]-p.Next)
			}
		}
		if behind == 0 {
			return nil
		}
		if meanwhile != nil {
			if err := meanwhile(); err != nil {
				return err
			}
		}
		select {
		case <-tick.C:
		case err := <-ended:
			return errors.Join(errBuilderEnded, err)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// swapTries is how often the swap waits anew for those who read the table; each time takes some seconds.
const swapTries = 5

func (s *sinkCommand) swap(ctx context.Context, target *store.Store, live, built *sink.Plan) (err error) {
	for range swapTries {
		if err = target.Hold(ctx, live.Name); err != nil {
			return err
		}
		err = target.Swap(ctx, live, built)
		if err == nil || !errors.Is(err, &autobus.Error{Reason: autobus.ReasonDatabaseUnreachable}) {
			return err
		}
		s.app.note("The swap waits: %s", err)
	}
	return err
}

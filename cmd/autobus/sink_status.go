// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/autobus-io/autobus/internal/kafka"
	"github.com/autobus-io/autobus/internal/sink"
)

func (a *app) newSinkStatusCommand() *cobra.Command {
	s := &sinkCommand{operator: operator{app: a}}
	cmd := &cobra.Command{
		Use:   "status FILE",
		Short: "Show how far a sink is",
		Long: "Show how far a sink is: for each partition its position, before which everything is in the table or set " +
			"aside,\n" +
			"the end of the log, and the events between; who writes, and how many events were set aside. The exit status\n" +
			"is 3 when nobody writes.\n\n" +
			exitCodes(exitOK, exitFailed, exitUsage, exitFound, exitUnreachable),
		Example: "  autobus sink status orders.yaml\n  autobus sink status orders.yaml -o json | jq .behind",
		Args:    named("file", "autobus sink status orders.yaml", cobra.ExactArgs(1)),
		RunE:    func(cmd *cobra.Command, args []string) error { return s.status(cmd.Context(), args[0]) },
	}
	s.flags(cmd)
	return cmd
}

// sinkStatus is the status of a sink as JSON.
type sinkStatus struct {
	Sink       string          `json:"sink"`
	Target     string          `json:"target"`
	Table      string          `json:"table"`
	Writing    bool            `json:"writing"`
	SilentMS   int64           `json:"silent_ms"` // since the writer was last heard of
	Aside      int             `json:"set_aside"`
	Behind     int64           `json:"behind"`
	Partitions []sinkPartition `json:"partitions"`
}

type sinkPartition struct {
	Type      string `json:"type"`
	Partition int32  `json:"partition"`
	Position  int64  `json:"position"` // -1 = it has not begun
	First     int64  `json:"first"`
	End       int64  `json:"end"`
	Behind    int64  `json:"behind"`
}

func (s *sinkCommand) status(ctx context.Context, file string) error {
	c, types, err := s.open(ctx)
	if err != nil {
		return err
	}
	defer c.close()
	ctx, cancel := context.WithTimeout(ctx, s.app.timeout)
	defer cancel()
	f, err := sink.ReadFile(file)
	if err != nil {
		return s.app.faulty(err)
	}
	sources, err := types.sources(ctx, f)
	if err != nil {
		return s.app.faulty(err)
	}
	target, err := newTarget(f)
	if err != nil {
		return s.app.faulty(err)
	}
	defer func() { _ = target.End() }()
	st, _, err := target.Status(ctx, f.Name)
	if err != nil {
		return err
	}
	out := sinkStatus{Sink: f.Name, Target: target.Address(), Table: f.Table, SilentMS: st.Silent.Milliseconds(),
		Aside:   st.Aside,
		Writing: st.Writer != "" && st.Silent < f.Lease, Partitions: []sinkPartition{}}
	var topics []string
	for _, source := range sources {
		topics = append(topics, source.Topic)
	}
	bounds, err := c.log.Bounds(ctx, topics...)
	if err != nil {
		return err
	}
	for _, source := range sources {
		for n := range source.Partitions {
			tp := kafka.TP{Topic: source.Topic, Partition: n}
			b := bounds[tp]
			p := sinkPartition{Type: source.Type, Partition: n, Position: -1, First: b.First, End: b.End,
				Behind: b.End - b.First}
			if at, ok := st.Positions[tp]; ok {
				p.Position, p.Behind = at.Next, max(0, b.End-at.Next)
			}
			out.Behind += p.Behind
			out.Partitions = append(out.Partitions, p)
		}
	}
	return s.app.printSinkStatus(out)
}

func (a *app) printSinkStatus(st sinkStatus) error {
	var found error
	if !st.Writing {
		found = &exitError{code: exitFound}
	}
	if a.output != "table" {
		if err := a.emitValue(st); err != nil {
			return err
		}
		return found
	}
	var rows [][]string
	for _, p := range st.Partitions {
		position := fmt.Sprint(p.Position)
		if p.Position < 0 {
			position = "-"
		}
		rows = append(rows, []string{p.Type, fmt.Sprint(p.Partition), position, fmt.Sprint(p.End), fmt.Sprint(p.Behind)})
		if p.Position >= 0 && p.Position < p.First {
			a.note("Retention deleted events of %s/%d from offset %d on before they were written.", p.Type, p.Partition,
				p.Position)
		}
	}
	rows = append(rows, []string{"total", "", "", "", fmt.Sprint(st.Behind)})
	a.table([]string{"type", "partition", "position", "end", "behind"}, rows)
	if st.Writing {
		a.note("A process writes; it was heard of %s ago.",
			(time.Duration(st.SilentMS) * time.Millisecond).Round(time.Millisecond))
	} else {
		a.note("Nobody writes: autobus sink run FILE")
	}
	if st.Aside > 0 {
		a.note("%d %s set aside: autobus sink errors list FILE", st.Aside, plural(st.Aside, "event"))
	}
	return found
}

// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/control"
	"github.com/autobus-io/autobus/internal/kafka"
	"github.com/autobus-io/autobus/internal/registry"
	"github.com/autobus-io/autobus/internal/sink"
	"github.com/autobus-io/autobus/internal/sink/postgres"
	"github.com/autobus-io/autobus/internal/sink/sqlite"
	"github.com/autobus-io/autobus/internal/sink/store"
	"github.com/autobus-io/autobus/spec"
)

func (a *app) newSinkCommand() *cobra.Command {
	c := group("sink", "Fill tables of a database with events",
		"  autobus sink plan orders.yaml\n"+
			"  autobus sink run orders.yaml --apply\n"+
			"  autobus sink status orders.yaml",
		a.newSinkPlanCommand(), a.newSinkRunCommand(), a.newSinkStatusCommand(), a.newSinkErrorsCommand(),
		a.newSinkRebuildCommand())
	return c
}

// devBroker is where dev has its Kafka port.
const devBroker = "localhost:9092"

// sinkCommand is what the commands of sinks share: a cluster to read from, with the types that are in force there.
type sinkCommand struct {
	operator
	kafka []string
	apply bool
}

// flags adds those that say where the events are.
func (s *sinkCommand) flags(cmd *cobra.Command) {
	s.configFlag(cmd)
	cmd.Flags().StringSliceVar(&s.kafka, "kafka", nil, "Kafka brokers, host:port, where there is no --config (default "+
		devBroker+", which is dev's)")
}

// types are the event types of a cluster, as sinks need them.
type types struct {
	log      *kafka.Log
	control  *control.Log
	snapshot func() *spec.Snapshot
}

// open connects to the cluster and reads what types there are.
func (s *sinkCommand) open(ctx context.Context) (*cluster, *types, error) {
	c, err := s.cluster(ctx)
	if err != nil {
		return nil, nil, err
	}
	ctl, err := c.control(ctx)
	if err != nil {
		c.close()
		return nil, nil, err
	}
	r := registry.New(registry.Config{Log: c.log, Control: ctl, ClusterName: ctl.ClusterName(),
		Logger: slog.New(slog.DiscardHandler)})
	return c, &types{log: c.log, control: ctl, snapshot: r.Snapshot}, nil
}

func (s *sinkCommand) cluster(ctx context.Context) (*cluster, error) {
	if s.config == "" {
		s.config = os.Getenv("AUTOBUS_CONFIG")
	}
	switch {
	case s.config != "" && len(s.kafka) > 0:
		return nil, usage("both --config and --kafka").WithHint("The configuration names the brokers; leave one away.")
	case s.config != "":
		return s.operator.open(ctx)
	case len(s.kafka) == 0:
		s.kafka = []string{devBroker}
	}
	return s.connect(ctx, kafka.Config{Name: clusterName, Brokers: s.kafka})
}

// sources finds the topics of the types of a file. A type that nobody knows is a fault of the file.
func (t *types) sources(ctx context.Context, f *sink.File) (out []sink.Source, err error) {
	if err := t.control.Barrier(ctx); err != nil {
		return nil, err
	}
	snapshot := t.snapshot()
	var faults spec.Problems
	for _, entry := range f.Types {
		s := sink.Source{Type: entry.Type}
		s.Spec, _ = snapshot.Type(entry.Type)
		rec, ok := t.control.Get(control.KindRoute, entry.Type)
		if !ok {
			faults = append(faults, unknownSinkType(f, entry, snapshot))
			continue
		}
		route, err := control.Decode[control.Route](rec)
		if err != nil {
			return nil, err
		}
		s.Topic, s.Partitions = route.Topic, route.Partitions
		out = append(out, s)
	}
	if len(faults) > 0 {
		return nil, faults
	}
	return out, t.count(ctx, out)
}

// count adds the partitions that topics got since their types were made.
func (t *types) count(ctx context.Context, sources []sink.Source) error {
	var names []string
	for _, s := range sources {
		names = append(names, s.Topic)
	}
	topics, err := t.log.Topics(ctx, names...)
	for i := range sources {
		sources[i].Partitions = max(sources[i].Partitions, topics[sources[i].Topic].Partitions)
	}
	return err
}

func unknownSinkType(f *sink.File, entry sink.TypeEntry, snapshot *spec.Snapshot) spec.Problem {
	p := spec.Problem{File: f.Path, Line: entry.Line, Message: "there is no type " + entry.Type,
		Hint: "Push its spec, or look at autobus types list."}
	if near := snapshot.Near(entry.Type, 3); len(near) > 0 {
		p.Hint = "Did you mean " + strings.Join(near, ", ") + "?"
	}
	return p
}

// sourcesOf takes the types from a snapshot alone, where no cluster is asked.
func sourcesOf(f *sink.File, snapshot *spec.Snapshot) (out []sink.Source, err error) {
	var faults spec.Problems
	for _, entry := range f.Types {
		t, ok := snapshot.Type(entry.Type)
		if !ok {
			faults = append(faults, unknownSinkType(f, entry, snapshot))
			continue
		}
		out = append(out, sink.Source{Type: t.Name, Topic: t.Name, Partitions: max(t.Partitions, 1), Spec: t})
	}
	if len(faults) > 0 {
		return nil, faults
	}
	return out, nil
}

// newTarget makes the target that a DSN names.
func newTarget(f *sink.File) (*store.Store, error) {
	switch {
	case strings.HasPrefix(f.DSN, postgres.Scheme), strings.HasPrefix(f.DSN, "postgresql://"):
		return postgres.New(f.DSN)
	case strings.HasPrefix(f.DSN, sqlite.Scheme):
		return sqlite.New(f.DSN)
	}
	scheme, _, _ := strings.Cut(f.DSN, ":")
	return nil, spec.Problems{{File: f.Path, Message: fmt.Sprintf("dsn: %q is the scheme of no database", scheme),
		Hint: "Write postgres://user@host/database or sqlite:FILE."}}
}

// planned is a sink's file with all that was found out about it.
type planned struct {
	file     *sink.File
	plan     *sink.Plan
	target   *store.Store
	check    *store.Check
	warnings spec.Problems
}

func (p *planned) end() {
	if p.target != nil {
		_ = p.target.End() // nothing is written any more
	}
}

// planSink reads a file and holds it against types and database. Faults of the file come as spec.Problems; nothing is
// changed.
func planSink(ctx context.Context, path string, sources func(context.Context, *sink.File) ([]sink.Source, error)) (
	p *planned, err error,
) {
	p = &planned{}
	if p.file, err = sink.ReadFile(path); err != nil {
		return p, err
	}
	from, err := sources(ctx, p.file)
	if err != nil {
		return p, err
	}
	var faults spec.Problems
	if p.plan, faults, p.warnings = sink.MakePlan(p.file, from); len(faults) > 0 {
		return p, faults
	}
	if p.target, err = newTarget(p.file); err != nil {
		return p, err
	}
	if p.check, err = p.target.Check(ctx, p.plan); err != nil {
		return p, err
	}
	if len(p.check.Faults) > 0 {
		return p, p.check.Faults
	}
	return p, nil
}

// planAll plans several files, which must not share a name or a table.
func planAll(ctx context.Context, paths []string, sources func(context.Context, *sink.File) ([]sink.Source, error)) (
	out []*planned, err error,
) {
	names, tables := map[string]string{}, map[tableOf]string{}
	var faults spec.Problems
	for _, path := range paths {
		p, err := planSink(ctx, path, sources)
		out = append(out, p)
		if some, ok := errors.AsType[spec.Problems](err); ok {
			faults = append(faults, some...)
		} else if err != nil {
			return out, err
		}
		if p.file == nil {
			continue
		}
		for _, table := range tablesOf(p) {
			if other, ok := tables[table]; ok {
				faults = append(faults, spec.Problem{File: path, Message: "the sink in " + other + " fills the table " +
					table.name + " too", Hint: "Name another table, or both types in one sink."})
			}
			tables[table] = path
		}
		if other, ok := names[p.file.Name]; ok {
			faults = append(faults, spec.Problem{File: path, Message: "a sink of the name " + p.file.Name + " is in " + other,
				Hint: "Give one of them another name."})
		}
		names[p.file.Name] = path
	}
	if len(faults) > 0 {
		return out, faults
	}
	return out, nil
}

// tableOf is a table of a database.
type tableOf struct{ dsn, name string }

func tablesOf(p *planned) (out []tableOf) {
	if p.plan == nil {
		return []tableOf{{p.file.DSN, p.file.Table}}
	}
	for _, t := range p.plan.Tables() {
		out = append(out, tableOf{p.file.DSN, t.Name})
	}
	return out
}

// faulty prints the faults of files and ends with the status of a check that found some.
func (a *app) faulty(err error) error {
	var faults spec.Problems
	if !errors.As(err, &faults) {
		return err
	}
	for _, p := range faults {
		fmt.Fprintf(a.err, "%s %s\n", a.paint(a.err, red, "fault:"), p)
		if p.Hint != "" {
			fmt.Fprintf(a.err, "  next: %s\n", p.Hint)
		}
	}
	return &exitError{code: exitFound}
}

func (a *app) warnSink(ps ...*planned) {
	for _, p := range ps {
		for _, w := range p.warnings {
			a.note("%s %s\n  next: %s", a.paint(a.err, yellow, "warning:"), w, w.Hint)
		}
	}
}

// unapplied says that the database is not as the plans need it.
func unapplied(ps []*planned) error {
	for _, p := range ps {
		var why []string
		for _, step := range p.check.Steps {
			if !slices.Contains(why, step.Why) {
				why = append(why, step.Why)
			}
		}
		if len(why) > 0 {
			return autobus.NewError(autobus.ReasonSinkInvalid, "%s: the database is not ready: %s", p.file.Path,
				strings.Join(why, "; ")).
				WithHint("Look at autobus sink plan %s, then apply it: autobus sink plan %s --apply", p.file.Path, p.file.Path)
		}
	}
	return nil
}

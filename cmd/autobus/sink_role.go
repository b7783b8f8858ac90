// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"time"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/sink"
	"github.com/autobus-io/autobus/spec"
)

// sinkAgain is how often a sink that cannot start yet is planned anew: a type, a table or the database may come later.
const sinkAgain = 15 * time.Second

// runSinks runs the sinks of the configuration within the instance. Whatever becomes of one, the instance serves on: an
// instance that takes no events because a report's database is full would be the worse fault.
func (in *instance) runSinks() {
	if len(in.settings.sinks) == 0 {
		return
	}
	metrics := sink.NewMetrics(in.metrics)
	t := &types{log: in.log, control: in.control, snapshot: in.registry.Snapshot}
	for _, file := range in.settings.sinks {
		in.run(in.core, "sink "+file, func(ctx context.Context) error {
			in.runSink(ctx, file, t, metrics)
			return nil
		})
	}
}

// runSink plans a sink until nothing is wrong with it, then runs it until the instance ends or somebody has to decide.
func (in *instance) runSink(ctx context.Context, file string, t *types, metrics *sink.Metrics) {
	logger := in.logger.With("file", file)
	said := ""
	for ctx.Err() == nil {
		err := in.trySink(ctx, file, t, metrics)
		if ctx.Err() != nil {
			return
		}
		if e, ok := errors.AsType[*autobus.Error](err); ok && stopsSink(e.Reason) {
			logger.Error("a sink stopped, and waits for somebody to decide", "error", err, "hint", e.NextStep())
			return
		}
		if err != nil && err.Error() != said { // once, however long it lasts
			said = err.Error()
			logger.Warn("a sink cannot start, and will be tried again", "error", said)
		}
		select {
		case <-ctx.Done():
		case <-time.After(sinkAgain):
		}
	}
}

// stopsSink reports whether a running sink ended for something that no other try changes.
func stopsSink(r autobus.Reason) bool {
	return r == autobus.ReasonPositionLost || r == autobus.ReasonSinkDrift
}

func (in *instance) trySink(ctx context.Context, file string, t *types, metrics *sink.Metrics) error {
	p, err := planSink(ctx, file, t.sources)
	defer p.end()
	if err != nil {
		return err
	}
	if in.settings.dev {
		err = p.target.Apply(ctx, p.check.Steps)
	} else {
		err = unapplied([]*planned{p})
	}
	if err == nil {
		err = in.claimSink(p.file)
	}
	if err != nil {
		return err
	}
	return sink.New(sink.Config{Plan: p.plan, Log: in.log, Target: p.target, Logger: in.logger, Metrics: metrics}).Run(ctx)
}

// claimSink refuses a second file of the same name within the instance; two processes of one sink are meant, two files
// never are.
func (in *instance) claimSink(f *sink.File) error {
	other, taken := in.sinkNames.LoadOrStore(f.Name, f.Path)
	if taken && other != f.Path {
		return spec.Problems{{File: f.Path, Message: "a sink of the name " + f.Name + " is in " + other.(string),
			Hint: "Give one of them another name."}}
	}
	return nil
}

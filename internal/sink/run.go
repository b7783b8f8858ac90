// SPDX-License-Identifier: Apache-2.0

package sink

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"sync/atomic"
	"time"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/kafka"
)

// Config is what a runner works with.
type Config struct {
	Plan    *Plan
	Log     *kafka.Log
	Target  Target
	Logger  *slog.Logger
	Metrics *Metrics

	// AcceptGap goes on where retention deleted events that were not written, instead of stopping.
	AcceptGap bool
	// Alone ends with ErrBusy where another process has the sink, instead of waiting for it.
	Alone bool
	// Look is how often it looks whether a topic has more partitions; 0 = every 10 s.
	Look time.Duration
	// Wrote is called after each transaction; nil = nobody asks.
	Wrote func(Written)
}

// Runner reads events and writes them, until its context ends.
type Runner struct {
	cfg    Config
	state  atomic.Pointer[string]
	recent struct{ rows, bad int } // of the last transactions, see drift
}

// New makes a runner.
func New(cfg Config) *Runner {
	if cfg.Metrics == nil {
		cfg.Metrics = NewMetrics(nil)
	}
	if cfg.Look == 0 {
		cfg.Look = 10 * time.Second
	}
	cfg.Logger = cfg.Logger.With("sink", cfg.Plan.Name)
	return &Runner{cfg: cfg}
}

// Name is the sink's.
func (r *Runner) Name() string { return r.cfg.Plan.Name }

// State tells what the sink is doing, one of the states of its metric.
func (r *Runner) State() string {
	if s := r.state.Load(); s != nil {
		return *s
	}
	return StateStarting
}

// Pauses after an error that may pass by itself.
const (
	retryFirst = 250 * time.Millisecond
	retryMost  = 15 * time.Second
)

// Run reads and writes until ctx ends, which is no error. Database or cluster away is waited for, and another process
// that has the sink unless Alone; an error means that somebody has to decide: ReasonPositionLost, ReasonSinkDrift,
// ReasonTypeUnreadable; or that the file has to be read anew: ReasonSinkInvalid.
func (r *Runner) Run(ctx context.Context) error {
	defer r.close()
	r.enter(StateStarting)
	r.cfg.Metrics.lag.set(r.Name(), time.Time{})
	pause := retryFirst
	for {
		wrote, err := r.session(ctx)
		r.close()
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, errGrown):
			continue
		case errors.Is(err, ErrBusy) && r.cfg.Alone:
			r.enter(StateStopped)
			return err
		case errors.Is(err, ErrBusy):
			r.enter(StateStandby)
			r.cfg.Metrics.lag.set(r.Name(), time.Time{}) // it is the other one's now
			pause = max(r.cfg.Plan.File.Lease/3, retryFirst)
		case final(err):
			r.enter(StateStopped)
			return err
		default:
			if wrote {
				pause = retryFirst
			}
			r.cfg.Logger.Warn("the sink begins anew", "error", err, "after", pause)
			r.cfg.Metrics.retries.WithLabelValues(r.cfg.Plan.Name).Inc()
			r.enter(StateRetrying)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause):
		}
		if r.State() == StateRetrying {
			pause = min(2*pause, retryMost)
		}
	}
}

func (r *Runner) close() {
	if err := r.cfg.Target.Close(); err != nil {
		r.cfg.Logger.Warn("the sink was not let go", "error", err)
	}
}

func (r *Runner) enter(state string) {
	if old := r.state.Swap(&state); old == nil || *old != state {
		r.cfg.Logger.Info("sink", "state", state)
	}
	r.cfg.Metrics.enter(r.cfg.Plan.Name, state)
}

// final reports whether waiting would not help.
func final(err error) bool {
	var e *autobus.Error
	if !errors.As(err, &e) {
		return false
	}
	switch e.Reason {
	case autobus.ReasonPositionLost, autobus.ReasonSinkDrift, autobus.ReasonSinkInvalid, autobus.ReasonTypeUnreadable,
		autobus.ReasonConfigInvalid:
		return true
	}
	return false
}

// session is one opening of the target and all that is written until an error. wrote tells whether anything was.
func (r *Runner) session(ctx context.Context) (wrote bool, err error) {
	have, err := r.cfg.Target.Open(ctx, r.cfg.Plan)
	if err != nil {
		return false, err
	}
	begin, from, at, err := r.positions(ctx, have)
	if err != nil {
		return false, err
	}
	if len(begin) > 0 { // where a sink begins is decided once
		if _, err := r.cfg.Target.Write(ctx, &Chunk{Begin: begin}); err != nil {
			return false, err
		}
	}
	in, err := newIntake(r.cfg.Log, r.cfg.Plan, from)
	if err != nil {
		return false, err
	}
	defer in.close()
	r.enter(StateWriting)
	r.cfg.Logger.Info("the sink reads", "partitions", len(from))
	go in.run()
	return r.pump(ctx, in, at)
}

// pump writes what comes in. With nothing to write it keeps the sink all the same.
func (r *Runner) pump(ctx context.Context, in *intake, next map[TP]int64) (wrote bool, err error) {
	idle := time.NewTicker(r.cfg.Plan.File.Lease / 3)
	defer idle.Stop()
	look := time.NewTicker(r.cfg.Look)
	defer look.Stop()
	for {
		select {
		case <-ctx.Done():
			return wrote, ctx.Err()
		case <-idle.C:
			if _, err := r.cfg.Target.Write(ctx, &Chunk{}); err != nil {
				return wrote, err
			}
		case <-look.C:
			if r.grown(ctx, next) {
				return wrote, errGrown
			}
		case page := <-in.pages:
			chunk, after := in.gather(page, next)
			if len(chunk.To) > 0 {
				r.cfg.Metrics.lag.set(r.Name(), oldest(chunk.Rows))
				if err := r.write(ctx, chunk); err != nil {
					return wrote, err
				}
				r.cfg.Metrics.lag.set(r.Name(), time.Time{})
				wrote = true
				maps.Copy(next, chunk.To)
			}
			if after != nil {
				return wrote, r.explain(ctx, after, next)
			}
		}
	}
}

func (r *Runner) write(ctx context.Context, chunk *Chunk) error {
	began := time.Now()
	done, err := r.cfg.Target.Write(ctx, chunk)
	if many, ok := errors.AsType[*TooManyBad](err); ok {
		return drift(many)
	}
	if err != nil {
		return err
	}
	name := r.cfg.Plan.Name
	r.cfg.Metrics.batch.WithLabelValues(name).Observe(time.Since(began).Seconds())
	r.cfg.Metrics.rows.WithLabelValues(name).Add(float64(done.Rows))
	r.cfg.Metrics.bad.WithLabelValues(name).Add(float64(len(done.Bad)))
	for _, row := range done.Bad {
		r.cfg.Logger.Warn("an event was set aside", "type", row.Type, "partition", row.Record.Partition, "offset",
			row.Record.Offset, "sqlstate", row.Bad.State)
	}
	if r.cfg.Wrote != nil {
		r.cfg.Wrote(done)
	}
	return r.judge(done)
}

// judge looks at the last transactions together: where little comes, each of them is too small to tell a drift.
func (r *Runner) judge(done Written) error {
	r.recent.rows += done.Rows + len(done.Bad)
	r.recent.bad += len(done.Bad)
	if tooMany(r.recent.bad, r.recent.rows) {
		return drift(&TooManyBad{Bad: r.recent.bad, Rows: r.recent.rows, Example: *done.Bad[len(done.Bad)-1].Bad})
	}
	if r.recent.rows > 10*fewBad {
		r.recent.rows, r.recent.bad = 0, 0
	}
	return nil
}

func drift(many *TooManyBad) error {
	return autobus.NewError(autobus.ReasonSinkDrift, "%d of %d events do not fit the table, one of them: %s %s", many.Bad,
		many.Rows, many.Example.State, many.Example.Reason).WithCause(many)
}

// explain gives numbers to a position that the reader found gone.
func (r *Runner) explain(ctx context.Context, err error, next map[TP]int64) error {
	if !errors.Is(err, &autobus.Error{Reason: autobus.ReasonPositionLost}) {
		return err
	}
	bounds, asked := r.cfg.Log.Bounds(ctx, r.cfg.Plan.Topics()...)
	if asked != nil {
		return asked
	}
	for tp, n := range next {
		if b, ok := bounds[tp]; ok && n < b.First {
			if r.cfg.AcceptGap {
				return autobus.NewError(autobus.ReasonClusterUnreachable, "a position is gone").WithCause(gap(tp, n, b.First))
			}
			return gap(tp, n, b.First)
		}
	}
	return err
}

// SPDX-License-Identifier: Apache-2.0

package relay

import (
	"cmp"
	"context"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/outbox"
)

// OnRefused says what becomes of the rows behind a refused one, of the same type and key.
type OnRefused string

// What there is.
const (
	Hold OnRefused = "hold" // they wait until the refused row is sent or dropped
	Skip OnRefused = "skip" // they go on
)

// Defaults of a Config.
const (
	DefaultKeep  = 24 * time.Hour
	DefaultPoll  = time.Second
	DefaultBatch = 1000
	DefaultDrain = 10 * time.Second
)

// Config says what to relay, and whereto. Database and Dial are required.
type Config struct {
	Database *pgx.ConnConfig
	Table    outbox.Table // default outbox.DefaultTable

	// Dial opens a way to the bus for as long as the relay is the one at work; hangUp gives it up at once, with all that
	// is in flight over it.
	Dial func() (bus autobus.Bus, hangUp func(), err error)

	OnRefused OnRefused     // default Hold
	Keep      time.Duration // how long rows stay after they were sent; 0 = they are deleted instead of marked
	Poll      time.Duration // the longest time between two looks at the table, default 1 s
	Batch     int           // rows of one batch, 1 to 1000, default 1000
	Drain     time.Duration // how long a batch in flight may take to end when Run's context is over, default 10 s

	Logger  *slog.Logger          // nil = slog.Default()
	Metrics prometheus.Registerer // nil = none
}

// Relay moves the rows of one table into the bus.
type Relay struct {
	cfg     Config
	log     *slog.Logger
	metrics *metrics
	said    string // the trouble that was logged last, so that it is not logged again and again
}

// New makes a relay. The error is for a Config that cannot be used (ReasonConfigInvalid).
func New(cfg Config) (*Relay, error) {
	cfg.Table = cmp.Or(cfg.Table, outbox.DefaultTable)
	cfg.OnRefused = cmp.Or(cfg.OnRefused, Hold)
	cfg.Poll = cmp.Or(cfg.Poll, DefaultPoll)
	cfg.Batch = cmp.Or(cfg.Batch, DefaultBatch)
	cfg.Drain = cmp.Or(cfg.Drain, DefaultDrain)
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	if err := cfg.Table.Check(); err != nil {
		return nil, err
	}
	switch {
	case cfg.Database == nil || cfg.Dial == nil:
		return nil, autobus.NewError(autobus.ReasonConfigInvalid, "the relay has no database or no bus")
	case cfg.OnRefused != Hold && cfg.OnRefused != Skip:
		return nil, autobus.NewError(autobus.ReasonConfigInvalid, "on_refused is %q, must be hold or skip", cfg.OnRefused)
	case cfg.Keep < 0, cfg.Poll < 0, cfg.Drain < 0, cfg.Batch < 1, cfg.Batch > autobus.MaxBatchEvents:
		return nil, autobus.NewError(autobus.ReasonConfigInvalid,
			"keep, poll or drain is negative, or batch is not from 1 to %d", autobus.MaxBatchEvents)
	}
	return &Relay{cfg: cfg, log: cfg.Logger.With("table", string(cfg.Table)), metrics: newMetrics(cfg.Metrics)}, nil
}

// Run relays until ctx is over, which is no error; a batch that is in flight then gets its outcomes. A database or bus
// that is away is waited for. What waiting cannot mend ends Run: a table that is missing or of another form
// (ReasonOutboxInvalid), a database that refuses the relay (ReasonDatabaseRefused).
func (r *Relay) Run(ctx context.Context) error {
	var rest pause
	for {
		began := time.Now()
		err := r.term(ctx)
		r.metrics.working.Set(0)
		if ctx.Err() != nil {
			return nil
		}
		if err == nil || !autobus.AsError(err).Retriable() {
			return err
		}
		if time.Since(began) > time.Minute {
			rest = pause{}
		}
		rest.longer(time.Now())
		r.trouble(err)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(min(rest.wait, 5*time.Second)):
		}
	}
}

// trouble logs what holds up the relay, once for each time it begins.
func (r *Relay) trouble(err error) {
	if e := autobus.AsError(err); r.said != string(e.Reason) {
		r.said = string(e.Reason)
		r.log.Warn("the relay waits", "error", err, "next", e.NextStep())
	}
}

// term is one time at work, from the connection to the loss of the lock.
func (r *Relay) term(ctx context.Context) error {
	s, err := open(ctx, r.cfg.Database, r.cfg.Table)
	if err != nil {
		return err
	}
	defer s.close()
	if err := s.guard(ctx); err != nil {
		return err
	}
	if err := r.standBy(ctx, s); err != nil {
		return err
	}
	bus, hangUp, err := r.cfg.Dial()
	if err != nil {
		return err
	}
	defer hangUp()
	r.metrics.working.Set(1)
	r.log.Info("relaying", "keep", r.cfg.Keep, "on_refused", string(r.cfg.OnRefused))
	r.said = ""
	t := &term{relay: r, session: s, bus: bus, pauses: newPauses()}
	return t.run(ctx)
}

// standBy waits for the lock.
func (r *Relay) standBy(ctx context.Context, s *session) error {
	for first := true; ; first = false {
		ok, err := s.lock(ctx)
		if ok || err != nil {
			return err
		}
		if first {
			r.log.Info("standing by: another relay is at work on the table")
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(r.cfg.Poll):
		}
	}
}

// term is the relay at work.
type term struct {
	relay   *Relay
	session *session
	bus     autobus.Bus
	pauses  *pauses
	rest    pause // of everything, while nothing can be published

	heard     time.Time // when the database last answered
	measured  time.Time
	cleaned   time.Time
	cleanFrom int64
}

func (t *term) run(ctx context.Context) error {
	for looked := (time.Time{}); ctx.Err() == nil; {
		if err := t.upkeep(ctx); err != nil {
			return err
		}
		looked = time.Now()
		more, err := t.round(ctx)
		if err != nil {
			return err
		}
		if more {
			continue
		}
		if err := t.idle(ctx, looked.Add(t.relay.cfg.Poll)); err != nil {
			return err
		}
	}
	return nil
}

// idle returns when the table is to be looked at: at a time, when something that failed may be tried again, or when the
// table's trigger says that there is something. While nothing can be published it does not listen.
func (t *term) idle(ctx context.Context, until time.Time) error {
	if _, _, _, next := t.pauses.waiting(time.Now()); !next.IsZero() && next.Before(until) {
		until = next
	}
	down := t.rest.until.After(time.Now())
	if down {
		until = t.rest.until
	}
	for ctx.Err() == nil {
		left := time.Until(until)
		if left <= 0 {
			return nil
		}
		var notified bool
		var err error
		if down {
			err = t.sleep(ctx, left)
		} else {
			notified, err = t.session.wait(ctx, min(left, heartbeat))
		}
		if err != nil || notified {
			return err
		}
		if err := t.upkeep(ctx); err != nil {
			return err
		}
	}
	return nil
}

// sleep waits without listening.
func (t *term) sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(min(d, heartbeat))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return nil
	case <-timer.C:
	}
	return t.beat(ctx)
}

// beat asks whether the session is there.
func (t *term) beat(ctx context.Context) error {
	_, err := t.session.exec(ctx, "SELECT 1")
	t.heard = time.Now()
	return err
}

// Times between two measurements, and two cleanings.
const (
	measureEvery = 5 * time.Second
	cleanEvery   = 10 * time.Second
)

// upkeep does what is due beside relaying.
func (t *term) upkeep(ctx context.Context) error {
	now := time.Now()
	if now.Sub(t.measured) >= measureEvery {
		if err := t.measure(ctx); err != nil {
			return err
		}
	} else if now.Sub(t.heard) >= heartbeat {
		if err := t.beat(ctx); err != nil {
			return err
		}
	}
	if now.Sub(t.cleaned) < cleanEvery && t.cleanFrom == 0 {
		return nil
	}
	t.cleaned = now
	next, deleted, err := t.session.clean(ctx, t.cleanFrom, t.relay.cfg.Keep)
	if err != nil {
		return err
	}
	t.cleanFrom = next
	t.relay.metrics.deleted.Add(float64(deleted))
	return nil
}

// measure brings the metrics of the table up to date.
func (t *term) measure(ctx context.Context) error {
	b, err := t.session.backlog(ctx)
	if err != nil {
		return err
	}
	t.measured = time.Now()
	t.heard = t.measured
	m := t.relay.metrics
	m.lag.Set(b.Lag.Seconds())
	m.pending.Set(float64(b.Pending))
	m.refused.Set(float64(b.Refused))
	return nil
}

// SPDX-License-Identifier: Apache-2.0

package relay

import (
	"cmp"
	"context"
	"errors"
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
			return nil //nolint:nilerr // what a term ends with when it is told to end is no error
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

const (
	// breath is the time between two looks at the table while the relay is awake and nothing is left over, so that what
	// looking costs the service's database is bounded. A backlog goes without.
	breath    = 20 * time.Millisecond
	maxBreath = 200 * time.Millisecond
	// emptyLooks in a row make the relay sleepy.
	emptyLooks = 5
)

func (t *term) run(ctx context.Context) error {
	wait := breath
	for empty := 0; ctx.Err() == nil; {
		looked := time.Now()
		found, more, err := t.look(ctx)
		if err != nil {
			return err
		}
		if more {
			continue
		}
		if empty++; found {
			empty, wait = 0, breath
		}
		if empty >= emptyLooks || t.rest.until.After(looked) {
			slept, err := t.nap(ctx)
			if err != nil {
				return err
			}
			if slept {
				empty, wait = emptyLooks-1, breath // awake for one look, unless it finds something
				continue
			}
			wait = min(2*wait, maxBreath) // a transaction is open, perhaps for long
		}
		sleep(ctx, time.Until(looked.Add(wait)))
	}
	return nil
}

// look makes a round, and what is due beside it.
func (t *term) look(ctx context.Context) (found, more bool, err error) {
	if err := t.upkeep(ctx); err != nil {
		return false, false, err
	}
	return t.round(ctx)
}

// nap returns when rows were found. It reports false at once where the table's trigger would not tell of all of them.
// Beside that it looks when something that failed may be tried again, and after Config.Poll. While nothing can be
// published it does not look at all, and returns when that may be over.
func (t *term) nap(ctx context.Context) (slept bool, err error) {
	if t.rest.until.After(time.Now()) {
		_, err := t.watch(ctx, t.rest.until, false)
		return true, err
	}
	if slept, err = t.session.doze(ctx); err != nil || !slept {
		return false, err
	}
	for ctx.Err() == nil {
		// What was committed before the trigger began to tell, or is due.
		found, more, err := t.look(ctx)
		if err != nil || found || more {
			return true, errors.Join(err, t.session.awake(ctx))
		}
		until := time.Now().Add(t.relay.cfg.Poll)
		if _, _, _, next := t.pauses.waiting(time.Now()); !next.IsZero() && next.Before(until) {
			until = next
		}
		told, err := t.watch(ctx, until, true)
		if err != nil || told {
			return true, errors.Join(err, t.session.awake(ctx))
		}
	}
	return true, nil
}

// watch waits until a time, or until it is told that there is something, where it listens. It keeps an eye on the
// session.
func (t *term) watch(ctx context.Context, until time.Time, listen bool) (told bool, err error) {
	for ctx.Err() == nil && time.Now().Before(until) {
		left := min(time.Until(until), heartbeat)
		if !listen {
			sleep(ctx, left)
		} else if told, err := t.session.wait(ctx, left); err != nil || told {
			return told, err
		}
		if err := t.upkeep(ctx); err != nil {
			return false, err
		}
	}
	return false, nil
}

// sleep waits.
func sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
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

// SPDX-License-Identifier: Apache-2.0

// Package bus is the hot path: the rules by which an event becomes a record of the log, and a record an event again.
//
// Publish is five steps: authorize, resolve, validate, stamp, append. Quotas are asked for each event once nothing else
// speaks against it. There is no channel between the caller and the append; the receipt is the brokers' own answer.
// What is refused was never handed to the log; once it was handed over, only Written and Unknown remain.
//
// What it owns: routes as this instance sees them, the table of duplicates, the form of records, filters, tails. What
// it refuses to know: protocols and tokens (the principal is in the context), where specs come from (it is given the
// current Snapshot), and how topics are made.
//
// Hard state is all in the log. The table of duplicates and the checks of routes are soft: they are lost with the
// process and built again.
package bus

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/control"
	"github.com/autobus-io/autobus/internal/delay"
	"github.com/autobus-io/autobus/internal/kafka"
	"github.com/autobus-io/autobus/internal/quota"
	"github.com/autobus-io/autobus/spec"
)

// Config is what a Bus stands on.
type Config struct {
	Log      *kafka.Log
	Control  *control.Log
	State    *control.State
	Snapshot func() *spec.Snapshot // the specs in force
	Instance string                // the name that leases carry
	Address  string                // where other instances reach this one, as Kafka tells them; empty = nowhere

	// Unreadable says that the newest specs were written by a newer build, so that the Snapshot is not all there is; nil
	// as a function or as its answer = it is.
	Unreadable func() *autobus.Error

	// CreateType makes a topic and a route for a type without a spec, on its first publish. nil refuses such types:
	// only dev accepts them.
	CreateType func(ctx context.Context, name string) error

	// Dial gives the bus of another instance, at the address that it advertises: for the workers here that have no
	// partitions of their own, and for leases that it gave. The principal is in the context, as everywhere. It must not
	// wait. nil = instances do not work together, and a worker gets what its own has.
	Dial func(instance, address string) (autobus.Bus, error)

	// Full says why so many bytes more may not be written, or nil. Only the embedded broker has such a limit.
	Full func(bytes int64) *autobus.Error

	// CheckPush refuses an endpoint that this instance would not push to; nil = it pushes to none.
	CheckPush func(context.Context, autobus.Push) *autobus.Error

	// Pushes tells how pushing goes here; nil = as if it pushed nothing.
	Pushes func(subscription string) (PushInfo, bool)

	Quotas *quota.Quotas // what principals may publish; nil = anything

	Embedded bool // one copy by nature: every route is best-effort
	Logger   *slog.Logger
	Metrics  prometheus.Registerer // nil = none
}

// Bus implements autobus.Bus on a log.
type Bus struct {
	cfg        Config
	routes     *routes
	duplicates *duplicates
	groups     *groups
	replies    *replies
	responders *responders
	jobs       *jobs
	expiring   *expiring
	leases     *incarnations
	peers      *directory
	abroad     sync.Map // lease of another instance, held by a session here -> *link
	refresh    *refresher
	recheck    *refresher // for events that do not fit their spec
	delays     *delay.Keeper
	metrics    *metrics
	draining   atomic.Bool
}

var _ autobus.Bus = (*Bus)(nil)

// New makes a bus that follows the control log's routes. Run must run for them to be checked.
func New(cfg Config) *Bus {
	if cfg.Full == nil {
		cfg.Full = func(int64) *autobus.Error { return nil }
	}
	if cfg.Pushes == nil {
		cfg.Pushes = func(string) (PushInfo, bool) { return PushInfo{}, false }
	}
	b := &Bus{
		cfg:        cfg,
		routes:     newRoutes(cfg),
		duplicates: newDuplicates(duplicateIDs, duplicateAge, time.Now),
		refresh:    &refresher{barrier: cfg.Control.Barrier, every: refreshEvery},
		recheck:    &refresher{barrier: cfg.Control.Barrier, every: recheckEvery},
		metrics:    newMetrics(cfg.Metrics),
		leases:     newIncarnations(),
	}
	b.groups = newGroups(b)
	b.replies = newReplies(b)
	b.responders = newResponders(cfg.Control)
	b.jobs = newJobs(b)
	b.expiring = &expiring{bus: b}
	b.peers = newDirectory(b)
	b.delays = newKeeper(b)
	return b
}

// Run checks the routes when they appear and every 60 s, lets the groups work, reads the replies to the inboxes here,
// publishes what is due, and looks what retention takes soon that nobody decided about, until ctx ends.
func (b *Bus) Run(ctx context.Context) error {
	var parts sync.WaitGroup
	parts.Go(func() { b.routes.run(ctx) })
	parts.Go(func() { b.groups.run(ctx) })
	parts.Go(func() { b.replies.run(ctx) })
	parts.Go(func() { b.expiring.run(ctx) })
	parts.Go(func() { _ = b.delays.Run(ctx) })
	parts.Go(func() { b.forgetCancelled(ctx) })
	parts.Wait()
	return nil
}

// DrainDeliveries ends all deliveries, while settlements are still taken: workers are told and have some seconds, then
// positions are committed and the Kafka groups left. What is scheduled is for other instances from now on.
func (b *Bus) DrainDeliveries(ctx context.Context) {
	var parts sync.WaitGroup
	parts.Go(func() { b.delays.Drain(ctx) })
	parts.Go(func() { b.groups.drain(ctx) })
	parts.Wait()
}

// Drain refuses what comes from now on and waits until everything in flight is settled or ctx ends.
func (b *Bus) Drain(ctx context.Context) error {
	b.draining.Store(true)
	return b.cfg.Log.Flush(ctx)
}

// Status is what operators see of the hot path.
type Status struct {
	Routes     []RouteStatus     `json:"routes"`
	Duplicates DuplicateStatus   `json:"duplicates"`
	Buffer     kafka.BufferUsage `json:"buffer"`
	Unreadable []Unreadable      `json:"unreadable"` // of partitions that this instance holds
	Expiring   []ExpiringLetters `json:"expiring"`   // dead letters that retention takes soon
	Delayed    []ExpiringDelayed `json:"delayed"`    // delayed events that it takes soon
}

// DuplicateStatus tells how far back the table of duplicates reaches: ids known now, at most, and the age of the
// oldest one it could still recognize.
type DuplicateStatus struct {
	IDs    int    `json:"ids"`
	Limit  int    `json:"limit"`
	Window string `json:"window"`
}

// Status describes the bus as it is now.
func (b *Bus) Status() Status {
	return Status{Routes: b.routes.status(), Duplicates: b.duplicates.status(), Buffer: b.cfg.Log.InFlight(),
		Unreadable: b.unreadable(), Expiring: b.expiring.now(), Delayed: b.expiring.delayedNow()}
}

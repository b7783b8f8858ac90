// SPDX-License-Identifier: Apache-2.0

package bus

import (
	"context"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/control"
	"github.com/autobus-io/autobus/internal/kafka"
)

// checkEvery is how often each open route is held against its topic.
const checkEvery = time.Minute

// route is a control.Route as this instance sees it.
type route struct {
	control.Route
	state atomic.Pointer[routeState]
	hint  atomic.Pointer[string] // for publishers, when no spec declares the type
	same  same

	mu     sync.Mutex // one check at a time
	sticky struct {
		sync.Mutex
		partition int32
		left      int
	}
}

func newRoute(v control.Route) *route { return &route{Route: v, same: newSame(v.Type, v.Epoch)} }

// routeState is what the last check found. nil = not checked yet.
type routeState struct {
	id       [16]byte       // of the topic
	refused  *autobus.Error // why nothing is published, nil = open
	maxEvent int            // bytes
	stale    bool           // to be checked again before the next append
}

// routes follows the route records of the control log. Reading is without locks.
type routes struct {
	cfg   Config
	table atomic.Pointer[map[string]*route]

	mu      sync.Mutex
	changed chan struct{}       // closed when a route comes or goes
	ids     map[string][16]byte // topic -> id the producer knows it by
}

func newRoutes(cfg Config) *routes {
	rs := &routes{cfg: cfg, changed: make(chan struct{}), ids: map[string][16]byte{}}
	rs.table.Store(&map[string]*route{})
	cfg.Control.Watch(control.KindRoute, rs.apply)
	return rs
}

// apply takes a record over. A route that is replaced is checked anew before the next append.
func (rs *routes) apply(rec control.Record) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	table := maps.Clone(*rs.table.Load())
	if rec.Removed() {
		delete(table, rec.Name)
	} else {
		v, err := control.Decode[control.Route](rec)
		r := newRoute(v)
		if err != nil {
			r.Type = rec.Name
			r.state.Store(&routeState{refused: autobus.AsError(err)})
			rs.cfg.Logger.Error("route is not readable", "type", rec.Name, "error", err)
		}
		table[rec.Name] = r
	}
	rs.table.Store(&table)
	close(rs.changed)
	rs.changed = make(chan struct{})
}

// unreadable says that the route was written by a newer build; nil = it was not.
func (r *route) unreadable() *autobus.Error {
	if s := r.state.Load(); s != nil && s.refused != nil && s.refused.Reason == autobus.ReasonTypeUnreadable {
		return s.refused
	}
	return nil
}

func (rs *routes) get(name string) *route { return (*rs.table.Load())[name] }

// all returns the routes and a channel that closes when they change.
func (rs *routes) all() (map[string]*route, <-chan struct{}) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	return *rs.table.Load(), rs.changed
}

// open returns nil when the route may be appended to. The first caller checks it, before the first append.
func (rs *routes) open(ctx context.Context, r *route) *autobus.Error {
	s := r.state.Load()
	if s == nil || s.stale {
		r.mu.Lock()
		defer r.mu.Unlock()
		if s = r.state.Load(); s == nil || s.stale {
			topics, err := rs.cfg.Log.Topics(ctx, r.Topic)
			if err != nil {
				return autobus.AsError(err)
			}
			s = rs.check(r, topics)
		}
	}
	return s.refused
}

// run checks all routes at once, when they change and every minute.
func (rs *routes) run(ctx context.Context) {
	tick := time.NewTicker(checkEvery)
	defer tick.Stop()
	for {
		_, changed := rs.all()
		rs.checkAll(ctx)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-changed:
		}
	}
}

func (rs *routes) checkAll(ctx context.Context) {
	table, _ := rs.all()
	names := make([]string, 0, len(table))
	for _, r := range table {
		if r.Topic != "" {
			names = append(names, r.Topic)
		}
	}
	if len(names) == 0 {
		return
	}
	topics, err := rs.cfg.Log.Topics(ctx, names...)
	if err != nil {
		if ctx.Err() == nil {
			rs.cfg.Logger.Warn("routes could not be checked", "error", err)
		}
		return // what was found before stays: a cluster that does not answer is no reason to close routes
	}
	for _, r := range table {
		if r.Topic == "" {
			continue
		}
		r.mu.Lock()
		before := r.state.Load()
		now := rs.check(r, topics)
		r.mu.Unlock()
		if now.refused != nil && (before == nil || before.refused == nil) {
			rs.cfg.Logger.Warn("route refuses events", "type", r.Type, "reason", now.refused.Reason, "detail",
				now.refused.Detail)
		}
	}
}

// check holds a route against its topic and stores what it found. The caller holds r.mu.
func (rs *routes) check(r *route, topics map[string]kafka.Topic) *routeState {
	t, exists := topics[r.Topic]
	s := &routeState{id: t.ID, maxEvent: r.MaxEventBytes}
	usable := t.Err != nil || rs.follow(r.Topic, t.ID)
	switch {
	case !usable:
		s.stale = true
		s.refused = autobus.NewError(autobus.ReasonCapacity, "topic %s was made again; what was sent to the old one is "+
			"still being settled", r.Topic)
		s.refused.RetryAfter = time.Second
	case t.Err != nil:
		s.refused = autobus.NewError(autobus.ReasonRouteMismatch, "the brokers do not describe topic %s: %v", r.Topic,
			t.Err).WithCause(t.Err)
	case !exists:
		s.refused = autobus.NewError(autobus.ReasonRouteMismatch, "topic %s does not exist", r.Topic)
	case t.Partitions != r.Partitions:
		s.refused = autobus.NewError(autobus.ReasonRouteMismatch,
			"topic %s has %d partitions, the route of %s pins %d", r.Topic, t.Partitions, r.Type, r.Partitions)
	case !r.BestEffort && !rs.cfg.Embedded && weak(t):
		s.refused = autobus.NewError(autobus.ReasonNotDurable,
			"topic %s has %d replicas, min.insync.replicas %d, unclean election %t", r.Topic, t.Replicas, t.MinISR(),
			t.Unclean())
	default:
		limit := t.MaxMessageBytes()
		inForce := rs.cfg.Log.Limit(r.Topic, limit)
		s.maxEvent = min(s.maxEvent, int(min(limit, inForce))-autobus.RecordOverhead)
		if inForce > limit { // full batches would be refused, with what is in them
			s.stale = true
			s.refused = autobus.NewError(autobus.ReasonCapacity, "topic %s takes smaller batches now; what is in flight is "+
				"still being settled", r.Topic)
			s.refused.RetryAfter = time.Second
		}
	}
	r.state.Store(s)
	return s
}

// weak reports whether a topic may lose what it acknowledged when one broker does not come back.
func weak(t kafka.Topic) bool { return t.Replicas < 3 || t.MinISR() < 2 || t.Unclean() }

// follow tells whether the producer can be used for a topic. After the topic was away, or came back with another id, a
// new producer is needed, and that one has to wait until the old one's appends are settled.
func (rs *routes) follow(topic string, id [16]byte) bool {
	rs.mu.Lock()
	before, known := rs.ids[topic]
	rs.ids[topic] = id
	rs.mu.Unlock()
	if !known || before == id || id == [16]byte{} || rs.cfg.Log.Renew(topic) {
		return true
	}
	rs.mu.Lock()
	rs.ids[topic] = before
	rs.mu.Unlock()
	return false
}

// recheck makes the next publish check the route first: an append found its topic gone.
func (r *route) recheck() {
	if s := r.state.Load(); s != nil && !s.stale {
		again := *s
		again.stale = true
		r.state.CompareAndSwap(s, &again)
	}
}

func (r *route) topicID() (id [16]byte) {
	if s := r.state.Load(); s != nil {
		id = s.id
	}
	return id
}

func (r *route) maxEvent() int {
	if s := r.state.Load(); s != nil {
		return s.maxEvent
	}
	return r.MaxEventBytes
}

// stickyRecords is how many events without a key go to one partition before another one is taken: few enough to
// spread, many enough for the producer to fill batches.
const stickyRecords = 256

func (r *route) partition(key []byte) int32 {
	if key != nil {
		return kafka.PartitionOf(r.Hash, key, r.Partitions)
	}
	r.sticky.Lock()
	defer r.sticky.Unlock()
	if r.sticky.left == 0 {
		r.sticky.partition, r.sticky.left = rand.Int32N(r.Partitions), stickyRecords
	}
	r.sticky.left--
	return r.sticky.partition
}

// RouteStatus is a route as this instance sees it.
type RouteStatus struct {
	Type        string         `json:"type"`
	Topic       string         `json:"topic"`
	Partitions  int32          `json:"partitions"`
	Epoch       int64          `json:"epoch"`
	Unspecified bool           `json:"unspecified,omitempty"`
	BestEffort  bool           `json:"best_effort,omitempty"`
	Refused     autobus.Reason `json:"refused,omitempty"` // why nothing is published to it
	Detail      string         `json:"detail,omitempty"`
}

func (rs *routes) status() []RouteStatus {
	table, _ := rs.all()
	out := make([]RouteStatus, 0, len(table))
	for _, r := range table {
		st := RouteStatus{Type: r.Type, Topic: r.Topic, Partitions: r.Partitions, Epoch: r.Epoch,
			Unspecified: r.Unspecified, BestEffort: r.BestEffort || rs.cfg.Embedded}
		if s := r.state.Load(); s != nil && s.refused != nil {
			st.Refused, st.Detail = s.refused.Reason, s.refused.Detail
		}
		out = append(out, st)
	}
	slices.SortFunc(out, func(a, b RouteStatus) int { return strings.Compare(a.Type, b.Type) })
	return out
}

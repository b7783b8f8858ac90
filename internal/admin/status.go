// SPDX-License-Identifier: Apache-2.0

package admin

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/bus"
	"github.com/autobus-io/autobus/internal/control"
	"github.com/autobus-io/autobus/internal/kafka"
	"github.com/autobus-io/autobus/internal/quota"
	"github.com/autobus-io/autobus/spec"
)

// Asking for the status must not become load on the brokers, nor hang where they do not answer: that is when people
// ask for it.
const (
	clusterFresh   = 5 * time.Second
	clusterTimeout = 2 * time.Second
)

// status is the answer of GET /v1/status. Public from the first release: fields may come, none may change.
type status struct {
	Instance   string              `json:"instance"`
	Version    string              `json:"version"`
	Mode       string              `json:"mode"`
	Started    time.Time           `json:"started"`
	Uptime     string              `json:"uptime"`
	Ready      bool                `json:"ready"`
	NotReady   autobus.Reason      `json:"not_ready,omitempty"` // why
	Auth       bool                `json:"auth"`
	Insecure   bool                `json:"insecure"`
	Relays     bool                `json:"relays"` // workers get what other instances have; leases are settled anywhere
	Cluster    clusterStatus       `json:"cluster"`
	Embedded   *embeddedStatus     `json:"embedded,omitempty"`
	Quota      *quota.Status       `json:"quota,omitempty"` // of the asker, at this instance; absent = none
	Routes     []bus.RouteStatus   `json:"routes"`          // those for which the asker has a grant
	Duplicates bus.DuplicateStatus `json:"duplicates"`
	Buffer     kafka.BufferUsage   `json:"buffer"`
	Control    controlStatus       `json:"control"`
	Specs      specStatus          `json:"specs"`
	Unreadable []unreadable        `json:"unreadable"` // what a newer version wrote, and is refused here

	// DeadLetters are those that retention takes soon, of subscriptions for which the asker has a grant.
	DeadLetters []bus.ExpiringLetters `json:"dead_letters_expiring"`

	// Delayed are events that were to be published later, that nobody works on, and that retention takes soon.
	Delayed []bus.ExpiringDelayed `json:"delayed_expiring"`
}

// unreadable is a control record in force or a partition of a subscription; the asker has a grant for it.
type unreadable struct {
	Kind   string `json:"kind"` // route, subscription, manifest, spec, or partition
	Name   string `json:"name"`
	Detail string `json:"detail"`
}

type clusterStatus struct {
	Name       string         `json:"name"`
	ID         string         `json:"id"`                 // of the control log
	KafkaID    string         `json:"kafka_id,omitempty"` // of the brokers
	Controller int32          `json:"controller"`
	Brokers    []kafka.Broker `json:"brokers"`
	Error      string         `json:"error,omitempty"` // why the rest is not known
}

type embeddedStatus struct {
	Dir        string         `json:"dir,omitempty"`
	Ephemeral  bool           `json:"ephemeral"`
	Durability string         `json:"durability"`
	Copies     int            `json:"copies"`
	Full       autobus.Reason `json:"full,omitempty"` // why nothing is published
	kafka.Storage
}

type controlStatus struct {
	Offset int64  `json:"offset"`        // behind the last record applied here
	Lag    *int64 `json:"lag,omitempty"` // records not yet applied; absent when the brokers do not say
}

type specStatus struct {
	Types    int           `json:"types"`
	Hash     string        `json:"hash,omitempty"`
	Problems spec.Problems `json:"problems"` // why a newer bundle is not in force
}

func (e *Edge) describe(ctx context.Context, p autobus.Principal) status {
	cfg := &e.cfg
	b := cfg.Bus.Status()
	s := status{
		Instance: cfg.Instance, Version: cfg.Version, Mode: cfg.Mode,
		Started: cfg.Started.UTC().Truncate(time.Second), Uptime: time.Since(cfg.Started).Truncate(time.Second).String(),
		Ready: true, Auth: cfg.Auth, Insecure: cfg.Insecure, Relays: cfg.Relays, Quota: cfg.Quotas.Status(p.Name),
		Routes:     slices.DeleteFunc(b.Routes, func(r bus.RouteStatus) bool { return !concerns(p, r.Type) }),
		Duplicates: b.Duplicates, Buffer: b.Buffer,
		Specs: specStatus{
			Types: cfg.Snapshot().Len(), Hash: cfg.SpecHash(), Problems: append(spec.Problems{}, cfg.Problems()...),
		},
	}
	if err := cfg.Ready.Err(); err != nil {
		s.Ready, s.NotReady = false, err.Reason
	}
	s.Unreadable = e.unreadable(p, b.Unreadable)
	s.DeadLetters = slices.DeleteFunc(b.Expiring, func(x bus.ExpiringLetters) bool { return !concerns(p, x.Subscription) })
	s.Delayed = b.Delayed
	s.Cluster, s.Control.Lag = e.askCluster(ctx)
	s.Control.Offset = cfg.Control.End()
	if em := cfg.Embedded; em != nil {
		s.Embedded = &embeddedStatus{
			Dir: em.Dir, Ephemeral: em.Ephemeral, Durability: em.Durability, Copies: 1, Storage: em.Broker.Storage(),
		}
		if full := em.Broker.Full(0); full != nil {
			s.Embedded.Full = full.Reason
		}
	}
	return s
}

// unreadable lists what the asker may know of. Tokens are left out: those who manage them list them.
func (e *Edge) unreadable(p autobus.Principal, partitions []bus.Unreadable) []unreadable {
	out := []unreadable{}
	for _, r := range e.cfg.Control.Newer() {
		named := r.Kind == control.KindRoute || r.Kind == control.KindSubscription
		if r.Kind != control.KindToken && (!named || concerns(p, r.Name)) {
			out = append(out, unreadable{r.Kind, r.Name, fmt.Sprintf(
				"its record at offset %d has version %d, this build reads up to %d", r.Offset, r.Version, control.Version)})
		}
	}
	for _, u := range partitions {
		if concerns(p, u.Subscription) {
			out = append(out, unreadable{u.Kind, u.Name, u.Detail})
		}
	}
	return out
}

// concerns reports whether any grant of p reaches the type.
func concerns(p autobus.Principal, name string) bool {
	return slices.ContainsFunc(autobus.Verbs(), func(v autobus.Verb) bool { return p.May(v, name) })
}

func (e *Edge) askCluster(ctx context.Context) (c clusterStatus, lag *int64) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if time.Since(e.looked) < clusterFresh {
		return e.cluster, e.lag
	}
	c = clusterStatus{Name: e.cfg.Control.ClusterName(), ID: e.cfg.Control.ClusterID(), Brokers: []kafka.Broker{}}
	ask, cancel := context.WithTimeout(ctx, clusterTimeout)
	defer cancel()
	d, err := e.cfg.Log.Describe(ask)
	if err == nil {
		c.KafkaID, c.Controller = d.ID, d.Controller
		c.Brokers = append(c.Brokers, d.Brokers...)
		lag, err = e.controlLag(ask)
	}
	if err != nil {
		c.Error = err.Error()
	}
	if ctx.Err() == nil { // else it is the asker who gave up
		e.cluster, e.lag, e.looked = c, lag, time.Now()
	}
	return c, lag
}

func (e *Edge) controlLag(ctx context.Context) (*int64, error) {
	applied := e.cfg.Control.End()
	ends, err := e.cfg.Log.Ends(ctx, control.Topic)
	if err != nil {
		return nil, err
	}
	lag := max(0, ends[kafka.TP{Topic: control.Topic}]-applied)
	return &lag, nil
}

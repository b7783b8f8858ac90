// SPDX-License-Identifier: Apache-2.0

// Package quota bounds what one principal may ask of an instance: events and bytes published in a second, and
// connections that stay open. It owns the rules, a pair of token buckets and a counter per principal. It refuses to
// know protocols, events and tokens: the bus asks it before an event is appended, the edge before a connection stays.
//
// The count is this instance's alone: nothing is shared, so that no instance waits for another one to publish. Behind a
// balancer a principal gets at most the sum of the instances' quotas.
//
// There is one account per principal that ever came. Principals are made by operators, so these are few.
package quota

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/autobus-io/autobus"
)

// Limits bound one principal; 0 = no bound.
type Limits struct {
	Events      int64         // published in a second
	Bytes       int64         // data, key and attributes of those events, in a second
	Connections int64         // WebSockets, streams, tails and waiting polls open at once
	Burst       time.Duration // what may come at once, as time at the rate; 0 = 1 s
}

// Rule gives limits to the principals whose names match.
type Rule struct {
	Principal string // a name or a pattern, as autobus.MatchType reads them
	Limits
}

// Config says who has which quota.
type Config struct {
	Default Limits // of those whom no rule matches
	Rules   []Rule // the first that matches counts, and replaces Default as a whole
	Metrics prometheus.Registerer
}

// Quotas are the quotas of all principals. A nil one bounds nobody.
type Quotas struct {
	cfg     Config
	refused [3]prometheus.Counter // by limit

	mu       sync.RWMutex
	accounts map[string]*Account
}

// The limits, in the order of their names.
const (
	events = iota
	bytes
	connections
)

func limitNames() [3]string { return [3]string{"events", "bytes", "connections"} }

// New makes quotas of which nothing is used.
func New(c Config) *Quotas {
	q := &Quotas{cfg: c, accounts: map[string]*Account{}}
	refused := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "autobus_quota_refused_total",
		Help: "Events and connections refused because the principal's quota was used up, by limit."}, []string{"limit"})
	for i, name := range limitNames() {
		q.refused[i] = refused.WithLabelValues(name)
	}
	if c.Metrics != nil {
		c.Metrics.MustRegister(refused)
	}
	return q
}

// Of gives the account of a principal; nil, which bounds nothing, where there is no limit to it.
func (q *Quotas) Of(principal string) *Account {
	if q == nil {
		return nil
	}
	q.mu.RLock()
	a, known := q.accounts[principal]
	q.mu.RUnlock()
	if known {
		return a
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if a, known = q.accounts[principal]; known {
		return a
	}
	if l := q.cfg.limits(principal); l.Events > 0 || l.Bytes > 0 || l.Connections > 0 {
		a = newAccount(principal, l, &q.refused)
	}
	q.accounts[principal] = a
	return a
}

func (c *Config) limits(principal string) Limits {
	for _, r := range c.Rules {
		if autobus.MatchType(r.Principal, principal) {
			return r.Limits
		}
	}
	return c.Default
}

// Status is what a principal may do here and how much of it he does.
type Status struct {
	Events      int64  `json:"events,omitempty"`      // a second
	Bytes       int64  `json:"bytes,omitempty"`       // a second
	Burst       string `json:"burst,omitempty"`       // how much may come at once, as time at those rates
	Connections int64  `json:"connections,omitempty"` // at once
	Open        int64  `json:"open"`                  // connections that count now
}

// Status tells the quota of a principal; nil = he has none.
func (q *Quotas) Status(principal string) *Status {
	a := q.Of(principal)
	if a == nil {
		return nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	s := &Status{Events: a.limits.Events, Bytes: a.limits.Bytes, Connections: a.limits.Connections, Open: a.open}
	if s.Events > 0 || s.Bytes > 0 {
		s.Burst = a.limits.Burst.String()
	}
	return s
}

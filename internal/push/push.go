// SPDX-License-Identifier: Apache-2.0

package push

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/autobus-io/autobus"
)

// Bounds of one subscription's worker.
const (
	maxRequests = 256             // at a time, whatever the window
	grace       = 5 * time.Second // for requests under way when it ends
	again       = 5 * time.Second // before a worker that ended is started anew
)

// Subscription is one that the bus pushes: its policy, with defaults, has a Delivery.Push.
type Subscription struct {
	Name   string
	Policy autobus.Policy
}

// Config is what a Pusher is made from.
type Config struct {
	// List gives the subscriptions that are to be pushed now; those that are paused are not.
	List func() []Subscription

	// Changed is told, whenever List may answer otherwise than before.
	Changed <-chan struct{}

	// Pause pauses a subscription.
	Pause func(ctx context.Context, subscription, why string) error

	Allow   []netip.Prefix        // networks that may be reached though they are not on the public internet
	Secrets string                // folder of the files that policies name; "" = none may be named
	Origin  string                // WebHook-Request-Origin
	Agent   string                // User-Agent
	Logger  *slog.Logger          // never told data or the URL
	Metrics prometheus.Registerer // nil = none
}

// Pusher pushes.
type Pusher struct {
	cfg     Config
	guard   guard
	metrics *metrics

	mu   sync.Mutex
	jobs map[string]*job
}

// job is the worker of one subscription under one policy.
type job struct {
	key    string // what it was made from
	at     *endpoint
	cancel context.CancelFunc
	done   chan struct{}
}

// New makes a Pusher. Run must run for anything to be pushed.
func New(cfg Config) *Pusher {
	return &Pusher{cfg: cfg, guard: newGuard(cfg.Allow), metrics: newMetrics(cfg.Metrics), jobs: map[string]*job{}}
}

// Check refuses an endpoint that would not be pushed to: ReasonSubscriptionInvalid.
func (p *Pusher) Check(ctx context.Context, to autobus.Push) *autobus.Error {
	if to.SecretFile != "" {
		if _, err := secrets(p.cfg.Secrets, to.SecretFile); err != nil {
			return autobus.NewError(autobus.ReasonSubscriptionInvalid, "delivery.push.secret_file: %s", err).
				WithHint("Name a file in the folder push.secrets of the instances' configuration, with a line such as " +
					"whsec_ and 32 random bytes in base64.")
		}
	}
	return p.guard.check(ctx, to.URL)
}

// Status tells how pushing of a subscription goes here; false: it is not pushed here.
func (p *Pusher) Status(subscription string) (Status, bool) {
	p.mu.Lock()
	j := p.jobs[subscription]
	p.mu.Unlock()
	if j == nil {
		return Status{}, false
	}
	return j.at.now(), true
}

// Run pushes until ctx ends; requests under way have some seconds then.
func (p *Pusher) Run(ctx context.Context, bus autobus.Bus) error {
	var parts sync.WaitGroup
	defer parts.Wait()
	for {
		p.arrange(ctx, bus, &parts)
		select {
		case <-ctx.Done():
			return nil
		case <-p.cfg.Changed:
		}
	}
}

// arrange starts and ends workers, so that there is one for each subscription, by its policy. Only Run calls it.
func (p *Pusher) arrange(ctx context.Context, bus autobus.Bus, parts *sync.WaitGroup) {
	wanted := map[string]Subscription{}
	for _, s := range p.cfg.List() {
		wanted[s.Name] = s
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for name, j := range p.jobs {
		if s, ok := wanted[name]; !ok {
			j.cancel()
			delete(p.jobs, name)
		} else if j.key == keyOf(s) {
			delete(wanted, name)
		}
	}
	for name, s := range wanted {
		before := p.jobs[name]
		own, cancel := context.WithCancel(ctx)
		j := &job{key: keyOf(s), at: newEndpoint(&p.cfg, p.metrics, p.guard, s), cancel: cancel, done: make(chan struct{})}
		p.jobs[name] = j
		p.metrics.open.Inc()
		parts.Go(func() {
			defer p.metrics.open.Dec()
			defer close(j.done)
			defer cancel()
			defer j.at.end()
			if before != nil {
				before.cancel()
				<-before.done
			}
			p.work(own, bus, j.at)
		})
	}
}

func keyOf(s Subscription) string {
	b, _ := json.Marshal(s.Policy) // it came as JSON
	return string(b)
}

// work runs the worker of one subscription for as long as it is to be pushed.
func (p *Pusher) work(ctx context.Context, bus autobus.Bus, at *endpoint) {
	who := autobus.Principal{Name: "autobus.push"}
	for _, t := range append([]string{at.name}, at.policy.Types...) {
		who.Grants = append(who.Grants, autobus.Grant{Verb: autobus.VerbSubscribe, Pattern: t})
	}
	w := autobus.Worker{Bus: bus, Subscription: at.name, Workers: concurrency(at.policy), Window: at.policy.Window,
		Grace: grace, Logger: p.cfg.Logger}
	if b := at.push.Batch; b != nil {
		w.HandleBatch = at.handle
		w.Limits = autobus.BatchLimits{Events: b.Events, Bytes: b.Bytes, Wait: time.Duration(b.Wait)}
	} else {
		w.Handle = func(ctx context.Context, d *autobus.Delivery) error {
			return at.handle(ctx, []*autobus.Delivery{d})
		}
	}
	for ctx.Err() == nil {
		if err := w.Run(autobus.WithPrincipal(ctx, who)); err != nil && ctx.Err() == nil {
			p.cfg.Logger.Warn("pushing ended and begins anew", "subscription", at.name, "error", err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(again):
		}
	}
}

// concurrency is how many requests are under way at a time, so that they fill the window.
func concurrency(p autobus.Policy) int {
	n := p.Window.Events
	if b := p.Delivery.Push.Batch; b != nil {
		n /= b.Events
	}
	return min(max(n, 1), maxRequests)
}

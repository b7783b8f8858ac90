// SPDX-License-Identifier: Apache-2.0

package bus

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/spec"
)

// authorize comes first, so that nobody learns which types exist beyond his grants.
func authorize(who autobus.Principal, known bool, e *autobus.Event) *autobus.Error {
	if !known {
		return autobus.NewError(autobus.ReasonUnauthenticated, "nobody is known to publish")
	}
	if !who.May(autobus.VerbPublish, e.Type) && !who.May(autobus.VerbRequest, e.Type) {
		return autobus.NewError(autobus.ReasonForbidden, "%s has no grant to publish %q", who.Name, e.Type)
	}
	return nil
}

// resolve finds where a type goes and what its spec says; the spec is nil for a type without one. The route is open:
// its topic was held against it.
func (b *Bus) resolve(ctx context.Context, who autobus.Principal, name string, barrier func(context.Context) error) (
	*route, *spec.Type, *autobus.Error) {
	r, t, err := b.find(ctx, who, name, barrier)
	if err != nil && err.Reason == autobus.ReasonTypeUnknown && b.cfg.CreateType != nil {
		if err := b.cfg.CreateType(ctx, name); err != nil {
			return nil, nil, notMade(name, err)
		}
		r, t, err = b.lookup(who, name)
	}
	if err != nil {
		return nil, nil, err
	}
	if err := b.routes.open(ctx, r); err != nil {
		return nil, nil, err
	}
	return r, t, nil
}

// notMade says why a type without a spec could not be made. Of the event itself certainly nothing was written.
func notMade(name string, err error) *autobus.Error {
	e := autobus.AsError(err)
	if e.Reason == autobus.ReasonOutcomeUnknown || e.Reason == autobus.ReasonControlConflict {
		return autobus.NewError(autobus.ReasonClusterUnreachable, "type %s could not be made in time", name).WithCause(err)
	}
	return e
}

// find looks a type up. A refusal that newer control state could lift is given only after a read barrier.
func (b *Bus) find(ctx context.Context, who autobus.Principal, name string, barrier func(context.Context) error) (
	*route, *spec.Type, *autobus.Error) {
	r, t, err := b.lookup(who, name)
	if err != nil {
		if legal := b.legal(name); legal != nil {
			return nil, nil, legal
		}
		if err := barrier(ctx); err != nil {
			return nil, nil, autobus.NewError(autobus.ReasonClusterUnreachable,
				"type %s is not known here, and whether it is elsewhere could not be found out in time", name).WithCause(err)
		}
		return b.lookup(who, name)
	}
	return r, t, nil
}

// lookup finds a route and a spec in what this instance knows now.
func (b *Bus) lookup(who autobus.Principal, name string) (*route, *spec.Type, *autobus.Error) {
	r := b.routes.get(name)
	t, specified := b.cfg.Snapshot().Type(name)
	if r == nil || !specified && b.cfg.CreateType == nil {
		return nil, nil, b.unknownType(who, name)
	}
	return r, t, nil
}

// legal refuses names that no control state could make a type.
func (b *Bus) legal(name string) *autobus.Error {
	switch {
	case autobus.ReservedName(name):
		return autobus.NewError(autobus.ReasonTypeReserved, "%q is kept for the bus itself", name)
	case b.cfg.CreateType != nil && (!autobus.LegalTopic(name) || strings.HasSuffix(name, ".reply")):
		return autobus.NewError(autobus.ReasonTypeInvalid, "%q cannot be a Kafka topic of its own", name)
	case b.cfg.CreateType == nil && !autobus.ValidType(name):
		return autobus.NewError(autobus.ReasonTypeInvalid, "%q is not of the form orders.order.placed.v1", name)
	}
	return nil
}

// unknownType refuses a type, with the near names that this principal may know of.
func (b *Bus) unknownType(who autobus.Principal, name string) *autobus.Error {
	if b.cfg.Unreadable != nil {
		if newer := b.cfg.Unreadable(); newer != nil {
			return autobus.NewError(autobus.ReasonTypeUnreadable, "no spec that this instance can read declares %s: %s", name,
				newer.Detail)
		}
	}
	err := autobus.NewError(autobus.ReasonTypeUnknown, "no spec declares %s", name)
	near := slices.DeleteFunc(b.cfg.Snapshot().Near(name, 10), func(n string) bool {
		return !who.May(autobus.VerbPublish, n) && !who.May(autobus.VerbSubscribe, n)
	})
	if near = near[:min(3, len(near))]; len(near) > 0 {
		return err.WithHint("Did you mean %s? Else add its spec and push it.", strings.Join(near, " or "))
	}
	return err
}

// unspecifiedHint tells whoever publishes a type without a spec that nothing was checked, and whether he may have meant
// another one. It is put together once: near names cost a look at every type.
func (b *Bus) unspecifiedHint(r *route) string {
	if h := r.hint.Load(); h != nil {
		return *h
	}
	hint := "No spec declares " + r.Type + "; its data was not checked."
	if near := b.cfg.Snapshot().Near(r.Type, 3); len(near) > 0 {
		hint += " Did you mean " + strings.Join(near, " or ") + "?"
	}
	r.hint.Store(&hint)
	return hint
}

// refreshEvery bounds how often bad requests make this instance ask the brokers for the end of the control log.
const refreshEvery = time.Second

// refresher runs read barriers for many callers: each gets one that began after he asked, and they begin at most once
// in a while.
type refresher struct {
	barrier func(context.Context) error
	every   time.Duration

	mu    sync.Mutex
	begun time.Time     // when the last barrier began
	next  *refreshRound // not begun yet; further callers may join
}

type refreshRound struct {
	done chan struct{}
	err  error
}

// barrierTimeout bounds one barrier, whatever becomes of those who wait for it.
const barrierTimeout = 5 * time.Second

func (r *refresher) after(ctx context.Context) error {
	r.mu.Lock()
	round := r.next
	if round == nil {
		round = &refreshRound{done: make(chan struct{})}
		r.next = round
		wait := r.every - time.Since(r.begun)
		time.AfterFunc(max(wait, 0), func() { r.run(round) })
	}
	r.mu.Unlock()
	select {
	case <-round.done:
		return round.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (r *refresher) run(round *refreshRound) {
	r.mu.Lock()
	r.next, r.begun = nil, time.Now()
	r.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), barrierTimeout)
	defer cancel()
	round.err = r.barrier(ctx)
	close(round.done)
}

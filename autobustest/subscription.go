// SPDX-License-Identifier: Apache-2.0

package autobustest

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"github.com/autobus-io/autobus"
)

// Subscription makes a subscription, as PUT /v1/subscriptions/{name} does: it gets what is published from now on, or
// what its start says. A policy that is wrong, or a filter without a replacement, fails the test at once.
func (b *Bus) Subscription(name string, p autobus.Policy) {
	b.t.Helper()
	b.lock()
	err := b.create(everybody(), name, p)
	if g := b.groups[name]; err == nil && g.unfiltered {
		err = b.noFilter("subscription "+name, p.Filter, name)
	}
	b.unlock()
	if err != nil {
		b.t.Fatalf("autobustest: subscription %s: %v\n%s", name, err, err.NextStep())
	}
}

// consume serves Subscribe for a named subscription.
func (b *Bus) consume(ctx context.Context, who autobus.Principal, s autobus.Subscription, h autobus.Handler) error {
	se, err := b.enter(who, &s)
	if err != nil {
		return err
	}
	ended := se.run(ctx, h)
	b.lock()
	defer b.unlock()
	se.group.leave(se, context.Cause(ctx))
	return ended
}

// enter judges who subscribes and adds a session.
func (b *Bus) enter(who autobus.Principal, s *autobus.Subscription) (*session, error) {
	b.lock()
	defer b.unlock()
	if b.ended {
		return nil, autobus.NewError(autobus.ReasonShuttingDown, "the test is over")
	}
	if s.Filter != "" {
		return nil, autobus.NewError(autobus.ReasonRequestInvalid, "a subscription has its own filter").
			WithHint("Set the filter in the policy of %s.", s.Name)
	}
	if s.Window != nil {
		if err := s.Window.Check(); err != nil {
			return nil, err
		}
	}
	if !who.May(autobus.VerbSubscribe, s.Name) {
		return nil, autobus.NewError(autobus.ReasonForbidden, "%s has no grant to subscribe to %q", who.Name, s.Name).
			WithHint("A grant such as subscribe:%s is needed, beside those for its types.", s.Name)
	}
	if s.Create != nil {
		if err := b.create(who, s.Name, *s.Create); err != nil {
			return nil, err
		}
	}
	g := b.groups[s.Name]
	if g == nil {
		return nil, b.unknownSubscription(who, s.Name)
	}
	if g.unfiltered {
		return nil, b.noFilter("subscription "+g.name, g.policy.Filter, g.name)
	}
	if err := mayReadAll(who, g.policy.Types); err != nil {
		return nil, err
	}
	return g.enter(s), nil
}

// create makes a subscription, unless the same one is there.
func (b *Bus) create(who autobus.Principal, name string, p autobus.Policy) *autobus.Error {
	if g := b.groups[name]; g != nil {
		if !samePolicy(g.policy, p.WithDefaults()) {
			return autobus.NewError(autobus.ReasonSubscriptionExists, "subscription %s exists with another policy", name)
		}
		return nil
	}
	if err := b.checkSubscription(who, name, p); err != nil {
		return err
	}
	if err := b.checkCursors(p); err != nil {
		return err
	}
	g := b.newGroup(name, p)
	b.groups[name] = g
	for _, r := range b.after(p.Start, g.reads) {
		g.track(r)
	}
	return nil
}

func (b *Bus) checkSubscription(who autobus.Principal, name string, p autobus.Policy) *autobus.Error {
	if !autobus.ValidSubscription(name) || autobus.ReservedName(name) {
		return autobus.NewError(autobus.ReasonSubscriptionInvalid, "%q cannot name a subscription", name).
			WithHint("Use a letter, then up to 120 of a-z, 0-9, '.', '_' and '-'; not dlq, retry or park as first segment.")
	}
	if err := p.Check(); err != nil {
		return err
	}
	if !who.May(autobus.VerbManage, name) {
		return autobus.NewError(autobus.ReasonForbidden, "%s has no grant to manage %s", who.Name, name)
	}
	if err := mayReadAll(who, p.Types); err != nil {
		return err
	}
	for _, t := range p.Types {
		if autobus.IsPattern(t) {
			continue // more may match later
		}
		if err := b.exists(who, t); err != nil {
			return err
		}
	}
	dotted := strings.ReplaceAll(name, "_", ".")
	for _, other := range slices.Sorted(maps.Keys(b.groups)) {
		if strings.ReplaceAll(other, "_", ".") == dotted {
			return autobus.NewError(autobus.ReasonSubscriptionInvalid,
				"%s differs from the subscription %s only in dots and underscores", name, other)
		}
	}
	return nil
}

// checkCursors refuses a start at places that do not exist.
func (b *Bus) checkCursors(p autobus.Policy) *autobus.Error {
	for typ, cursors := range p.Start.Cursors {
		if !slices.ContainsFunc(p.Types, func(t string) bool { return autobus.MatchType(t, typ) }) || b.topics[typ] == nil {
			return autobus.NewError(autobus.ReasonSubscriptionInvalid, "start names %q, which is none of its types", typ)
		}
		partitions := b.topics[typ].partitions
		for n, offset := range cursors {
			if int(n) >= len(partitions) || offset > int64(len(partitions[n])) {
				return autobus.NewError(autobus.ReasonSubscriptionInvalid,
					"start names offset %d of partition %d of %s, which is not there", offset, n, typ)
			}
		}
	}
	return nil
}

func (b *Bus) unknownSubscription(who autobus.Principal, name string) *autobus.Error {
	var names []string
	for _, n := range slices.Sorted(maps.Keys(b.groups)) {
		if who.May(autobus.VerbSubscribe, n) || who.May(autobus.VerbManage, n) {
			names = append(names, n)
		}
	}
	err := autobus.NewError(autobus.ReasonSubscriptionUnknown, "there is no subscription %q", name)
	if near := autobus.Near(name, names, 3); len(near) > 0 {
		return err.WithHint("Did you mean %s?", strings.Join(near, " or "))
	}
	return err
}

// mayReadAll refuses who may not read everything that the types can deliver.
func mayReadAll(who autobus.Principal, types []string) *autobus.Error {
	for _, t := range types {
		if !who.MayAll(autobus.VerbSubscribe, t) {
			return autobus.NewError(autobus.ReasonForbidden, "%s has no grant to subscribe to %s", who.Name, t)
		}
	}
	return nil
}

// samePolicy compares two policies with their defaults.
func samePolicy(a, b autobus.Policy) bool {
	x, errX := json.Marshal(a)
	y, errY := json.Marshal(b)
	return errX == nil && errY == nil && string(x) == string(y)
}

// SPDX-License-Identifier: Apache-2.0

package bus

import (
	"context"
	"errors"
	"strings"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/control"
)

// consume serves Subscribe for a named subscription.
func (b *Bus) consume(ctx context.Context, who autobus.Principal, s autobus.Subscription, h autobus.Handler) error {
	if s.Filter != "" {
		return autobus.NewError(autobus.ReasonRequestInvalid, "a subscription has its own filter").
			WithHint("Set the filter in the policy of %s.", s.Name)
	}
	if s.Window != nil {
		if err := s.Window.Check(); err != nil {
			return err
		}
	}
	// Who joins somebody else's group takes its events away: the grant has to name the subscription as well as its types.
	if !who.May(autobus.VerbSubscribe, s.Name) {
		return autobus.NewError(autobus.ReasonForbidden, "%s has no grant to subscribe to %q", who.Name, clipName(s.Name)).
			WithHint("A grant such as subscribe:%s is needed, beside those for its types.", clipName(s.Name))
	}
	if s.Create != nil {
		if err := b.createFor(ctx, who, s.Name, *s.Create); err != nil {
			return err
		}
	}
	g, err := b.findGroup(ctx, who, s.Name)
	if err != nil {
		return err
	}
	se, err := g.enter(who, &s)
	if err != nil {
		return err
	}
	ended := se.run(ctx, h)
	g.leave(se, context.Cause(ctx))
	return ended
}

// createFor makes the subscription that a worker brings along, unless it is there. A worker does not change what others
// work by.
func (b *Bus) createFor(ctx context.Context, who autobus.Principal, name string, p autobus.Policy) error {
	if exists, err := b.agrees(name, p); exists {
		return err
	}
	a := Audit{Actor: who.Name, Reason: "made by its first worker"}
	if err := b.checkSubscription(ctx, name, p, a); err != nil {
		// Who may not make it may find it made, by somebody else and a moment ago.
		if errors.Is(err, &autobus.Error{Reason: autobus.ReasonForbidden}) && b.refresh.after(ctx) == nil {
			if exists, err := b.agrees(name, p); exists {
				return err
			}
		}
		return err
	}
	_, err := b.put(ctx, name, p.WithDefaults(), a, false)
	return err
}

// agrees tells whether a subscription exists here, and refuses another policy than its own.
func (b *Bus) agrees(name string, p autobus.Policy) (exists bool, err error) {
	rec, ok := b.cfg.Control.Get(control.KindSubscription, name)
	if !ok {
		return false, nil
	}
	have, err := control.Decode[control.Subscription](rec)
	if err == nil && !samePolicy(have.Policy, p.WithDefaults()) {
		err = otherPolicy(name)
	}
	return true, err
}

func otherPolicy(name string) error {
	return autobus.NewError(autobus.ReasonSubscriptionExists, "subscription %s exists with another policy", name)
}

// findGroup finds a subscription, after a read barrier when it is not known here.
func (b *Bus) findGroup(ctx context.Context, who autobus.Principal, name string) (*group, error) {
	g, err := b.groups.get(ctx, name)
	if err == nil || err.Reason != autobus.ReasonSubscriptionUnknown {
		return g, asError(err)
	}
	if late := b.refresh.after(ctx); late != nil {
		return nil, autobus.NewError(autobus.ReasonClusterUnreachable,
			"subscription %s is not known here, and whether it is elsewhere could not be found out in time", clipName(name)).
			WithCause(late)
	}
	if g, err = b.groups.get(ctx, name); err != nil {
		if near := b.groups.near(who, name); len(near) > 0 {
			err = err.WithHint("Did you mean %s?", strings.Join(near, " or "))
		}
		return nil, err
	}
	return g, nil
}

// asError keeps a nil *Error from becoming an error that is not nil.
func asError(err *autobus.Error) error {
	if err == nil {
		return nil
	}
	return err
}

// mayReadAll refuses who may not read everything that the types can deliver.
func mayReadAll(who autobus.Principal, types []string) error {
	for _, t := range types {
		if !who.MayAll(autobus.VerbSubscribe, t) {
			return autobus.NewError(autobus.ReasonForbidden, "%s has no grant to subscribe to %s", who.Name, t)
		}
	}
	return nil
}

// clipName keeps a stranger's name short enough for an error.
func clipName(name string) string {
	return strings.ToValidUTF8(name[:min(len(name), autobus.MaxTypeBytes)], "\uFFFD")
}

// SPDX-License-Identifier: Apache-2.0

package bus

import (
	"context"
	"errors"
	"time"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/control"
)

// Surgery is what an operator asks for: who, why, and whether only to tell what it would do.
type Surgery struct {
	Audit
	DryRun bool
}

// alter changes the record of a subscription: f gets its value and a number that no earlier change of it had, and tells
// whether something is to be written. When somebody else was faster f is asked again.
func (b *Bus) alter(ctx context.Context, name string, a Audit,
	f func(change uint32, v *control.Subscription) (bool, error)) error {
	for range changeAttempts {
		if err := b.cfg.Control.Barrier(ctx); err != nil {
			return err
		}
		rec, exists := b.cfg.Control.Get(control.KindSubscription, name)
		if !exists {
			return autobus.NewError(autobus.ReasonSubscriptionUnknown, "there is no subscription %s", name)
		}
		v, err := control.Decode[control.Subscription](rec)
		if err != nil {
			return err
		}
		changed, err := f(uint32(rec.Offset+1), &v)
		if err != nil || !changed {
			return err
		}
		next, err := control.NewRecord(control.KindSubscription, name, rec.Offset, v)
		if err != nil {
			return err
		}
		next.Actor, next.Reason = a.Actor, a.Reason
		_, err = b.cfg.Control.Change(ctx, next)
		if !errors.Is(err, &autobus.Error{Reason: autobus.ReasonControlConflict}) {
			return err
		}
	}
	return autobus.NewError(autobus.ReasonControlConflict, "subscription %s is being changed by others", name)
}

// mayOperate finds a subscription that the principal may operate on. It may be one that a spec declares: what it is
// stands there, where it stands does not.
func (b *Bus) mayOperate(ctx context.Context, name string) error {
	who, err := mayManage(ctx, name)
	if err == nil {
		_, err = b.known(ctx, who, name)
	}
	return err
}

// PauseSubscription lets a subscription hand nothing out, at any instance, until it is resumed. Sessions stay, and what
// workers have may still be settled. It answers with the subscription as it is then, or would be; one that is paused
// stays as it is. The principal in ctx needs a grant to manage it.
func (b *Bus) PauseSubscription(ctx context.Context, name string, s Surgery) (SubscriptionInfo, error) {
	return b.switchOver(ctx, name, s, "pause subscription", func(v *control.Subscription) bool {
		if v.Paused != nil {
			return false
		}
		v.Paused = &control.Pause{Since: time.Now().UTC(), By: s.Actor, Why: s.Reason}
		return true
	})
}

// ResumeSubscription lets a subscription go on that was paused or stopped; one that was not stays as it is. Else it is
// as PauseSubscription.
func (b *Bus) ResumeSubscription(ctx context.Context, name string, s Surgery) (SubscriptionInfo, error) {
	return b.switchOver(ctx, name, s, "resume subscription", func(v *control.Subscription) bool {
		was := v.Paused != nil
		v.Paused = nil
		return was
	})
}

func (b *Bus) switchOver(ctx context.Context, name string, s Surgery, what string,
	change func(*control.Subscription) bool) (out SubscriptionInfo, err error) {
	if err := b.mayOperate(ctx, name); err != nil {
		return out, err
	}
	a := s.Audit
	a.Reason = or(a.Reason, what)
	err = b.alter(ctx, name, a, func(_ uint32, v *control.Subscription) (bool, error) {
		changed := change(v)
		out = b.tell(name, v)
		return changed && !s.DryRun, nil
	})
	return out, err
}

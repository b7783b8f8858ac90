// SPDX-License-Identifier: Apache-2.0

package bus

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/control"
	"github.com/autobus-io/autobus/internal/kafka"
)

// Audit is who changes something and why.
type Audit struct {
	Actor, Reason string
	Spec          bool // the change comes with the specs, which manage what they declare
}

// changeAttempts bounds how often a change begins again after somebody else changed the same subscription.
const changeAttempts = 5

// PutSubscription makes a subscription, or gives an existing one another policy; the same one changes nothing. Its
// start is resolved to offsets now, once and for all. The principal in ctx needs grants to manage it and to read its
// types.
//
// ReasonSubscriptionInvalid, ReasonFilterInvalid, ReasonTypeUnknown: the policy is wrong. ReasonManagedBySpec: the
// specs declare it. ReasonSubscriptionExists: it exists with another start.
func (b *Bus) PutSubscription(ctx context.Context, name string, p autobus.Policy, a Audit) (created bool, err error) {
	if err := b.checkSubscription(ctx, name, p, a); err != nil {
		return false, err
	}
	return b.put(ctx, name, p.WithDefaults(), a, true)
}

// put makes a subscription; one that exists with another policy is changed only if it may be.
func (b *Bus) put(ctx context.Context, name string, p autobus.Policy, a Audit, change bool) (created bool, err error) {
	for range changeAttempts {
		created, err = b.putOnce(ctx, name, p, a, change)
		if !errors.Is(err, &autobus.Error{Reason: autobus.ReasonControlConflict}) {
			return created, err
		}
	}
	return false, err
}

func (b *Bus) checkSubscription(ctx context.Context, name string, p autobus.Policy, a Audit) error {
	switch {
	case !autobus.ValidSubscription(name), autobus.ReservedName(name):
		return autobus.NewError(autobus.ReasonSubscriptionInvalid, "%q cannot name a subscription", clipName(name)).
			WithHint("Use a letter, then up to 120 of a-z, 0-9, '.', '_' and '-'; not dlq, retry or park as first segment.")
	case !a.Spec && b.declared(name):
		return autobus.NewError(autobus.ReasonManagedBySpec, "subscription %s is declared by a spec", name)
	}
	if err := p.Check(); err != nil {
		return err
	}
	if _, err := newFilter(p.Filter, p.Params); err != nil {
		return err
	}
	if a.Spec {
		return b.checkPush(ctx, p) // their types are declared beside them, and pushing them was granted
	}
	who, err := mayManage(ctx, name)
	if err != nil {
		return err
	}
	if err := mayReadAll(who, p.Types); err != nil {
		return err
	}
	if err := b.checkPush(ctx, p); err != nil {
		return err
	}
	return b.typesExist(ctx, who, p.Types)
}

// mayManage gives the principal of ctx, if it may manage a subscription.
func mayManage(ctx context.Context, name string) (autobus.Principal, error) {
	who, known := autobus.PrincipalOf(ctx)
	switch {
	case !known:
		return who, autobus.NewError(autobus.ReasonUnauthenticated, "nobody is known to manage subscriptions")
	case !who.May(autobus.VerbManage, name):
		return who, autobus.NewError(autobus.ReasonForbidden, "%s has no grant to manage %q", who.Name, clipName(name))
	}
	return who, nil
}

func (b *Bus) typesExist(ctx context.Context, who autobus.Principal, types []string) error {
	for _, t := range types {
		if autobus.IsPattern(t) || b.cfg.CreateType != nil && b.legal(t) == nil {
			continue // more may match later; in dev a type is made by its first event
		}
		if _, _, err := b.find(ctx, who, t, b.refresh.after); err != nil {
			return err
		}
	}
	return nil
}

func (b *Bus) declared(name string) bool {
	_, ok := b.cfg.Snapshot().Subscription(name)
	return ok
}

func (b *Bus) putOnce(ctx context.Context, name string, p autobus.Policy, a Audit, change bool) (created bool,
	err error) {
	if err := b.cfg.Control.Barrier(ctx); err != nil {
		return false, err
	}
	rec, exists := b.cfg.Control.Get(control.KindSubscription, name)
	// Grows also over a deletion, after which the same name is another subscription.
	epoch := uint32(rec.Offset + 1)
	value := control.Subscription{Positions: map[string]map[int32]int64{}, SeekEpoch: epoch, Created: time.Now().UTC()}
	if exists {
		if value, err = control.Decode[control.Subscription](rec); err != nil {
			return false, err
		}
		if !change && !samePolicy(value.Policy, p) {
			return false, otherPolicy(name)
		}
		if !a.Spec && !sameStart(value.Policy.Start, p.Start) {
			return false, autobus.NewError(autobus.ReasonSubscriptionExists,
				"subscription %s exists and began elsewhere; where it stands is not changed by its policy", name).
				WithHint("Send the start it was made with, or delete it and make it anew.")
		}
		p.Start = value.Policy.Start
		if samePolicy(value.Policy, p) {
			return false, nil
		}
	} else if err := b.refuseTwin(name); err != nil {
		return false, err
	} else if p.Start.Time.After(time.Now()) { // its place would be the end as it is now, and events from now on come
		return false, autobus.NewError(autobus.ReasonSubscriptionInvalid, "start %s is yet to come",
			p.Start.Time.Format(time.RFC3339)).WithHint("Make it then, or begin at latest and pause it until then.")
	}
	var before []string // what it reads now, from where it stands
	if exists {
		before = value.Policy.Types
	}
	if !a.Spec {
		if err := b.refuseSecondHandler(name, p.Types, before, math.MaxInt64); err != nil {
			return false, err
		}
	}
	if err := b.resolveStart(ctx, &value, p, before); err != nil {
		return false, err
	}
	value.Policy = p
	if p.OnExhausted == autobus.ToDeadLetters {
		if err := b.createDeadLetters(ctx, name); err != nil {
			return false, err
		}
	}
	next, err := control.NewRecord(control.KindSubscription, name, rec.Offset, value)
	if err != nil {
		return false, err
	}
	next.Actor, next.Reason = a.Actor, cmp.Or(a.Reason, "put subscription")
	if exists && a.Spec {
		b.cfg.Logger.Warn("a spec changes a subscription that exists; where it stands stays", "subscription", name,
			"reason", a.Reason)
	}
	at, err := b.cfg.Control.Change(ctx, next)
	if err == nil && !a.Spec {
		if !exists {
			rec = control.Record{Version: control.Version, Kind: control.KindSubscription, Name: name} // it is removed
		}
		err = b.withdraw(ctx, rec, p.Types, before, at)
	}
	return !exists && err == nil, err
}

// refuseTwin refuses a name that differs from another one only in dots and underscores: their dead letters would be two
// topics that Kafka's metrics cannot tell apart.
func (b *Bus) refuseTwin(name string) error {
	dotted := strings.ReplaceAll(name, "_", ".")
	for _, rec := range b.cfg.Control.All(control.KindSubscription) {
		if rec.Name != name && strings.ReplaceAll(rec.Name, "_", ".") == dotted {
			return autobus.NewError(autobus.ReasonSubscriptionInvalid,
				"%s differs from the subscription %s only in dots and underscores", name, rec.Name).
				WithHint("Use %s, or choose a name that differs in more.", rec.Name)
		}
	}
	return nil
}

// resolveStart turns a start into offsets of the partitions there are. What the subscription reads already keeps its
// place, also a topic that appeared after it was made and is read from its beginning; what appears later will be.
func (b *Bus) resolveStart(ctx context.Context, v *control.Subscription, p autobus.Policy, before []string) error {
	if err := b.newerRoute(p.Types); err != nil {
		return err // where it begins there cannot be said
	}
	topicOf := map[string]string{} // by type
	var topics []string            // not resolved yet
	for topic, name := range b.topicsOf(p.Types) {
		topicOf[name] = topic
		_, known := v.Positions[topic]
		read := slices.ContainsFunc(before, func(t string) bool { return autobus.MatchType(t, name) })
		if !known && !read {
			topics = append(topics, topic)
		}
	}
	for t := range p.Start.Cursors {
		if topicOf[t] == "" {
			return autobus.NewError(autobus.ReasonSubscriptionInvalid, "start names %q, which is none of its types",
				clipName(t))
		}
	}
	if len(topics) == 0 {
		return nil
	}
	at, err := b.startOf(ctx, p.Start, topics)
	if err != nil {
		return err
	}
	described, err := b.cfg.Log.Topics(ctx, topics...)
	if err != nil {
		return err
	}
	if v.TopicIDs == nil {
		v.TopicIDs = map[string]string{}
	}
	for name, t := range described {
		v.TopicIDs[name] = hexID(t.ID)
	}
	for tp, offset := range at {
		if v.Positions[tp.Topic] == nil {
			v.Positions[tp.Topic] = map[int32]int64{}
		}
		v.Positions[tp.Topic][tp.Partition] = offset
	}
	for t, cursors := range p.Start.Cursors {
		if !slices.Contains(topics, topicOf[t]) {
			continue
		}
		for partition, offset := range cursors {
			end, ok := at[kafka.TP{Topic: topicOf[t], Partition: partition}]
			if !ok || offset > end {
				return autobus.NewError(autobus.ReasonSubscriptionInvalid,
					"start names offset %d of partition %d of %s, which is not there", offset, partition, t)
			}
			v.Positions[topicOf[t]][partition] = offset
		}
	}
	return nil
}

// startOf asks the brokers where a start is now.
func (b *Bus) startOf(ctx context.Context, s autobus.Start, topics []string) (map[kafka.TP]int64, error) {
	switch {
	case !s.Time.IsZero():
		return b.cfg.Log.At(ctx, s.Time, topics...)
	case s.Earliest:
		return b.cfg.Log.Starts(ctx, topics...)
	}
	return b.cfg.Log.Ends(ctx, topics...)
}

// DeleteSubscription ends a subscription for good: its workers are told, and what it had read is forgotten. Its dead
// letters stay.
func (b *Bus) DeleteSubscription(ctx context.Context, name string, a Audit) error {
	who, err := mayManage(ctx, name)
	if err != nil {
		return err
	}
	if b.declared(name) {
		return autobus.NewError(autobus.ReasonManagedBySpec, "subscription %s is declared by a spec", name)
	}
	for range changeAttempts {
		if err := b.cfg.Control.Barrier(ctx); err != nil {
			return err
		}
		rec, exists := b.cfg.Control.Get(control.KindSubscription, name)
		if !exists {
			return b.unknownSubscription(who, name)
		}
		_, err := b.cfg.Control.Change(ctx, control.Record{Version: control.Version, Kind: control.KindSubscription,
			Name: name, Prev: rec.Offset, Actor: a.Actor, Reason: cmp.Or(a.Reason, "delete subscription")})
		if errors.Is(err, &autobus.Error{Reason: autobus.ReasonControlConflict}) {
			continue
		}
		if err == nil {
			b.forget(ctx, name)
		}
		return err
	}
	return autobus.NewError(autobus.ReasonControlConflict, "subscription %s is being changed by others", name)
}

// forget clears what is left of a deleted subscription. It is for tidiness: under another seek epoch none of it counts.
func (b *Bus) forget(ctx context.Context, name string) {
	ctx, cancel := context.WithTimeout(ctx, saveTimeout)
	defer cancel()
	if _, again := b.cfg.Control.Get(control.KindSubscription, name); again {
		return // it was made anew meanwhile
	}
	err := errors.Join(b.cfg.Log.DeleteGroup(ctx, name), b.cfg.State.RemovePositions(ctx, name),
		b.cfg.Log.DeleteTopics(ctx, park(name)))
	if err != nil { // its workers may not have left yet
		b.cfg.Logger.Info("positions of a deleted subscription stay stored", "subscription", name, "error", err)
	}
}

func (b *Bus) unknownSubscription(who autobus.Principal, name string) *autobus.Error {
	err := autobus.NewError(autobus.ReasonSubscriptionUnknown, "there is no subscription %q", clipName(name))
	if near := b.groups.near(who, name); len(near) > 0 {
		return err.WithHint("Did you mean %s?", strings.Join(near, " or "))
	}
	return err
}

// samePolicy compares what was stored with what is asked for, both with defaults.
func samePolicy(a, b autobus.Policy) bool {
	return sameJSON(a, b)
}

func sameStart(a, b autobus.Start) bool {
	return a.Earliest == b.Earliest && a.Time.Equal(b.Time) &&
		maps.EqualFunc(a.Cursors, b.Cursors, maps.Equal[map[int32]int64, map[int32]int64])
}

func sameJSON(a, b any) bool {
	x, errX := json.Marshal(a)
	y, errY := json.Marshal(b)
	return errX == nil && errY == nil && string(x) == string(y)
}

// SPDX-License-Identifier: Apache-2.0

package bus

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"time"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/control"
)

// SubscriptionInfo is a subscription as it is in force. Public: GET /v1/subscriptions/{name} answers with it.
type SubscriptionInfo struct {
	Name string `json:"name"`
	autobus.Policy
	State     string         `json:"state"`                // active, paused or stopped; breaker when one is open here
	Paused    *PausedInfo    `json:"paused,omitempty"`     // why nothing is handed out
	ManagedBy string         `json:"managed_by,omitempty"` // the file that declares it
	Created   time.Time      `json:"created"`
	Replays   []ReplayInfo   `json:"replays,omitempty"`  // until the next one is asked for, also those that are done
	Push      *PushInfo      `json:"push,omitempty"`     // how pushing goes at this instance
	Instance  *InstanceGroup `json:"instance,omitempty"` // what this instance has of it; absent when nothing
}

// InstanceGroup is what one instance has of a subscription.
type InstanceGroup struct {
	Sessions   int                 `json:"sessions"`
	Leased     int                 `json:"leased"` // handed out and not settled
	Ready      int                 `json:"ready"`  // waits for a worker with room
	Waiting    int                 `json:"waiting"`
	Parked     int                 `json:"parked"` // those of the waiting that are kept in park.<name>
	Partitions []InstancePartition `json:"partitions"`
	Breaker    *OpenBreaker        `json:"breaker,omitempty"` // absent when it is closed
}

// PausedInfo is who paused a subscription and why.
type PausedInfo struct {
	Since  time.Time `json:"since"`
	By     string    `json:"by"`
	Reason string    `json:"reason,omitempty"`
	Event  *EventAt  `json:"event,omitempty"` // without attempts left, which stopped it; absent = an operator did
}

// EventAt is where an event stands.
type EventAt struct {
	Type      string `json:"type"`
	Partition int32  `json:"partition"`
	Offset    int64  `json:"offset"`
}

// OpenBreaker is why a subscription only probes.
type OpenBreaker struct {
	Since  time.Time `json:"since"`
	Probe  time.Time `json:"probe"`  // not before that is the next one
	Reason string    `json:"reason"` // of the latest failure
}

// InstancePartition is a partition that the instance holds.
type InstancePartition struct {
	Type      string `json:"type"`
	Partition int32  `json:"partition"`
	Position  int64  `json:"position"` // everything before it is done
	Undone    int    `json:"undone"`   // read and not done
	Parked    int    `json:"parked"`   // kept in park.<name>
	Lost      bool   `json:"lost,omitempty"`
	// Unreadable says that the partition stands because of what a newer version wrote.
	Unreadable bool `json:"unreadable,omitempty"`
}

// Lag is how far a subscription is behind, by its committed positions, which are at most some seconds old.
type Lag struct {
	Name       string         `json:"name"`
	Behind     int64          `json:"behind"` // events after the positions
	Undone     int64          `json:"undone"` // events that are not done, the parked ones among them
	Parked     int64          `json:"parked"` // those of them before the positions, kept in park.<name>
	Partitions []PartitionLag `json:"partitions"`
}

// PartitionLag is the lag of one partition.
type PartitionLag struct {
	Type      string `json:"type"`
	Partition int32  `json:"partition"`
	First     int64  `json:"first"` // of the log
	Position  int64  `json:"position"`
	End       int64  `json:"end"`
	Behind    int64  `json:"behind"`
	Undone    int64  `json:"undone"`
	Parked    int64  `json:"parked"`
	Lost      bool   `json:"lost,omitempty"` // retention overtook it
}

// Describe tells of one subscription; ReasonSubscriptionUnknown after a read barrier.
func (b *Bus) Describe(ctx context.Context, name string) (SubscriptionInfo, error) {
	who, known := autobus.PrincipalOf(ctx)
	if !known {
		return SubscriptionInfo{}, autobus.NewError(autobus.ReasonUnauthenticated, "nobody is known to ask")
	}
	rec, err := b.subscription(ctx, who, name)
	if err != nil {
		return SubscriptionInfo{}, err
	}
	return b.info(rec)
}

// subscription finds the record of a subscription that the principal may know of.
func (b *Bus) subscription(ctx context.Context, who autobus.Principal, name string) (control.Record, error) {
	if !maySee(who, name) {
		return control.Record{}, autobus.NewError(autobus.ReasonForbidden, "%s has no grant for %q", who.Name, clipName(name))
	}
	return b.known(ctx, who, name)
}

// known finds the record of a subscription, if need be after a read barrier.
func (b *Bus) known(ctx context.Context, who autobus.Principal, name string) (control.Record, error) {
	rec, ok := b.cfg.Control.Get(control.KindSubscription, name)
	if ok {
		return rec, nil
	}
	if err := b.refresh.after(ctx); err != nil {
		return rec, autobus.NewError(autobus.ReasonClusterUnreachable,
			"subscription %s is not known here, and whether it is elsewhere could not be found out in time", clipName(name)).
			WithCause(err)
	}
	if rec, ok = b.cfg.Control.Get(control.KindSubscription, name); !ok {
		return rec, b.unknownSubscription(who, name)
	}
	return rec, nil
}

// Subscriptions lists those that the principal may know of, by name.
func (b *Bus) Subscriptions(ctx context.Context) ([]SubscriptionInfo, error) {
	who, known := autobus.PrincipalOf(ctx)
	if !known {
		return nil, autobus.NewError(autobus.ReasonUnauthenticated, "nobody is known to ask")
	}
	out := []SubscriptionInfo{}
	for _, rec := range b.cfg.Control.All(control.KindSubscription) {
		if !maySee(who, rec.Name) {
			continue
		}
		i, err := b.info(rec)
		if err != nil {
			i = SubscriptionInfo{Name: rec.Name, State: "unreadable"} // a newer build wrote it; the others are still told
		}
		out = append(out, i)
	}
	return out, nil
}

func (b *Bus) info(rec control.Record) (SubscriptionInfo, error) {
	v, err := control.Decode[control.Subscription](rec)
	if err != nil {
		return SubscriptionInfo{}, err
	}
	return b.tell(rec.Name, &v), nil
}

func (b *Bus) tell(name string, v *control.Subscription) SubscriptionInfo {
	i := SubscriptionInfo{Name: name, Policy: v.Policy, State: "active", Created: v.Created}
	if s, ok := b.cfg.Snapshot().Subscription(name); ok {
		i.ManagedBy = s.File
	}
	for _, g := range b.groups.all() {
		if g.name == name {
			i.Instance = g.status()
			if i.Instance.Breaker != nil {
				i.State = "breaker"
			}
		}
	}
	if p, ok := b.cfg.Pushes(name); ok {
		i.Push = &p
	}
	for r := range v.Replays {
		i.Replays = append(i.Replays, b.replayInfo(name, v, &v.Replays[r]))
	}
	if p := v.Paused; p != nil {
		i.State = "paused"
		i.Paused = &PausedInfo{Since: p.Since, By: p.By, Reason: p.Why}
		if at := p.Stopped; at != nil {
			i.State = "stopped"
			i.Paused.Event = &EventAt{Type: b.topicsOf(v.Policy.Types)[at.Topic], Partition: at.Partition, Offset: at.Offset}
		}
	}
	return i
}

func (g *group) status() *InstanceGroup {
	g.mu.Lock()
	defer g.mu.Unlock()
	i := &InstanceGroup{Sessions: len(g.sessions), Ready: len(g.ready.slots) + len(g.alone.slots),
		Partitions: []InstancePartition{}}
	if b := &g.breaker; b.open {
		i.Breaker = &OpenBreaker{Since: b.since.UTC(), Probe: b.next.UTC(), Reason: clipFailure(b.reason)}
	}
	for p := range g.everyPart() {
		i.Leased += p.leased
		i.Waiting += len(p.slots)
		i.Parked += p.kept
		if p.replay != nil {
			continue
		}
		i.Partitions = append(i.Partitions, InstancePartition{Type: p.typ, Partition: p.tp.Partition,
			Position: p.ledger.Base(), Undone: p.ledger.Undone(), Parked: p.kept, Lost: p.lost != nil,
			Unreadable: p.newer != nil})
	}
	i.Waiting -= i.Leased + i.Ready
	slices.SortFunc(i.Partitions, func(a, b InstancePartition) int {
		return cmp.Or(cmp.Compare(a.Type, b.Type), cmp.Compare(a.Partition, b.Partition))
	})
	return i
}

// Lag asks the brokers how far a subscription is behind.
func (b *Bus) Lag(ctx context.Context, name string) (Lag, error) {
	who, known := autobus.PrincipalOf(ctx)
	if !known {
		return Lag{}, autobus.NewError(autobus.ReasonUnauthenticated, "nobody is known to ask")
	}
	rec, err := b.subscription(ctx, who, name)
	if err != nil {
		return Lag{}, err
	}
	v, err := control.Decode[control.Subscription](rec)
	if err != nil {
		return Lag{}, err
	}
	out := Lag{Name: name, Partitions: []PartitionLag{}}
	types := b.topicsOf(v.Policy.Types)
	if len(types) == 0 {
		return out, nil
	}
	commits, err := b.cfg.Log.Committed(ctx, name)
	if err != nil {
		return Lag{}, err
	}
	if err := b.cfg.State.Barrier(ctx); err != nil {
		return Lag{}, err
	}
	log, err := b.cfg.Log.Bounds(ctx, slices.Collect(maps.Keys(types))...)
	if err != nil {
		return Lag{}, err
	}
	parked, err := b.countParked(ctx, name, v) // after the commits: what they say is done has its copy by now
	if err != nil {
		return Lag{}, err
	}
	for tp, have := range log {
		commit, ok := commits[tp]
		if !ok {
			commit.Offset = -1
		}
		at := b.stored(name, v, tp, commit, have)
		l := PartitionLag{Type: types[tp.Topic], Partition: tp.Partition, First: have.First, Position: at.Base, End: have.End,
			Behind: max(0, have.End-at.Base), Lost: at.lost(have)}
		l.Parked = parked[tp]
		l.Undone = max(0, l.Behind-int64(at.DoneAbove())) + l.Parked
		out.Behind += l.Behind
		out.Parked += l.Parked
		out.Undone += l.Undone
		out.Partitions = append(out.Partitions, l)
	}
	slices.SortFunc(out.Partitions, func(a, b PartitionLag) int {
		return cmp.Or(cmp.Compare(a.Type, b.Type), cmp.Compare(a.Partition, b.Partition))
	})
	return out, nil
}

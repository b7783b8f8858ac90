// SPDX-License-Identifier: Apache-2.0

package bus

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/control"
	"github.com/autobus-io/autobus/spec"
)

// Kinds of types, see spec.Type.
const (
	kindEvent   = "event"
	kindCommand = "command"
)

// request judges what an event has beyond others when it asks for something: its deadline, its reply address, and
// whether there is anybody to answer.
func (p *publish) request(ctx context.Context, t *spec.Type, e *autobus.Event, i int) *autobus.Error {
	asks := t != nil && t.Kind != kindEvent
	to, wantsReply := e.Ext(autobus.ExtReplyTo)
	switch {
	case !wantsReply && !p.who.May(autobus.VerbPublish, e.Type) && !asks: // a grant to request is no grant to tell
		return autobus.NewError(autobus.ReasonForbidden, "%s has no grant to publish %q", p.who.Name, e.Type)
	case wantsReply && !p.who.May(autobus.VerbRequest, e.Type):
		return autobus.NewError(autobus.ReasonForbidden, "%s has no grant to request %q", p.who.Name, e.Type)
	case asks || wantsReply:
		if err := spec.CheckDeadline(e, p.now); err != nil {
			return err
		}
	}
	if !wantsReply {
		return nil
	}
	sign, err := p.bus.replies.sign(ctx, false)
	if err != nil {
		return autobus.AsError(err)
	}
	if _, err := sign.own(autobus.Address(to), p.who.Name); err != nil {
		return err
	}
	responders := p.bus.responders.of(e.Type)
	if len(responders) == 0 {
		if err := p.barrier(ctx); err != nil {
			return autobus.NewError(autobus.ReasonClusterUnreachable,
				"nobody is known here to serve %s, and whether somebody is could not be found out in time", e.Type).WithCause(err)
		}
		if responders = p.bus.responders.of(e.Type); len(responders) == 0 {
			return autobus.NewError(autobus.ReasonNoResponder, "no subscription serves %s", e.Type)
		}
	}
	if p.responders == nil {
		p.responders = map[int][]string{}
	}
	p.responders[i] = responders
	return nil
}

// responders knows which subscriptions serve a type: those whose policy names it in full. Who subscribes by a pattern
// looks on.
type responders struct {
	mu     sync.RWMutex
	types  map[string]map[string]int64 // subscription -> type -> offset of the record by which it came to serve it
	byType map[string][]string         // type -> subscriptions, sorted; a slice is never changed
}

func newResponders(log *control.Log) *responders {
	rs := &responders{types: map[string]map[string]int64{}, byType: map[string][]string{}}
	log.Watch(control.KindSubscription, rs.apply)
	return rs
}

func (rs *responders) apply(rec control.Record) {
	var types []string
	if !rec.Removed() {
		if v, err := control.Decode[control.Subscription](rec); err == nil { // else it works for nobody here
			types = slices.DeleteFunc(slices.Clone(v.Policy.Types), autobus.IsPattern)
		}
	}
	rs.mu.Lock()
	defer rs.mu.Unlock()
	before, now := rs.types[rec.Name], map[string]int64{}
	for t := range before {
		rs.byType[t] = slices.DeleteFunc(slices.Clone(rs.byType[t]), func(name string) bool { return name == rec.Name })
		if len(rs.byType[t]) == 0 {
			delete(rs.byType, t)
		}
	}
	rs.types[rec.Name] = now
	if types == nil {
		delete(rs.types, rec.Name)
	}
	for _, t := range types {
		now[t] = rec.Offset
		if at, had := before[t]; had {
			now[t] = at
		}
		names := append(slices.Clone(rs.byType[t]), rec.Name)
		slices.Sort(names)
		rs.byType[t] = slices.Compact(names)
	}
}

// of lists who serves a type. The caller must not change it.
func (rs *responders) of(typ string) []string {
	rs.mu.RLock()
	defer rs.mu.RUnlock()
	return rs.byType[typ]
}

// others lists who came to serve a type before an offset of the control log, beside one.
func (rs *responders) others(typ, name string, until int64) (names []string) {
	rs.mu.RLock()
	defer rs.mu.RUnlock()
	for _, n := range rs.byType[typ] {
		if n != name && rs.types[n][typ] < until {
			names = append(names, n)
		}
	}
	return names
}

// refuseSecondHandler refuses a subscription for a command that another one handles: both would do it. Those count that
// came to handle it before an offset of the control log. What the specs declare is the linter's to judge, which knows
// the instances of one service from two services.
func (b *Bus) refuseSecondHandler(name string, types, before []string, until int64) error {
	for _, typ := range types {
		t, ok := b.cfg.Snapshot().Type(typ)
		if !ok || t.Kind != kindCommand || slices.Contains(before, typ) {
			continue
		}
		if others := b.responders.others(typ, name, until); len(others) > 0 {
			return autobus.NewError(autobus.ReasonCommandTaken, "the command %s is handled by %s", typ,
				strings.Join(others, ", "))
		}
	}
	return nil
}

// withdraw takes back the record at an offset, of a subscription that was made or changed, if another one came to
// handle a command of it first: two may be made at the same moment, and only the log tells which is the second. was is
// what it took the place of.
func (b *Bus) withdraw(ctx context.Context, was control.Record, types, before []string, at int64) error {
	taken := b.refuseSecondHandler(was.Name, types, before, at)
	if taken == nil {
		return nil
	}
	was.Prev, was.Actor, was.Reason, was.Time = at, "autobus:"+b.cfg.Instance, taken.Error(), time.Time{}
	for range changeAttempts {
		_, err := b.cfg.Control.Change(ctx, was)
		if !errors.Is(err, &autobus.Error{Reason: autobus.ReasonControlConflict}) {
			return cmp.Or(err, taken)
		}
		rec, exists := b.cfg.Control.Get(was.Kind, was.Name) // it has been operated on since
		if !exists {
			break
		}
		was.Prev = rec.Offset
	}
	return taken
}

// SPDX-License-Identifier: Apache-2.0

package spec

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/autobus-io/autobus"
)

// Snapshot is the set of all types and subscriptions of a spec repository. It is immutable.
type Snapshot struct {
	byName map[string]*Type
	sorted []*Type
	names  []string // in the same order
	subs   map[string]*Subscription
}

// Empty is the snapshot without any type.
func Empty() *Snapshot { return newSnapshot(nil, nil) }

func newSnapshot(types map[string]declared, subs map[string]subscribed) *Snapshot {
	s := &Snapshot{byName: make(map[string]*Type, len(types)), subs: make(map[string]*Subscription, len(subs))}
	s.names = slices.Sorted(maps.Keys(types))
	for _, name := range s.names {
		s.byName[name] = types[name].Type
		s.sorted = append(s.sorted, types[name].Type)
	}
	for name, sub := range subs {
		s.subs[name] = sub.Subscription
	}
	return s
}

// Type returns a type by its name.
func (s *Snapshot) Type(name string) (*Type, bool) {
	t, ok := s.byName[name]
	return t, ok
}

// Newest returns the type of the highest major version that has a name without it: orders.order.placed.
func (s *Snapshot) Newest(name string) (t *Type, ok bool) {
	best := -1
	for _, o := range s.sorted {
		base, version, _ := cutVersion(o.Name)
		if n, err := strconv.Atoi(version); base == name && err == nil && n > best {
			t, best = o, n
		}
	}
	return t, t != nil
}

// cutVersion takes a type's name apart before its major version.
func cutVersion(name string) (base, major string, ok bool) {
	i := strings.LastIndex(name, ".v")
	if i < 0 {
		return name, "", false
	}
	return name[:i], name[i+2:], true
}

// Types returns all types by name.
func (s *Snapshot) Types() []*Type { return slices.Clone(s.sorted) }

// Only is a snapshot with those types of s that keep wants, and all its subscriptions.
func (s *Snapshot) Only(keep func(*Type) bool) *Snapshot {
	out := &Snapshot{byName: map[string]*Type{}, subs: s.subs}
	for _, t := range s.sorted {
		if keep(t) {
			out.byName[t.Name] = t
			out.sorted = append(out.sorted, t)
			out.names = append(out.names, t.Name)
		}
	}
	return out
}

// Len is the number of types.
func (s *Snapshot) Len() int { return len(s.sorted) }

// Subscription returns a subscription by its name.
func (s *Snapshot) Subscription(name string) (*Subscription, bool) {
	sub, ok := s.subs[name]
	return sub, ok
}

// Subscriptions returns all subscriptions by name.
func (s *Snapshot) Subscriptions() []*Subscription {
	return slices.SortedFunc(maps.Values(s.subs), func(a, b *Subscription) int { return strings.Compare(a.Name, b.Name) })
}

// Near returns up to limit names of types that somebody who wrote name may have meant, the nearest first.
func (s *Snapshot) Near(name string, limit int) []string { return autobus.Near(name, s.names, limit) }

// SPDX-License-Identifier: Apache-2.0

package spec

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
)

// CompatOptions say how specs are judged.
type CompatOptions struct {
	Level  CompatLevel  // for all types; "" = what each type said of itself before the change (x-compatibility)
	Policy CompatPolicy // "" = lenient, because writers are closed

	// Gone reports whether no event of an earlier version is left, so that nobody has to read such data any more; nil =
	// of each some may be left. Its readers may still be there, and what names and versions meant they mean for good.
	Gone func(*Type) bool
}

// CheckSpecs judges a spec repository against those before it, the oldest first: the schemas of every type by its
// level, and what else must hold between two versions of a type. Levels that are not transitive look at the last
// repository that has the type. Of those before it only what breaks is told: what changed is what changed since the
// last one.
func CheckSpecs(history []*Snapshot, newer *Snapshot, o CompatOptions) Verdict {
	v := Verdict{Compatible: true, Changes: []Finding{}}
	names := slices.Clone(newer.names)
	for _, s := range history {
		names = append(names, s.names...)
	}
	slices.Sort(names)
	for _, name := range slices.Compact(names) {
		c := typeCheck{options: o, name: name, next: newer.byName[name], v: &v}
		for _, s := range history {
			if t := s.byName[name]; t != nil {
				c.last = s
				c.remember(t)
			}
		}
		c.newer = newer
		if c.next == nil && c.last != history[len(history)-1] {
			continue // it was gone before
		}
		c.check()
	}
	return v
}

// typeCheck is the check of one type.
type typeCheck struct {
	options     CompatOptions
	name        string
	history     []*Type
	next        *Type     // nil = it is gone
	last, newer *Snapshot // last: the last one that has the type
	v           *Verdict
}

// remember adds a version to the history; one that says of the data what the one before it said takes its place.
func (c *typeCheck) remember(t *Type) {
	if i := len(c.history) - 1; i >= 0 && SameData(c.history[i], t) {
		c.history[i] = t
		return
	}
	c.history = append(c.history, t)
}

// SameData reports whether two specs of a type are one version of it, with one schema and one key.
func SameData(a, b *Type) bool {
	return a.Version == b.Version && a.KeyPointer == b.KeyPointer && bytes.Equal(a.Schema, b.Schema)
}

func (c *typeCheck) check() {
	if len(c.history) == 0 {
		c.rule("TYPE_ADDED", "", nil, c.next.Version)
		return
	}
	last := c.history[len(c.history)-1]
	if c.next == nil {
		f := c.finding("TYPE_REMOVED", "", last.Version, nil)
		f.Compatible = last.Lifecycle == "draft" || last.Lifecycle == "retired"
		c.v.add(f)
		return
	}
	before := len(c.v.Changes)
	level, policy := cmp.Or(c.options.Level, last.Compatibility), cmp.Or(c.options.Policy, PolicyLenient)
	c.schemas(last, level, policy)
	for _, t := range slices.Backward(c.history[:len(c.history)-1]) {
		gone := c.options.Gone != nil && c.options.Gone(t)
		switch {
		case !level.transitive() || gone && !level.forward():
		case gone:
			c.schemas(t, LevelForward, policy)
		default:
			c.schemas(t, level, policy)
		}
	}
	c.redefined()
	c.topic(last)
	broken := slices.ContainsFunc(c.v.Changes[before:], func(f Finding) bool { return !f.Compatible })
	c.version(last, broken)
}

// schemas compares the data of two versions.
func (c *typeCheck) schemas(older *Type, level CompatLevel, policy CompatPolicy) {
	o, n, err := readBoth(older.Schema, c.next.Schema)
	if err != nil {
		return // a Type's schema has been compiled
	}
	for _, f := range judge(o, n, level, policy) {
		same := func(g Finding) bool {
			return g.Type == c.name && g.Kind == f.Kind && g.Pointer == f.Pointer && g.Direction == f.Direction
		}
		older := older != c.history[len(c.history)-1]
		if older && f.Compatible || slices.ContainsFunc(c.v.Changes, same) { // a newer version says it too
			continue
		}
		f.Type = c.name
		f.Hit = append(slices.Clone(f.Hit), c.hit()...)
		c.v.add(f)
	}
}

// hit names the owner of the type and who receives it.
func (c *typeCheck) hit() []string {
	owner := c.history[len(c.history)-1].Owner
	if c.next != nil {
		owner = cmp.Or(c.next.Owner, owner)
	}
	var out []string
	if owner != "" {
		out = append(out, "owner "+owner)
	}
	for _, s := range c.receivers() {
		out = append(out, fmt.Sprintf("subscription %s of %s", s.Name, s.Service))
	}
	return out
}

// receivers are the subscriptions that receive the type, before or after.
func (c *typeCheck) receivers() []*Subscription {
	var out []*Subscription
	seen := map[string]bool{}
	for _, s := range append(c.last.Subscriptions(), c.newer.Subscriptions()...) {
		if slices.Contains(s.Policy.Types, c.name) && !seen[s.Name] {
			seen[s.Name] = true
			out = append(out, s)
		}
	}
	slices.SortFunc(out, func(a, b *Subscription) int { return cmp.Compare(a.Name, b.Name) })
	return out
}

// rule adds the verdict of a rule that is no comparison of schemas.
func (c *typeCheck) rule(kind ChangeKind, where string, older, newer any) {
	c.v.add(c.finding(kind, where, older, newer))
}

func (c *typeCheck) finding(kind ChangeKind, where string, older, newer any) Finding {
	f := Finding{Type: c.name, Change: Change{Kind: kind, Pointer: where, Old: older, New: newer},
		Direction: DirectionRule, Compatible: kind.Compatible(PolicyLenient), Message: kind.Title()}
	if len(c.history) > 0 {
		f.Hit = c.hit()
	}
	return f
}

// SPDX-License-Identifier: Apache-2.0

package spec

import (
	"maps"
	"slices"
	"strconv"
	"strings"
)

// compatibility reads x-compatibility.
func (d *reader) compatibility(info place) CompatLevel {
	defer d.judging("S21")()
	var words []string
	for _, l := range CompatLevels() {
		words = append(words, string(l))
	}
	return CompatLevel(d.word(string(LevelFullTransitive), "x-compatibility", []place{info}, words...))
}

// topic holds what a topic is to its readers.
func (c *typeCheck) topic(last *Type) {
	next := c.next
	if last.KeyPointer != next.KeyPointer {
		c.rule("KEY_CHANGED", "x-from", said(last.KeyPointer), said(next.KeyPointer))
	}
	ordered := last.KeyPointer != "" && !last.Unordered
	if ordered && last.Partitions != 0 && next.Partitions != 0 && last.Partitions != next.Partitions {
		c.rule("PARTITIONS_CHANGED", "partitions", last.Partitions, next.Partitions)
	}
	if ordered && last.Partitioner != next.Partitioner {
		c.rule("PARTITIONER_CHANGED", "x-partitioner", last.Partitioner, next.Partitioner)
	}
	if a, b := cleanup(last), cleanup(next); a != b {
		c.rule("CLEANUP_POLICY_CHANGED", "cleanup.policy", a, b)
	}
	if len(c.receivers()) == 0 {
		return
	}
	for _, word := range []string{"retention.ms", "retention.bytes"} {
		a, told := retention(last.Configs[word])
		b, tells := retention(next.Configs[word])
		if told && tells && b < a {
			c.rule("RETENTION_REDUCED", word, last.Configs[word], next.Configs[word])
		}
	}
	if next.MaxEventBytes < last.MaxEventBytes {
		c.rule("MAX_EVENT_BYTES_REDUCED", "max.message.bytes", last.MaxEventBytes, next.MaxEventBytes)
	}
}

// said is a word for a report, nil for none.
func said(word string) any {
	if word == "" {
		return nil
	}
	return word
}

// cleanup is a topic's cleanup policy; Kafka's own is to delete.
func cleanup(t *Type) string {
	words := strings.FieldsFunc(t.Configs["cleanup.policy"], func(r rune) bool { return r == ',' || r == ' ' })
	if len(words) == 0 {
		return "delete"
	}
	slices.Sort(words)
	return strings.Join(words, ",")
}

// retention reads a limit of which -1 means none. Where the spec is silent the cluster decides, which is not known.
func retention(text string) (limit uint64, told bool) {
	n, err := strconv.ParseInt(text, 10, 64)
	return uint64(n), err == nil // -1 becomes the largest there is
}

// redefined finds properties that an earlier version had, the one before the new one had not, and the new one has with
// another type: readers of old events would take one for the other.
func (c *typeCheck) redefined() {
	last := propertyTypes(c.history[len(c.history)-1])
	next := propertyTypes(c.next)
	reported := map[string]bool{}
	for _, t := range c.history[:len(c.history)-1] {
		was := propertyTypes(t)
		for _, at := range slices.Sorted(maps.Keys(was)) {
			_, there := last[at]
			is, returned := next[at]
			if there || !returned || is == was[at] || reported[at] {
				continue
			}
			reported[at] = true
			c.rule("PROPERTY_REDEFINED", place0(at), was[at], is)
		}
	}
}

// propertyTypes gives the types of all properties by their pointers; of circles the first round.
func propertyTypes(t *Type) map[string]string {
	out := map[string]string{}
	s, err := readShape(t.Schema)
	if err != nil {
		return out
	}
	open := map[*shape]bool{}
	var walk func(at string, s *shape)
	walk = func(at string, s *shape) {
		if s == nil || open[s] {
			return
		}
		open[s] = true
		defer delete(open, s)
		for name, p := range s.properties {
			out[at+member("properties", name)] = p.typeWords()
			walk(at+member("properties", name), p)
		}
		for _, sub := range s.subs {
			walk(at, sub)
		}
		for _, item := range append(slices.Clone(s.prefix), s.items) {
			walk(at+"/items", item)
		}
	}
	walk("", s)
	return out
}

// typeWords is what a schema says of types, in one word.
func (s *shape) typeWords() string {
	if t := s.words["type"]; t != nil {
		return strings.Trim(canonical(t), `"`)
	}
	return string(s.form)
}

const (
	changedNothing = iota
	changedDocs
	changedData
)

// version holds the version to what changed. A breaking change is told as such and needs a new type, not a version.
func (c *typeCheck) version(last *Type, broken bool) {
	was, is := semverOf(last.Version), semverOf(c.next.Version)
	changed := changedSince(last, c.next)
	switch order := slices.Compare(was[:], is[:]); {
	case c.stoodFor():
		c.rule("VERSION_REUSED", "info.version", c.next.Version, c.next.Version)
	case order > 0 && c.restored():
		c.rule("VERSION_RESTORED", "info.version", last.Version, c.next.Version)
	case order > 0:
		c.rule("VERSION_DECREASED", "info.version", last.Version, c.next.Version)
	case order == 0 && changed > changedNothing && !broken:
		c.rule("VERSION_NOT_RAISED", "info.version", last.Version, c.next.Version)
	case was[1] == is[1] && changed == changedData && !broken:
		c.rule("VERSION_RAISED_TOO_LITTLE", "info.version", last.Version, c.next.Version)
	case was[1] != is[1] && changed == changedDocs:
		c.rule("VERSION_RAISED_TOO_MUCH", "info.version", last.Version, c.next.Version)
	}
}

// restored reports whether the type is again what it was in an earlier version: a step back.
func (c *typeCheck) restored() bool {
	return slices.ContainsFunc(c.history[:len(c.history)-1], func(t *Type) bool {
		return t.Version == c.next.Version && changedSince(t, c.next) == changedNothing
	})
}

// stoodFor reports whether the version was another one's before the last: events name their schema by it.
func (c *typeCheck) stoodFor() bool {
	last := c.history[len(c.history)-1]
	return c.next.Version != last.Version && !c.restored() &&
		slices.ContainsFunc(c.history[:len(c.history)-1], func(t *Type) bool {
			return t.Version == c.next.Version && changedSince(t, c.next) == changedData
		})
}

// changedSince tells changes of the data from those that only people notice.
func changedSince(last, next *Type) int {
	o, n, err := readBoth(last.Schema, next.Schema)
	if err != nil {
		return changedNothing
	}
	for _, ch := range append(compareShapes(o, n, compareMode{}), compareShapes(n, o, compareMode{})...) {
		switch ch.Kind {
		case "ID_CHANGED", "TITLE_CHANGED", "DESCRIPTION_CHANGED":
		default:
			return changedData
		}
	}
	if last.Title != next.Title || last.Description != next.Description ||
		canonical(decode(last.Schema)) != canonical(decode(next.Schema)) ||
		!slices.EqualFunc(last.Examples, next.Examples, slices.Equal) {
		return changedDocs
	}
	return changedNothing
}

// semverOf is the version in numbers; the parser has checked its form.
func semverOf(version string) (v [3]int) {
	for i, part := range strings.SplitN(version, ".", len(v)) {
		v[i], _ = strconv.Atoi(part)
	}
	return v
}

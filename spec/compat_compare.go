// SPDX-License-Identifier: Apache-2.0

package spec

import (
	"reflect"
	"slices"
)

// compareMode is how schemas are compared.
type compareMode struct {
	policy  CompatPolicy
	forward bool // the new schema stands where the old one stands else; x-extensible of the old one counts
}

// pair is two shapes that are compared.
type pair struct{ o, n *shape }

// comparer compares shapes, each pair once. What it finds are changes relative to the pair.
//
// A pair met again on the way to itself is taken to be compatible, as schemas that refer to themselves are in all
// finite data. Where that proves wrong the whole is compared again with the pair known to be bad, until nothing new is
// found out: only then is every choice between branches of unions made on true grounds.
type comparer struct {
	compareMode
	done    map[pair][]Change
	open    map[pair]bool
	assumed map[pair]bool
	bad     map[pair]bool
	left    *int // how many pairs may still be compared
}

// Bounds of one comparison. Schemas that refer to each other have more ways through them than anybody could read, and
// unions of unions more pairs than anybody could wait for.
const (
	maxChanges = 100 // of a pair
	maxPairs   = 50_000
)

// recursion marks a bad pair met again. It is told where the pair was met first, not again.
const recursion ChangeKind = ""

func compareShapes(o, n *shape, how compareMode) []Change {
	bad, left := map[pair]bool{}, maxPairs
	for {
		c := comparer{compareMode: how, done: map[pair][]Change{}, open: map[pair]bool{}, assumed: map[pair]bool{}, bad: bad,
			left: &left}
		found := c.pair(o, n)
		grown := false
		for p := range c.assumed {
			if !bad[p] && !c.compatible(c.done[p]) {
				bad[p], grown = true, true
			}
		}
		if !grown {
			return report(found)
		}
	}
}

// report makes pointers absolute and leaves out what is told elsewhere.
func report(found []Change) []Change {
	out := []Change{}
	seen := map[[2]string]bool{}
	for _, ch := range found {
		ch.Pointer = place0(ch.Pointer)
		key := [2]string{string(ch.Kind), ch.Pointer}
		if ch.Kind != recursion && !seen[key] {
			out = append(out, ch)
			seen[key] = true
		}
	}
	return out
}

func (c *comparer) compatible(found []Change) bool {
	for _, ch := range found {
		if ch.Kind == recursion || !ch.Kind.Compatible(c.policy) {
			return false
		}
	}
	return true
}

// pair compares two schemas either of which may be absent, which accepts anything.
func (c *comparer) pair(o, n *shape) []Change {
	switch {
	case isOpen(o) && isOpen(n) && (o == nil || n == nil):
		return nil
	case o == nil:
		return one("SCHEMA_ADDED", "", nil, n.written())
	case n == nil:
		return one("SCHEMA_REMOVED", "", o.written(), nil)
	}
	p := pair{o, n}
	if found, ok := c.done[p]; ok {
		return found
	}
	if c.open[p] {
		c.assumed[p] = true
		if c.bad[p] {
			return one(recursion, "", nil, nil)
		}
		return nil
	}
	if *c.left--; *c.left < 0 {
		return one("NOT_COMPARED", "", nil, nil)
	}
	c.open[p] = true
	found := c.most(c.forms(o, n))
	delete(c.open, p)
	c.done[p] = found
	return found
}

// most cuts what was found down to what can be read, what is incompatible first.
func (c *comparer) most(found []Change) []Change {
	if len(found) <= maxChanges {
		return found
	}
	breaks := func(ch Change) bool { return !c.compatible([]Change{ch}) }
	kept := slices.DeleteFunc(slices.Clone(found), func(ch Change) bool { return !breaks(ch) })
	for _, ch := range found {
		if !breaks(ch) {
			kept = append(kept, ch)
		}
	}
	return kept[:maxChanges]
}

// isOpen reports whether a schema accepts anything.
func isOpen(s *shape) bool { return s == nil || s.form == formAny }

// forms compares two schemas by what they are about.
func (c *comparer) forms(o, n *shape) []Change {
	switch {
	case o.form != formMany && n.form == formMany:
		return c.into(o, n)
	case o.form == formMany && n.form != formMany:
		return c.outOf(o, n)
	case o.form != n.form:
		return typeChanged(o, n)
	}
	found := c.notes(o, n)
	switch o.form {
	case formString:
		found = append(found, typing(o, n)...)
		found = append(found, c.strings(o, n)...)
	case formNumber:
		found = append(found, typing(o, n)...)
		found = append(found, c.numbers(o, n)...)
	case formObject:
		found = append(found, typing(o, n)...)
		found = append(found, c.objects(o, n)...)
	case formArray:
		found = append(found, typing(o, n)...)
		found = append(found, c.arrays(o, n)...)
	case formValues:
		found = append(found, c.values(o, n)...)
	case formMany:
		found = append(found, c.combined(o, n)...)
	case formNot:
		found = append(found, c.not(o, n)...)
	case formIf:
		found = append(found, c.conditional(o, n)...)
	default:
	}
	return found
}

func typeChanged(o, n *shape) []Change {
	if o.form == formNever || n.form == formAny {
		return nil
	}
	return one("TYPE_CHANGED", "", o.written(), n.written())
}

// typing compares whether values of other types pass too.
func typing(o, n *shape) []Change {
	if o.typed == n.typed {
		return nil
	}
	if o.typed {
		return one("TYPE_EXTENDED", "", o.words["type"], nil)
	}
	return one("TYPE_NARROWED", "", nil, n.words["type"])
}

// notes compares what schemas say to people only.
func (c *comparer) notes(o, n *shape) []Change {
	if !o.notes || !n.notes {
		return nil
	}
	var found []Change
	for _, note := range []struct {
		kind ChangeKind
		word string
	}{{"ID_CHANGED", "$id"}, {"ID_CHANGED", "id"}, {"TITLE_CHANGED", "title"}, {"DESCRIPTION_CHANGED", "description"},
		{"DEFAULT_CHANGED", "default"}} {
		if a, b := o.words[note.word], n.words[note.word]; !reflect.DeepEqual(a, b) {
			found = append(found, Change{Kind: note.kind, Old: a, New: b})
		}
	}
	return found
}

// written is the schema as its author wrote it.
func (s *shape) written() any {
	switch {
	case s == nil:
		return nil
	case s.words != nil:
		return s.words
	default:
		return s.form == formAny
	}
}

func one(kind ChangeKind, pointer string, older, newer any) []Change {
	return []Change{{Kind: kind, Pointer: pointer, Old: older, New: newer}}
}

// under gives changes the place at which their pair stands.
func under(pointer string, found []Change) []Change {
	if pointer == "" {
		return found
	}
	out := make([]Change, len(found))
	for i, ch := range found {
		ch.Pointer = pointer + ch.Pointer
		out[i] = ch
	}
	return out
}

// member is a keyword in a pointer, and the name below it.
func member(word, name string) string { return "/" + word + string(appendToken(nil, name)) }

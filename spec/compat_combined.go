// SPDX-License-Identifier: Apache-2.0

package spec

import (
	"fmt"
	"slices"
	"strconv"
)

// branch is one schema of a combination and its number there.
type branch struct {
	*shape
	number int
}

// branches are the schemas of a combination, each once.
func (s *shape) branches() []branch {
	if s.distinct != nil {
		return s.distinct
	}
	seen := map[string]bool{}
	same := map[*shape]bool{}
	for i, sub := range s.subs {
		said := fmt.Sprint(sub.form, sub.integer, sub.role, sub.by, canonical(sub.written()))
		if same[sub] || s.word != "" && seen[said] {
			continue
		}
		same[sub], seen[said] = true, true
		s.distinct = append(s.distinct, branch{sub, i})
	}
	return s.distinct
}

// at is where a branch stands below its combination.
func (s *shape) at(b branch) string {
	if s.word == "" || s.word == "type" {
		return ""
	}
	return member(s.word, strconv.Itoa(b.number))
}

// into compares a schema with a combination that takes its place.
func (c *comparer) into(o, n *shape) []Change {
	branches := n.branches()
	if len(branches) == 1 {
		return c.pair(o, branches[0].shape)
	}
	if n.by != "allOf" {
		for _, b := range branches {
			if found := c.pair(o, b.shape); c.compatible(found) {
				return append(slices.Clip(found), Change{Kind: "SUM_TYPE_EXTENDED", Old: o.written(), New: n.written()})
			}
		}
	}
	if i := slices.IndexFunc(branches, func(b branch) bool { return b.form == o.form }); i >= 0 && n.word == "" {
		return append(slices.Clip(c.pair(o, branches[i].shape)), Change{Kind: "PRODUCT_TYPE_EXTENDED", Old: o.written(),
			New: n.written()})
	}
	return typeChanged(o, n)
}

// outOf compares a combination with a schema that takes its place.
func (c *comparer) outOf(o, n *shape) []Change {
	if isOpen(n) {
		return nil
	}
	branches := o.branches()
	if len(branches) == 1 {
		return c.pair(branches[0].shape, n)
	}
	if o.by == "allOf" {
		for _, b := range branches {
			if found := c.pair(b.shape, n); c.compatible(found) {
				return append(slices.Clip(found), Change{Kind: "PRODUCT_TYPE_NARROWED", Old: o.written(), New: n.written()})
			}
		}
	}
	if i := slices.IndexFunc(branches, func(b branch) bool { return b.form == n.form }); i >= 0 && o.word == "" {
		return c.pair(branches[i].shape, n)
	}
	return typeChanged(o, n)
}

// combined compares two combinations.
func (c *comparer) combined(o, n *shape) []Change {
	was, is := o.branches(), n.branches()
	found := c.criteria(o, n, len(was), len(is))
	if len(found) == 0 || found[0].Kind != "COMBINED_TYPE_CHANGED" {
		found = append(found, c.sizes(o, n, len(was), len(is))...)
		found = append(found, c.match(o, n, was, is)...)
	}
	if c.compatible(found) {
		return found
	}
	// A combination of one is that one, and a schema of several forms may be a branch as a whole.
	if len(was) == 1 {
		if whole := c.pair(was[0].shape, n); c.compatible(whole) {
			return whole
		}
	}
	if n.by == "anyOf" || n.by == "oneOf" && o.word == "" || len(is) == 1 {
		for _, b := range is {
			if whole := c.pair(o, b.shape); c.compatible(whole) {
				return append(slices.Clip(whole), Change{Kind: "SUM_TYPE_EXTENDED", Old: o.written(), New: n.written()})
			}
		}
	}
	return found
}

// criteria compares how many of the schemas must hold.
func (c *comparer) criteria(o, n *shape, was, is int) []Change {
	kind := ChangeKind("COMBINED_TYPE_CHANGED")
	switch {
	case o.by == n.by:
		return nil
	case n.by == "anyOf", n.by == "oneOf" && was == 1, n.by == "allOf" && was == 1 && is == 1:
		kind = "COMBINED_TYPE_EXTENDED"
	}
	return one(kind, "", o.by, n.by)
}

func (c *comparer) sizes(o, n *shape, was, is int) []Change {
	kind := ChangeKind("")
	switch {
	case was == is:
		return nil
	case was < is && n.by == "allOf":
		kind = "PRODUCT_TYPE_EXTENDED"
	case was < is:
		kind = "SUM_TYPE_EXTENDED"
	case n.by == "allOf":
		kind = "PRODUCT_TYPE_NARROWED"
	case c.forward && n.extensible() && n.word != "type":
		kind = "EXTENSIBLE_UNION_EXTENDED" // readers of the old schema were told to expect it
	default:
		kind = "SUM_TYPE_NARROWED"
	}
	return one(kind, "", o.written(), n.written())
}

// match finds for as many branches as can be one of the other side that stands for it.
func (c *comparer) match(o, n *shape, was, is []branch) []Change {
	edge := func(row, column int) []Change {
		return o.ruledOut(c.pair(was[row].shape, is[column].shape), was[row].form)
	}
	known := map[[2]int]bool{} // most edges are never asked for, the others often
	columnOf := matching(len(was), len(is), func(row, column int) bool {
		fits, ok := known[[2]int{row, column}]
		if !ok {
			fits = c.compatible(edge(row, column))
			known[[2]int{row, column}] = fits
		}
		return fits
	})
	like := func(row int) int { // what it most likely became
		if o.word == "" && n.word == "" {
			return slices.IndexFunc(is, func(b branch) bool { return b.role == was[row].role })
		}
		return row
	}
	var found, missed []Change
	matched := 0
	for row, column := range columnOf {
		if column >= 0 {
			matched++
			found = append(found, under(o.at(was[row]), edge(row, column))...)
		} else if column = like(row); column >= 0 && column < len(is) && !slices.Contains(columnOf, column) {
			missed = append(missed, under(o.at(was[row]), edge(row, column))...)
		}
	}
	if matched == min(len(was), len(is)) {
		return found
	}
	if found = append(found, missed...); o.word == "" && n.word == "" && len(missed) > 0 {
		return found // that says it better
	}
	return append(found, Change{Kind: "COMBINED_TYPE_SUBSCHEMAS_CHANGED", Old: o.written(), New: n.written()})
}

// ruledOut leaves out of the changes of a condition that then and else refuse values of other types, where the old
// schema itself, beside the condition, refused them before.
func (s *shape) ruledOut(found []Change, form shapeForm) []Change {
	if form != formIf {
		return found
	}
	return slices.DeleteFunc(slices.Clone(found), func(ch Change) bool {
		if ch.Kind != "TYPE_NARROWED" || ch.Old != nil {
			return false
		}
		steps, beside := tokens(ch.Pointer)[1:], s
		for len(steps) > 1 && steps[0] == "properties" && beside != nil {
			beside = beside.part(formObject).properties[steps[1]]
			steps = steps[2:]
		}
		return len(steps) == 0 && beside != nil && canonical(beside.words["type"]) == canonical(ch.New)
	})
}

// part is what a schema says of values of a form; one that says nothing of them is empty.
func (s *shape) part(form shapeForm) *shape {
	if s.form == formMany && s.word == "" {
		for _, sub := range s.subs {
			if sub.form == form {
				return sub
			}
		}
	}
	if s.form == form {
		return s
	}
	return &shape{}
}

// not compares what is excluded, the other way round.
func (c *comparer) not(o, n *shape) []Change {
	back := c.pair(n.inner, o.inner)
	switch {
	case len(back) == 0:
		return nil
	case c.compatible(back):
		return one("NOT_TYPE_NARROWED", "/not", o.inner.written(), n.inner.written())
	}
	return one("NOT_TYPE_EXTENDED", "/not", o.inner.written(), n.inner.written())
}

// conditional compares schemas that hold on a condition, which must stay as it is.
func (c *comparer) conditional(o, n *shape) []Change {
	var found []Change
	for _, ch := range append(slices.Clip(c.pair(o.inner, n.inner)), c.pair(n.inner, o.inner)...) {
		switch ch.Kind {
		case "ID_CHANGED", "TITLE_CHANGED", "DESCRIPTION_CHANGED", "DEFAULT_CHANGED":
		default:
			found = one("CONDITION_CHANGED", "/if", o.inner.written(), n.inner.written())
		}
	}
	found = append(found, under("/then", c.pair(o.then, n.then))...)
	return append(found, under("/else", c.pair(o.els, n.els))...)
}

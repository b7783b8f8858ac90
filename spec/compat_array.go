// SPDX-License-Identifier: Apache-2.0

package spec

import (
	"math/big"
	"slices"
	"strconv"
)

func (c *comparer) arrays(o, n *shape) []Change {
	found := under("/items", c.pair(o.items, n.items))
	found = append(slices.Clip(found), c.tuples(o, n)...)
	found = append(found, under("/additionalItems", c.remainder("ADDITIONAL_ITEMS", o.rest, n.rest))...)
	found = append(found, under("/unevaluatedItems", c.remainder("UNEVALUATED_ITEMS", o.unevaluated, n.unevaluated))...)
	found = append(found, c.containing(o, n)...)
	found = append(found, limit("MAX_ITEMS", "maxItems", o, n)...)
	found = append(found, limit("MIN_ITEMS", "minItems", o, n)...)
	was, is := o.words["uniqueItems"] == true, n.words["uniqueItems"] == true
	switch {
	case was && !is:
		found = append(found, one("UNIQUE_ITEMS_REMOVED", "/uniqueItems", true, n.words["uniqueItems"])...)
	case is && !was:
		found = append(found, one("UNIQUE_ITEMS_ADDED", "/uniqueItems", o.words["uniqueItems"], true)...)
	}
	return found
}

// tuples compares what stands at the places that have a schema of their own.
func (c *comparer) tuples(o, n *shape) []Change {
	var found []Change
	for i := range max(len(o.prefix), len(n.prefix)) {
		var here []Change
		switch {
		case i >= len(n.prefix):
			here = c.itemRemoved(o.prefix[i], n.beyond())
		case i >= len(o.prefix):
			here = c.itemAdded(o.beyond(), n.prefix[i])
		default:
			here = c.pair(o.prefix[i], n.prefix[i])
		}
		found = append(found, under(member("items", strconv.Itoa(i)), here)...)
	}
	return found
}

// beyond is what an array accepts after the places of its tuple.
func (s *shape) beyond() *shape {
	if s.rest != nil {
		return s.rest
	}
	return s.unevaluated
}

func (c *comparer) itemRemoved(was, others *shape) []Change {
	switch {
	case isOpen(others):
		return one("ITEM_REMOVED_FROM_OPEN_CONTENT_MODEL", "", was.written(), nil)
	case others.form == formNever && was.form == formNever:
		return one("ITEM_WITH_FALSE_REMOVED_FROM_CLOSED_CONTENT_MODEL", "", was.written(), nil)
	case others.form == formNever:
		return one("ITEM_REMOVED_FROM_CLOSED_CONTENT_MODEL", "", was.written(), nil)
	}
	kind := ChangeKind("ITEM_REMOVED_NOT_COVERED_BY_PARTIALLY_OPEN_CONTENT_MODEL")
	found := c.pair(was, others)
	if c.compatible(found) {
		kind = "ITEM_REMOVED_IS_COVERED_BY_PARTIALLY_OPEN_CONTENT_MODEL"
	}
	return append(slices.Clip(found), Change{Kind: kind, Old: was.written()})
}

func (c *comparer) itemAdded(others, is *shape) []Change {
	switch {
	case isOpen(others) && isOpen(is):
		return one("ITEM_WITH_EMPTY_SCHEMA_ADDED_TO_OPEN_CONTENT_MODEL", "", nil, is.written())
	case isOpen(others):
		return one("ITEM_ADDED_TO_OPEN_CONTENT_MODEL", "", nil, is.written())
	case others.form == formNever:
		return one("ITEM_ADDED_TO_CLOSED_CONTENT_MODEL", "", nil, is.written())
	}
	kind := ChangeKind("ITEM_ADDED_NOT_COVERED_BY_PARTIALLY_OPEN_CONTENT_MODEL")
	found := c.pair(others, is)
	if c.compatible(found) {
		kind = "ITEM_ADDED_IS_COVERED_BY_PARTIALLY_OPEN_CONTENT_MODEL"
	}
	return append(slices.Clip(found), Change{Kind: kind, New: is.written()})
}

// containing compares contains and how often it must hold.
func (c *comparer) containing(o, n *shape) []Change {
	found := under("/contains", c.pair(o.contains, n.contains))
	if n.words["maxContains"] != nil && o.contains != nil && n.contains != nil && len(found) > 0 {
		// One that holds more often may hold too often.
		found = append(slices.Clip(found), one("CONTAINS_CHANGED", "/contains", o.contains.written(),
			n.contains.written())...)
	}
	found = append(slices.Clip(found), limit("MAX_CONTAINS", "maxContains", o, n)...)
	was, is := ratOf(o.words["minContains"]), ratOf(n.words["minContains"])
	switch said := big.NewRat(1, 1); { // what it is where nothing is said
	case was != nil && was.Sign() == 0 && is == nil && n.contains != nil:
		is = said
	case is != nil && is.Sign() == 0 && was == nil && o.contains != nil:
		was = said
	}
	return append(found, limitOf("MIN_CONTAINS", "minContains", was, is, o, n)...)
}

// SPDX-License-Identifier: Apache-2.0

package spec

import (
	"encoding/json"
	"math/big"
	"slices"
	"strconv"
	"strings"
)

// limit compares a keyword that bounds a value.
func limit(prefix ChangeKind, word string, o, n *shape) []Change {
	return limitOf(prefix, word, ratOf(o.words[word]), ratOf(n.words[word]), o, n)
}

func limitOf(prefix ChangeKind, word string, a, b *big.Rat, o, n *shape) []Change {
	kind := prefix
	switch {
	case a == nil && b == nil:
		return nil
	case a == nil:
		kind += "_ADDED"
	case b == nil:
		kind += "_REMOVED"
	case a.Cmp(b) < 0:
		kind += "_INCREASED"
	case a.Cmp(b) > 0:
		kind += "_DECREASED"
	default:
		return nil
	}
	return one(kind, "/"+word, o.words[word], n.words[word])
}

// ratOf gives a number exactly, nil for what is none or out of bounds.
func ratOf(v any) *big.Rat {
	n, ok := v.(json.Number)
	if !ok || !withinBounds(n) {
		return nil
	}
	r, _ := new(big.Rat).SetString(n.String())
	return r
}

// withinBounds reports whether exact arithmetic with a number ends.
func withinBounds(n json.Number) bool {
	_, e, ok := strings.Cut(strings.ToLower(n.String()), "e")
	if !ok {
		return true
	}
	exponent, err := strconv.Atoi(e)
	return err == nil && exponent <= maxExponent && exponent >= -maxExponent
}

// assertion compares a keyword that holds or does not.
func assertion(prefix ChangeKind, word string, o, n *shape) []Change {
	a, hadIt := o.words[word]
	b, hasIt := n.words[word]
	switch {
	case !hadIt && !hasIt || hadIt && hasIt && canonical(a) == canonical(b):
		return nil
	case !hadIt:
		return one(prefix+"_ADDED", "/"+word, nil, b)
	case !hasIt:
		return one(prefix+"_REMOVED", "/"+word, a, nil)
	}
	return one(prefix+"_CHANGED", "/"+word, a, b)
}

func (c *comparer) strings(o, n *shape) []Change {
	return slices.Concat(limit("MAX_LENGTH", "maxLength", o, n), limit("MIN_LENGTH", "minLength", o, n),
		assertion("PATTERN", "pattern", o, n), format(o, n),
		assertion("CONTENT_ENCODING", "contentEncoding", o, n),
		assertion("CONTENT_MEDIA_TYPE", "contentMediaType", o, n))
}

// format knows that every int32 is an int64.
func format(o, n *shape) []Change {
	if o.words["format"] == "int32" && n.words["format"] == "int64" {
		return one("FORMAT_EXTENDED", "/format", "int32", "int64")
	}
	return assertion("FORMAT", "format", o, n)
}

func (c *comparer) numbers(o, n *shape) []Change {
	var found []Change
	for _, b := range []struct {
		kind             ChangeKind
		word, other      string
		lower, exclusive bool
	}{
		{"MAXIMUM", "maximum", "exclusiveMaximum", false, false},
		{"MINIMUM", "minimum", "exclusiveMinimum", true, false},
		{"EXCLUSIVE_MAXIMUM", "exclusiveMaximum", "maximum", false, true},
		{"EXCLUSIVE_MINIMUM", "exclusiveMinimum", "minimum", true, true},
	} {
		was, now := o.numbers[b.word], n.numbers[b.word]
		if now != nil && o.within(b.other, now, b.lower, b.exclusive) && (was == nil || tightened(was, now, b.lower)) {
			continue // the old schema refused by the other keyword all that this one refuses now
		}
		found = append(found, limitOf(b.kind, b.word, was, now, o, n)...)
	}
	found = append(found, multiples(o, n)...)
	found = append(found, format(o, n)...)
	if o.integer != n.integer && o.typed && n.typed {
		kind := ChangeKind("TYPE_NARROWED")
		if o.integer {
			kind = "TYPE_EXTENDED"
		}
		found = append(found, Change{Kind: kind, Old: o.words["type"], New: n.words["type"]})
	}
	return found
}

// within reports whether one keyword of s alone keeps its numbers within a bound that another schema has.
func (s *shape) within(other string, now *big.Rat, lower, exclusive bool) bool {
	was := s.numbers[other]
	if was == nil {
		return false
	}
	cmp := was.Cmp(now)
	if !lower {
		cmp = -cmp
	}
	return cmp > 0 || cmp == 0 && !exclusive
}

// tightened reports whether a bound became tighter.
func tightened(was, now *big.Rat, lower bool) bool {
	if lower {
		return now.Cmp(was) > 0
	}
	return now.Cmp(was) < 0
}

func multiples(o, n *shape) []Change {
	a, b := o.numbers["multipleOf"], n.numbers["multipleOf"]
	kind := ChangeKind("MULTIPLE_OF_CHANGED")
	switch {
	case a == nil && b == nil || a != nil && b != nil && a.Cmp(b) == 0:
		return nil
	case a == nil:
		kind = "MULTIPLE_OF_ADDED"
	case b == nil:
		kind = "MULTIPLE_OF_REMOVED"
	case dividesRat(b, a):
		kind = "MULTIPLE_OF_REDUCED"
	case dividesRat(a, b):
		kind = "MULTIPLE_OF_EXPANDED"
	}
	return one(kind, "/multipleOf", o.words["multipleOf"], n.words["multipleOf"])
}

// dividesRat reports whether b is a multiple of a.
func dividesRat(a, b *big.Rat) bool { return a.Sign() != 0 && new(big.Rat).Quo(b, a).IsInt() }

// values compares enumerations; const is one of a single value.
func (c *comparer) values(o, n *shape) []Change {
	was, is := canonicals(o.values), canonicals(n.values)
	lost := slices.ContainsFunc(was, func(v string) bool { return !slices.Contains(is, v) })
	won := slices.ContainsFunc(is, func(v string) bool { return !slices.Contains(was, v) })
	kind := ChangeKind("ENUM_ARRAY_CHANGED")
	switch {
	case !lost && !won:
		return nil
	case !lost:
		kind = "ENUM_ARRAY_EXTENDED"
	case c.forward && n.extensible():
		kind = "EXTENSIBLE_ENUM_EXTENDED" // readers of the old schema were told to expect it
	case !won:
		kind = "ENUM_ARRAY_NARROWED"
	}
	return one(kind, "/"+n.valuesWord, o.words[o.valuesWord], n.words[n.valuesWord])
}

func (s *shape) extensible() bool { return s.words["x-extensible"] == true }

func canonicals(values []any) []string {
	out := make([]string, len(values))
	for i, v := range values {
		out[i] = canonical(v)
	}
	return out
}

// canonical writes a decoded value so that equal ones are written alike, 1 and 1.0 too.
func canonical(v any) string {
	var b strings.Builder
	writeCanonical(&b, v)
	return b.String()
}

func writeCanonical(b *strings.Builder, v any) {
	switch v := v.(type) {
	case json.Number:
		if r := ratOf(v); r != nil {
			b.WriteString(r.RatString())
			return
		}
		b.WriteString(v.String())
	case []any:
		b.WriteByte('[')
		for _, item := range v {
			writeCanonical(b, item)
			b.WriteByte(',')
		}
		b.WriteByte(']')
	case map[string]any:
		b.WriteByte('{')
		for _, name := range sortedKeys(v) {
			writeCanonical(b, name)
			b.WriteByte(':')
			writeCanonical(b, v[name])
			b.WriteByte(',')
		}
		b.WriteByte('}')
	default:
		text, _ := json.Marshal(v) // strings, booleans and null cannot fail
		b.Write(text)
	}
}

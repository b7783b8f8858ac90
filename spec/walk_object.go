// SPDX-License-Identifier: Apache-2.0

package spec

import (
	"bytes"

	"github.com/autobus-io/autobus"
)

// object passes over an object, from behind its brace.
func (w *walker) object(o *objectRule, i int) int {
	for o.variants != nil {
		if o = w.variant(o, i); o == nil {
			return stop
		}
	}
	if w.depth++; w.depth > autobus.MaxDepth {
		return stop
	}
	base, n := len(w.names.all()), 0
	var seen fieldSet
	if i = w.space(i); i < len(w.data) && w.data[i] == '}' {
		i++
	} else {
		for guess, more := 0, true; more; n++ {
			var r *rule
			if i = w.space(i); i >= len(w.data) || w.data[i] != '"' {
				return stop
			}
			at, end := o.named(w.data, i+1, guess)
			if at < 0 {
				if r, end = w.other(o, i+1); r == nil {
					return stop
				}
			} else {
				guess, r = at+1, o.fields[at].rule
				if bit := uint64(1) << (at & 63); seen[at>>6&3]&bit == 0 {
					seen[at>>6&3] |= bit
				} else {
					return stop // a second time
				}
			}
			if i = w.space(end); i >= len(w.data) || w.data[i] != ':' {
				return stop
			}
			start := w.space(i + 1)
			if i = w.value(r, start); i < 0 {
				return stop
			}
			if at >= 0 && o.fields[at].isKey {
				w.key = span{start: start, end: i}
			}
			if i, more = w.comma(i, '}'); i < 0 {
				return stop
			}
		}
	}
	w.depth--
	if n < o.min || n > o.max || o.lacks(&seen) || w.twice(base) {
		return stop
	}
	return i
}

func (o *objectRule) lacks(seen *fieldSet) bool {
	for i := range seen {
		if o.required[i]&^seen[i] != 0 {
			return true
		}
	}
	return false
}

// named finds the field whose name begins at i, from the one that comes next if the writer keeps the schema's order.
// The end is behind the closing quote; at is -1 when the field has no such name, or one with escapes.
func (o *objectRule) named(d []byte, i, guess int) (at, end int) {
	for at := guess; at < len(o.fields) && at <= guess+1; at++ {
		if q := o.fields[at].quoted; len(d)-i >= len(q) && string(d[i:i+len(q)]) == q {
			return at, i + len(q)
		}
	}
	n := bytes.IndexByte(d[i:], '"')
	if n < 0 || len(o.fields) == 0 {
		return -1, i
	}
	if at, ok := o.index[string(d[i:i+n])]; ok {
		return at, i + n + 1
	}
	return -1, i
}

// other passes over a name that the rule does not have, and gives the rule of its value, nil when it must not stand
// there.
func (w *walker) other(o *objectRule, i int) (r *rule, next int) {
	end, form := textEnd(w.data, i)
	if end < 0 || form == escapedText && len(o.fields) > 0 {
		return nil, stop // an escaped name may be one that the rule has
	}
	sp := span{start: i, end: end, escaped: form == escapedText}
	w.names.push(sp)
	set := 0
	for bit, re := range o.patterns {
		if re.Match(sp.text(w.data)) {
			set |= 1 << bit
		}
	}
	return o.rest[set], end + 1
}

// twice reports whether one of the names from base on stands there twice, and forgets them.
func (w *walker) twice(base int) bool {
	names := w.names.all()[base:]
	if len(names) == 0 {
		return false
	}
	w.names.pop(base)
	_, found := duplicate(w.data, names)
	return found
}

// variant looks ahead for the tag of an object that begins before i.
func (w *walker) variant(o *objectRule, i int) *objectRule {
	at, _ := findMember(w.data, i, o.tag)
	if at < 0 || at >= len(w.data) || w.data[at] != '"' {
		return nil
	}
	end := skipValue(w.data, at)
	if end < 0 {
		return nil
	}
	return o.variants[string(w.data[at+1:end-1])]
}

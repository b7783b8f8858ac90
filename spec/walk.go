// SPDX-License-Identifier: Apache-2.0

package spec

import (
	"bytes"

	"github.com/autobus-io/autobus"
)

// walk reports whether data is surely valid: readable as CheckJSON wants it, matching the schema, without undeclared
// fields. With false nothing is said, not even that it is invalid. The key is the raw value at the program's pointer,
// nil when the walk did not meet it.
func (p *program) walk(data []byte) (key []byte, valid bool) {
	w := walker{data: data}
	i := w.value(p.root, skipSpace(data, 0))
	if i < 0 || skipSpace(data, i) != len(data) {
		return nil, false
	}
	if w.key.end == 0 {
		return nil, true
	}
	return data[w.key.start:w.key.end:w.key.end], true
}

// walker is one pass. Its methods take where something begins and return where it ends, stop when it is not surely
// valid. It lives on the stack.
type walker struct {
	data  []byte
	depth int
	key   span     // of the partition key's value, with its quotes
	names openKeys // as far as they are not in a bit set, and strings of which none may stand twice
}

const stop = -1

// value passes over a value.
func (w *walker) value(r *rule, i int) int {
	if i >= len(w.data) {
		return stop
	}
	switch c := w.data[i]; c {
	case '"':
		if r.text != nil {
			return w.text(r.text, i+1)
		}
	case '{':
		if r.object != nil {
			return w.object(r.object, i+1)
		}
	case '[':
		if r.array != nil {
			return w.array(r.array, i+1)
		}
	case 't':
		return w.word("true", r.yes, i)
	case 'f':
		return w.word("false", r.no, i)
	case 'n':
		return w.word("null", r.null, i)
	default:
		if r.number != nil && (c == '-' || c-'0' <= 9) {
			return w.number(r.number, i)
		}
	}
	return stop
}

func (w *walker) word(word string, allowed bool, i int) int {
	if !allowed || len(w.data)-i < len(word) || string(w.data[i:i+len(word)]) != word {
		return stop
	}
	return i + len(word)
}

// space passes over the white space that is mostly not there, or is one blank.
func (w *walker) space(i int) int {
	if i < len(w.data) && w.data[i] > ' ' {
		return i
	}
	return skipSpace(w.data, i)
}

// array passes over an array, from behind its bracket.
func (w *walker) array(a *arrayRule, i int) int {
	if w.depth++; w.depth > autobus.MaxDepth {
		return stop
	}
	base, n := len(w.names.all()), 0
	if i = w.space(i); i < len(w.data) && w.data[i] == ']' {
		i++
	} else {
		for more := true; more; n++ {
			start := w.space(i)
			if i = w.value(a.items, start); i < 0 {
				return stop
			}
			if a.unique {
				text := w.data[start+1 : i-1]
				w.names.push(span{start + 1, i - 1, bytes.IndexByte(text, '\\') >= 0})
			}
			if i, more = w.comma(i, ']'); i < 0 {
				return stop
			}
		}
	}
	w.depth--
	if n < a.min || n > a.max || a.unique && w.twice(base) {
		return stop
	}
	return i
}

// comma passes over what follows an element: a comma, or (more is false) the closing bracket.
func (w *walker) comma(i int, closing byte) (next int, more bool) {
	if i = w.space(i); i >= len(w.data) {
		return stop, false
	}
	switch w.data[i] {
	case ',':
		return i + 1, true
	case closing:
		return i + 1, false
	}
	return stop, false
}

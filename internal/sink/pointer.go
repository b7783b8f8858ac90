// SPDX-License-Identifier: Apache-2.0

package sink

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
)

// tokens are the steps of a JSON pointer.
func tokens(pointer string) []string {
	if pointer == "" {
		return nil
	}
	ts := strings.Split(pointer[1:], "/")
	for i, t := range ts {
		ts[i] = strings.NewReplacer("~1", "/", "~0", "~").Replace(t)
	}
	return ts
}

// itemIndex reads a step as the index of an item.
func itemIndex(token string) (int, bool) {
	i, err := strconv.Atoi(token)
	return i, err == nil && i >= 0 && strconv.Itoa(i) == token
}

// finder finds the values of many pointers in one pass over the data: a tree of steps, with the slots that end there.
type finder struct {
	slots   []int
	members map[string]*finder
	items   map[int]*finder
}

// add makes a pointer end in a slot.
func (f *finder) add(pointer string, slot int) {
	for _, t := range tokens(pointer) {
		next := f.members[t]
		if next == nil {
			next = &finder{}
			if f.members == nil {
				f.members = map[string]*finder{}
			}
			f.members[t] = next
			if i, ok := itemIndex(t); ok {
				if f.items == nil {
					f.items = map[int]*finder{}
				}
				f.items[i] = next
			}
		}
		f = next
	}
	f.slots = append(f.slots, slot)
}

// find puts the raw values into out and returns where the value that begins at i ends. The data is JSON that was
// checked: what this walks over is never judged here.
func (f *finder) find(d []byte, i int, out [][]byte) int {
	i = space(d, i)
	begin := i
	switch {
	case d[i] == '{' && f.members != nil:
		for i = space(d, i+1); d[i] != '}'; {
			end := skip(d, i)
			next := f.member(d[i+1 : end-1])
			i = space(d, space(d, end)+1) // over the colon
			if next != nil {
				i = next.find(d, i, out)
			} else {
				i = skip(d, i)
			}
			if i = space(d, i); d[i] == ',' {
				i = space(d, i+1)
			}
		}
		i++
	case d[i] == '[' && f.items != nil:
		i = space(d, i+1)
		for n := 0; d[i] != ']'; n++ {
			if next := f.items[n]; next != nil {
				i = next.find(d, i, out)
			} else {
				i = skip(d, i)
			}
			if i = space(d, i); d[i] == ',' {
				i = space(d, i+1)
			}
		}
		i++
	default:
		i = skip(d, i)
	}
	for _, slot := range f.slots {
		out[slot] = d[begin:i]
	}
	return i
}

// each calls f for the items of an array; false when raw is none.
func each(raw []byte, f func(item []byte)) bool {
	if len(raw) == 0 || raw[0] != '[' {
		return false
	}
	for i := space(raw, 1); raw[i] != ']'; {
		end := skip(raw, i)
		f(raw[i:end])
		if i = space(raw, end); raw[i] == ',' {
			i = space(raw, i+1)
		}
	}
	return true
}

func space(d []byte, i int) int {
	for i < len(d) && (d[i] == ' ' || d[i] == '\n' || d[i] == '\t' || d[i] == '\r') {
		i++
	}
	return i
}

// skip gives the end of the value that begins at i.
func skip(d []byte, i int) int {
	depth := 0
	for ; i < len(d); i++ {
		switch d[i] {
		case '"':
			for i++; d[i] != '"'; i++ {
				if d[i] == '\\' {
					i++
				}
			}
		case '{', '[':
			depth++
			continue
		case '}', ']':
			depth--
		case ',', ':', ' ', '\n', '\t', '\r':
			continue
		default:
			for i+1 < len(d) && !endsLiteral(d[i+1]) {
				i++
			}
		}
		if depth == 0 {
			return i + 1
		}
	}
	return i
}

// endsLiteral reports whether a number, true, false or null ends before a byte.
func endsLiteral(c byte) bool {
	switch c {
	case ',', ']', '}', ' ', '\n', '\t', '\r':
		return true
	}
	return false
}

// member is what is looked for in a member, of whose name this stands between the quotes.
func (f *finder) member(name []byte) *finder {
	if bytes.IndexByte(name, '\\') < 0 {
		return f.members[string(name)] // takes no memory, unlike a text that unquote gives
	}
	return f.members[unquote(name)]
}

// unquote gives a string's text, from what stands between its quotes.
func unquote(raw []byte) string {
	if bytes.IndexByte(raw, '\\') < 0 {
		return string(raw)
	}
	quoted := make([]byte, 0, len(raw)+2)
	quoted = append(append(append(quoted, '"'), raw...), '"')
	var s string
	_ = json.Unmarshal(quoted, &s) // it was checked
	return s
}

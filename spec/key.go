// SPDX-License-Identifier: Apache-2.0

package spec

import (
	"bytes"
	"slices"
	"strings"

	"github.com/autobus-io/autobus"
)

// Key returns the partition key of data: a string's UTF-8, an integer's digits as written, at the pointer that the
// spec names. Without one it is nil. It may share memory with data.
func (t *Type) Key(data []byte) ([]byte, *autobus.Error) {
	if t.KeyPointer == "" {
		return nil, nil
	}
	raw, readable := find(data, t.KeyPointer)
	if !readable {
		if err := CheckJSON(data); err != nil {
			return nil, err
		}
	}
	if raw == nil {
		return nil, t.keyMissing("required", "")
	}
	return t.keyOf(raw)
}

// keyOf gives the key that a raw value is.
func (t *Type) keyOf(raw []byte) ([]byte, *autobus.Error) {
	got := "null"
	switch {
	case raw[0] == '"':
		if text := raw[1 : len(raw)-1]; bytes.IndexByte(text, '\\') < 0 {
			return slices.Clip(text), nil
		}
		return appendUnescaped(make([]byte, 0, len(raw)), raw[1:len(raw)-1]), nil
	case raw[0] == '-' || raw[0] >= '0' && raw[0] <= '9':
		if strings.Trim(string(raw[1:]), "0123456789") == "" {
			return slices.Clip(raw), nil
		}
		got = "number"
	case raw[0] == '{':
		got = "object"
	case raw[0] == '[':
		got = "array"
	case raw[0] == 't' || raw[0] == 'f':
		got = "boolean"
	}
	return nil, t.keyMissing("type", got)
}

func (t *Type) keyMissing(rule, got string) *autobus.Error {
	what := "is missing"
	if got != "" {
		what = "is " + got
	}
	err := autobus.NewError(autobus.ReasonKeyMissing, "%s, the partition key of %s, %s", t.KeyPointer, t.Name, what).
		WithHint("Send a string or an integer there; it decides the order in which events are read.")
	err.Faults = []autobus.Fault{{Pointer: t.KeyPointer, Rule: rule, Want: "string or integer", Got: got}}
	return err
}

// find returns the raw value at a JSON pointer, nil when there is none. It passes over the data once and only as far
// as the value; readable is false when it met something that is not JSON.
func find(data []byte, pointer string) (raw []byte, readable bool) {
	i := skipSpace(data, 0)
	_, rest, more := strings.Cut(pointer, "/")
	for more {
		var token string
		token, rest, more = strings.Cut(rest, "/")
		token = untoken(token)
		switch {
		case i >= len(data):
			return nil, false
		case data[i] == '{':
			i, readable = findMember(data, i+1, token)
		case data[i] == '[':
			i, readable = findItem(data, i+1, token)
		default:
			return nil, true
		}
		if i < 0 {
			return nil, readable
		}
	}
	end := skipValue(data, i)
	if end < 0 {
		return nil, false
	}
	return data[i:end], true
}

// findMember gives the start of a member's value, -1 when the object that began before i has none of that name.
func findMember(d []byte, i int, name string) (at int, readable bool) {
	if i = skipSpace(d, i); i < len(d) && d[i] == '}' {
		return -1, true
	}
	for {
		i = skipSpace(d, i)
		if i >= len(d) || d[i] != '"' {
			return -1, false
		}
		end := skipValue(d, i)
		if end < 0 {
			return -1, false
		}
		key := d[i+1 : end-1]
		match := string(key) == name
		if !match && bytes.IndexByte(key, '\\') >= 0 {
			match = string(appendUnescaped(nil, key)) == name
		}
		if i = skipSpace(d, end); i >= len(d) || d[i] != ':' {
			return -1, false
		}
		if i = skipSpace(d, i+1); match {
			return i, true
		}
		var more, ok bool
		if i, more, ok = nextElement(d, i, '}'); !more {
			return -1, ok
		}
	}
}

// findItem gives the start of an item, -1 when the array that began before i is shorter.
func findItem(d []byte, i int, token string) (at int, readable bool) {
	n, ok := itemIndex(token)
	if i = skipSpace(d, i); !ok || i < len(d) && d[i] == ']' {
		return -1, true
	}
	for range n {
		var more, ok bool
		if i, more, ok = nextElement(d, i, ']'); !more {
			return -1, ok
		}
	}
	return skipSpace(d, i), true
}

// nextElement passes over a value and the comma behind it. Without a comma more is false, and ok tells whether the
// closing bracket stood there.
func nextElement(d []byte, i int, closing byte) (next int, more, ok bool) {
	if i = skipValue(d, i); i < 0 {
		return -1, false, false
	}
	if i = skipSpace(d, i); i >= len(d) || d[i] != ',' {
		return -1, false, i < len(d) && d[i] == closing
	}
	return i + 1, true, true
}

// skipValue gives the end of the value that begins at i, -1 when it does not end.
func skipValue(d []byte, i int) int {
	start, depth := skipSpace(d, i), 0
	for i = start; i < len(d); i++ {
		switch d[i] {
		case '"':
			for i++; i < len(d) && d[i] != '"'; i++ {
				if d[i] == '\\' {
					i++
				}
			}
			if i >= len(d) {
				return -1
			}
			if depth == 0 {
				return i + 1
			}
		case '{', '[':
			depth++
		case '}', ']':
			if depth--; depth == 0 {
				return i + 1
			}
			if depth < 0 {
				return scalarEnd(start, i)
			}
		case ',', ' ', '\n', '\r', '\t', ':':
			if depth == 0 {
				return scalarEnd(start, i)
			}
		}
	}
	if depth > 0 {
		return -1
	}
	return scalarEnd(start, i)
}

func scalarEnd(start, end int) int {
	if end == start {
		return -1
	}
	return end
}

// SPDX-License-Identifier: Apache-2.0

package spec

import (
	"bytes"
	"encoding/json"
	"slices"
)

// node is a value of a spec file that knows where it stands. Keys keep the file's order.
type node struct {
	form   form
	pos    position
	text   string // of a literal: its JSON
	value  string // of a string: itself
	keys   []key
	values []*node // of an object's keys, of a list
}

type form uint8

const (
	literal form = iota // null, boolean, number
	str
	object
	list
)

type position struct{ line, column int }

type key struct {
	name string
	pos  position
}

// get returns a member of an object, nil when there is none or n is something else.
func (n *node) get(name string) *node {
	if n == nil || n.form != object {
		return nil
	}
	for i := range n.keys {
		if n.keys[i].name == name {
			return n.values[i]
		}
	}
	return nil
}

// child takes one step of a JSON pointer.
func (n *node) child(token string) *node {
	if n != nil && n.form == list {
		if i, ok := itemIndex(token); ok && i < len(n.values) {
			return n.values[i]
		}
		return nil
	}
	return n.get(token)
}

// str returns the string that a member of an object holds, "" when it holds none.
func (n *node) str(name string) string {
	if v := n.get(name); v != nil && v.form == str {
		return v.value
	}
	return ""
}

// ref returns what $ref says, when n is a reference.
func (n *node) ref() (string, bool) {
	v := n.get("$ref")
	if v == nil || v.form != str {
		return "", false
	}
	return v.value, true
}

// find returns the position of the place that the steps lead to, or of the last one on the way that exists. The place
// of an object's member is that of its key.
func (n *node) find(path []string) position {
	pos := n.pos
	for _, token := range path {
		next := n.child(token)
		if next == nil {
			break
		}
		pos = next.pos
		if n.form == object {
			pos = n.keys[slices.IndexFunc(n.keys, func(k key) bool { return k.name == token })].pos
		}
		n = next
	}
	return pos
}

// json appends the node as JSON in the order of the file.
func (n *node) json(b *bytes.Buffer) {
	switch n.form {
	case literal:
		b.WriteString(n.text)
	case str:
		writeString(b, n.value)
	case object:
		b.WriteByte('{')
		for i, k := range n.keys {
			if i > 0 {
				b.WriteByte(',')
			}
			writeString(b, k.name)
			b.WriteByte(':')
			n.values[i].json(b)
		}
		b.WriteByte('}')
	case list:
		b.WriteByte('[')
		for i, v := range n.values {
			if i > 0 {
				b.WriteByte(',')
			}
			v.json(b)
		}
		b.WriteByte(']')
	}
}

// raw is the node as JSON.
func (n *node) raw() json.RawMessage {
	var b bytes.Buffer
	n.json(&b)
	return b.Bytes()
}

// any is the node as the validator wants it.
func (n *node) any() any {
	switch n.form {
	case str:
		return n.value
	case object:
		obj := make(map[string]any, len(n.keys))
		for i, k := range n.keys {
			obj[k.name] = n.values[i].any()
		}
		return obj
	case list:
		arr := make([]any, len(n.values))
		for i, v := range n.values {
			arr[i] = v.any()
		}
		return arr
	case literal:
		return n.literal()
	}
	return nil
}

func (n *node) literal() any {
	switch n.text {
	case "null":
		return nil
	case "true", "false":
		return n.text == "true"
	}
	return json.Number(n.text)
}

// writeString writes a JSON string without escaping what only HTML would need escaped.
func writeString(b *bytes.Buffer, s string) {
	enc := json.NewEncoder(b)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(s) // a string into memory cannot fail
	b.Truncate(b.Len() - 1)
}

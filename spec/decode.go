// SPDX-License-Identifier: Apache-2.0

package spec

import "encoding/json"

// decode gives the value of data that CheckJSON has found readable. Numbers stay exact (json.Number).
func decode(data []byte) any {
	d := decoder{data: data}
	return d.value()
}

// decoder builds values without checking anything again, which is what makes it cheaper than encoding/json.
type decoder struct {
	data []byte
	pos  int
}

func (d *decoder) value() any {
	switch d.peek() {
	case '{':
		return d.object()
	case '[':
		return d.array()
	case '"':
		return d.text()
	case 't':
		d.pos += len("true")
		return true
	case 'f':
		d.pos += len("false")
		return false
	case 'n':
		d.pos += len("null")
		return nil
	}
	n, _ := numberLen(d.data[d.pos:])
	d.pos += n
	return json.Number(d.data[d.pos-n : d.pos])
}

func (d *decoder) object() map[string]any {
	obj := map[string]any{}
	d.pos++
	for d.peek() != '}' {
		key := d.text()
		d.peek()
		d.pos++ // colon
		obj[key] = d.value()
		if d.peek() == ',' {
			d.pos++
		}
	}
	d.pos++
	return obj
}

func (d *decoder) array() []any {
	arr := []any{}
	d.pos++
	for d.peek() != ']' {
		arr = append(arr, d.value())
		if d.peek() == ',' {
			d.pos++
		}
	}
	d.pos++
	return arr
}

func (d *decoder) text() string {
	sp := span{start: d.pos + 1}
	i := sp.start
	for ; d.data[i] != '"'; i++ {
		if d.data[i] == '\\' {
			sp.escaped = true
			i++
		}
	}
	sp.end, d.pos = i, i+1
	return string(sp.text(d.data))
}

// peek gives the next byte that is not space.
func (d *decoder) peek() byte {
	d.pos = skipSpace(d.data, d.pos)
	return d.data[d.pos]
}

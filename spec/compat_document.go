// SPDX-License-Identifier: Apache-2.0

package spec

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// schemaDocument is one JSON Schema while it is read into shapes. Each place has one shape, so that a reference gives
// the very shape it leads to and a schema that refers to itself becomes a circle.
type schemaDocument struct {
	root      any
	base      string            // the root's own id
	places    map[string]any    // pointer -> what stands there, of all ids and anchors
	names     map[string]string // id or anchor -> pointer
	shapes    map[string]*shape
	following map[string]bool // references on the way to here
	refAlone  bool            // up to draft-07 nothing counts beside $ref
	err       error
}

// maxExponent bounds the numbers of a schema; exact arithmetic with larger ones would not end.
const maxExponent = 400

// readShape reads a JSON Schema.
func readShape(data []byte) (*shape, error) {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	d := &schemaDocument{places: map[string]any{}, names: map[string]string{}, shapes: map[string]*shape{},
		following: map[string]bool{}}
	if err := dec.Decode(&d.root); err != nil {
		return nil, fmt.Errorf("it is not JSON: %w", err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("something follows the schema")
	}
	d.refAlone = true
	if root, ok := d.root.(map[string]any); ok {
		draft, _ := root["$schema"].(string)
		_, defs := root["$defs"]
		d.refAlone = !strings.Contains(draft, "/draft/20") && (draft != "" || !defs)
		d.base, _ = root["$id"].(string)
	}
	d.index("", d.root)
	s := d.shape("", d.root)
	return s, d.err
}

func (d *schemaDocument) fail(at, format string, args ...any) *shape {
	if d.err == nil {
		d.err = fmt.Errorf("%s: %w", place0(at), fmt.Errorf(format, args...))
	}
	return &shape{}
}

// place0 writes a pointer as a fragment; the root is "#/", as in reports of changes.
func place0(pointer string) string {
	if pointer == "" {
		return "#/"
	}
	return "#" + pointer
}

// index finds all ids, anchors and numbers out of bounds.
func (d *schemaDocument) index(at string, v any) {
	switch v := v.(type) {
	case json.Number:
		if !withinBounds(v) {
			d.fail(at, "the number %s is out of bounds", shorten(v.String(), maxValue))
		}
	case []any:
		for i, item := range v {
			d.index(at+"/"+strconv.Itoa(i), item)
		}
	case map[string]any:
		for _, word := range []string{"$id", "id"} {
			if id, ok := v[word].(string); ok {
				d.name(id, at)
			}
		}
		for _, word := range []string{"$anchor", "$dynamicAnchor"} {
			if anchor, ok := v[word].(string); ok {
				d.name("#"+anchor, at)
			}
		}
		for _, name := range slices.Sorted(maps.Keys(v)) {
			if !slices.Contains(dataBelow, name) {
				d.index(at+string(appendToken(nil, name)), v[name])
			}
		}
	}
}

func (d *schemaDocument) name(id, at string) {
	for _, id := range []string{id, d.absolute(id)} {
		id = strings.TrimSuffix(id, "#")
		if _, taken := d.names[id]; !taken && id != "" {
			d.names[id] = at
		}
	}
}

// absolute resolves an id against the root's.
func (d *schemaDocument) absolute(id string) string {
	base, err := url.Parse(d.base)
	if err != nil || !base.IsAbs() {
		return id
	}
	to, err := base.Parse(id)
	if err != nil {
		return id
	}
	return to.String()
}

// follow gives the shape that a reference leads to.
func (d *schemaDocument) follow(at, ref string) *shape {
	if d.following[at] {
		return d.fail(at, "the references go in a circle")
	}
	d.following[at] = true
	defer delete(d.following, at)
	to, err := d.target(ref)
	if err != nil {
		return d.fail(at, "%w", err)
	}
	v, ok := lookup(d.root, to)
	if !ok {
		return d.fail(at, "$ref %s leads nowhere", shorten(ref, maxValue))
	}
	return d.shape(to, v)
}

// target is the pointer that a reference means.
func (d *schemaDocument) target(ref string) (string, error) {
	for _, ref := range []string{ref, d.absolute(ref)} {
		if at, ok := d.names[strings.TrimSuffix(ref, "#")]; ok {
			return at, nil
		}
	}
	to, fragment, _ := strings.Cut(ref, "#")
	at := ""
	if to != "" && to != d.base {
		known := false
		if at, known = d.names[to]; !known {
			if at, known = d.names[d.absolute(to)]; !known {
				return "", fmt.Errorf("$ref %s leads out of the schema", shorten(ref, maxValue))
			}
		}
	}
	fragment, err := url.PathUnescape(fragment)
	if err != nil || fragment != "" && !validPointer(fragment) {
		return "", fmt.Errorf("$ref %s leads nowhere", shorten(ref, maxValue))
	}
	return at + fragment, nil
}

// lookup walks a JSON pointer.
func lookup(v any, pointer string) (any, bool) {
	for _, token := range tokens(pointer) {
		switch parent := v.(type) {
		case map[string]any:
			child, ok := parent[token]
			if !ok {
				return nil, false
			}
			v = child
		case []any:
			i, ok := itemIndex(token)
			if !ok || i >= len(parent) {
				return nil, false
			}
			v = parent[i]
		default:
			return nil, false
		}
	}
	return v, true
}

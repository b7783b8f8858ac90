// SPDX-License-Identifier: Apache-2.0

package spec

import "github.com/santhosh-tekuri/jsonschema/v6"

// Bounds of what one event costs. A short spec can ask for more checks than anybody can wait for: schemas that each
// apply the next one twice double the work with every line.
const (
	maxChecks       = 20_000
	maxPatternBytes = 4 << 10
)

// unfolds reports whether the schema, with everything that is shared written out, has at most maxChecks subschemas.
// A recursive schema is written out once: how often it recurs is for the event to say. The schema must have no circle.
func (s *schema) unfolds() bool {
	u := unfolder{loops: s.loops(), sizes: map[*jsonschema.Schema]int{}}
	for _, sub := range s.at {
		if u.size(sub) > maxChecks {
			return false
		}
	}
	return true
}

type unfolder struct {
	loops map[*jsonschema.Schema]int
	sizes map[*jsonschema.Schema]int
}

// size is the number of subschemas below sub and itself, at most maxChecks+1. It leaves out only steps to another value
// inside a loop, so that it ends, and is the same from wherever sub is reached.
func (u *unfolder) size(sub *jsonschema.Schema) int {
	if n, known := u.sizes[sub]; known {
		return n
	}
	n := 1
	for _, next := range sameValue(sub) {
		n = min(n+u.size(next), maxChecks+1)
	}
	for _, next := range otherValues(sub) {
		more := 1
		if u.loops[next] != u.loops[sub] {
			more = u.size(next)
		}
		n = min(n+more, maxChecks+1)
	}
	u.sizes[sub] = n
	return n
}

// loops numbers the strongly connected components (Tarjan): subschemas that lead to each other have the same number.
func (s *schema) loops() map[*jsonschema.Schema]int {
	f := loopFinder{low: map[*jsonschema.Schema]int{}, loops: map[*jsonschema.Schema]int{}}
	f.visit(s.root)
	return f.loops
}

type loopFinder struct {
	low   map[*jsonschema.Schema]int // the earliest visit that a subschema leads back to
	stack []*jsonschema.Schema       // visited, not yet in a loop
	loops map[*jsonschema.Schema]int
}

func (f *loopFinder) visit(sub *jsonschema.Schema) {
	number, base := len(f.low)+1, len(f.stack)
	f.low[sub] = number
	f.stack = append(f.stack, sub)
	for _, next := range append(sameValue(sub), otherValues(sub)...) {
		if f.low[next] == 0 {
			f.visit(next)
		}
		if f.loops[next] == 0 {
			f.low[sub] = min(f.low[sub], f.low[next])
		}
	}
	if f.low[sub] < number {
		return
	}
	for _, member := range f.stack[base:] {
		f.loops[member] = number
	}
	f.stack = f.stack[:base]
}

// sameValue are the subschemas that look at the same value as s.
func sameValue(s *jsonschema.Schema) []*jsonschema.Schema {
	subs := inPlace(s)
	if s.Not != nil {
		subs = append(subs, s.Not)
	}
	return subs
}

// otherValues are the subschemas that look at fields, names or items of the value that s looks at.
func otherValues(s *jsonschema.Schema) []*jsonschema.Schema {
	var subs []*jsonschema.Schema
	for _, next := range s.Properties {
		subs = append(subs, next)
	}
	for _, next := range s.PatternProperties {
		subs = append(subs, next)
	}
	for _, more := range []any{s.PropertyNames, s.Contains, s.AdditionalProperties, s.Items, s.AdditionalItems} {
		switch more := more.(type) {
		case *jsonschema.Schema:
			if more != nil {
				subs = append(subs, more)
			}
		case []*jsonschema.Schema:
			subs = append(subs, more...)
		}
	}
	return subs
}

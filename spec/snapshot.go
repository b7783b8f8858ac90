// SPDX-License-Identifier: Apache-2.0

package spec

import (
	"cmp"
	"maps"
	"slices"

	"github.com/autobus-io/autobus"
)

// Snapshot is the set of all types of a spec repository. It is immutable.
type Snapshot struct {
	byName map[string]*Type
	sorted []*Type
}

// Empty is the snapshot without any type.
func Empty() *Snapshot { return newSnapshot(nil) }

func newSnapshot(types map[string]declared) *Snapshot {
	s := &Snapshot{byName: make(map[string]*Type, len(types))}
	for _, name := range slices.Sorted(maps.Keys(types)) {
		s.byName[name] = types[name].Type
		s.sorted = append(s.sorted, types[name].Type)
	}
	return s
}

// Type returns a type by its name.
func (s *Snapshot) Type(name string) (*Type, bool) {
	t, ok := s.byName[name]
	return t, ok
}

// Types returns all types by name.
func (s *Snapshot) Types() []*Type { return slices.Clone(s.sorted) }

// Len is the number of types.
func (s *Snapshot) Len() int { return len(s.sorted) }

// Near returns up to limit names that somebody who wrote name may have meant, the nearest first.
func (s *Snapshot) Near(name string, limit int) []string {
	if len(name) > autobus.MaxTypeBytes || limit <= 0 {
		return nil // comparing has its price, and nobody mistypes that much
	}
	type candidate struct {
		name     string
		distance int
	}
	var near []candidate
	bound := max(2, len(name)/6)
	for _, t := range s.sorted {
		if d, ok := distance(name, t.Name, bound); ok {
			near = append(near, candidate{t.Name, d})
		}
	}
	slices.SortStableFunc(near, func(a, b candidate) int { return cmp.Compare(a.distance, b.distance) })
	names := make([]string, 0, limit)
	for _, c := range near[:min(limit, len(near))] {
		names = append(names, c.name)
	}
	return names
}

// distance is how many letters must be put in, left out or changed to make a into b, as long as it is at most bound.
func distance(a, b string, bound int) (int, bool) {
	if len(a)-len(b) > bound || len(b)-len(a) > bound {
		return 0, false
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		diagonal, least := row[0], i
		row[0] = i
		for j := 1; j <= len(b); j++ {
			change := diagonal
			if a[i-1] != b[j-1] {
				change++
			}
			diagonal = row[j]
			row[j] = min(change, row[j]+1, row[j-1]+1)
			least = min(least, row[j])
		}
		if least > bound {
			return 0, false
		}
	}
	return row[len(b)], row[len(b)] <= bound
}

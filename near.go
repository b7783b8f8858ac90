// SPDX-License-Identifier: Apache-2.0

package autobus

import (
	"cmp"
	"slices"
)

// Near returns up to limit of the names that somebody who wrote word may have meant, the nearest first: at most two
// letters, or a sixth of them, are put in, left out or changed. A refusal of a name says them.
func Near(word string, names []string, limit int) []string {
	if len(word) > MaxTypeBytes || limit <= 0 {
		return nil // comparing has its price, and nobody mistypes that much
	}
	type candidate struct {
		name     string
		distance int
	}
	var near []candidate
	bound := max(2, len(word)/6)
	for _, n := range names {
		if d, ok := distance(word, n, bound); ok {
			near = append(near, candidate{n, d})
		}
	}
	slices.SortStableFunc(near, func(a, b candidate) int { return cmp.Compare(a.distance, b.distance) })
	out := make([]string, 0, limit)
	for _, c := range near[:min(limit, len(near))] {
		out = append(out, c.name)
	}
	return out
}

// distance is Levenshtein's, as long as it is at most bound.
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

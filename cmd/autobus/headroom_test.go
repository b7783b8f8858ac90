// SPDX-License-Identifier: Apache-2.0

package main

import "testing"

// What waits gets no room for garbage, and the rest what it has otherwise.
func TestHeadroom(t *testing.T) {
	const mib = 1 << 20
	h := &headroom{gogc: 100}
	for _, step := range []struct {
		what          string
		cycles        uint64
		live, waiting int64
		want          int64
	}{
		{"nothing waits", 1, 48 * mib, 0, 100},
		{"as much as the rest came since the collection", 1, 48 * mib, 48 * mib, 50},
		{"and was seen by the next one", 2, 96 * mib, 48 * mib, 50},
		{"twice as much as the rest", 3, 144 * mib, 96 * mib, 33},
		{"next to nothing lives besides", 4, 100 * mib, 100 * mib, 13},
		{"it is written, and not yet collected", 4, 100 * mib, 0, 100},
	} {
		if got := h.percent(step.cycles, step.live, step.waiting); got != step.want {
			t.Errorf("%s: %d %%, want %d %%", step.what, got, step.want)
		}
	}
}

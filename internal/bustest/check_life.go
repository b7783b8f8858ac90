// SPDX-License-Identifier: Apache-2.0

package bustest

import "slices"

// An event that is redriven lives once more. Attempts count on over its lives, so they tell what is of which: a life
// ends with the attempt that its dead letter names.

// ends gives the last attempts of the lives that were redriven from, in order. Two letters of one life, as a crash
// between a letter and its confirmation may leave, are one end.
func (h *handled) ends(redriven map[int64]bool) (out []int) {
	if len(redriven) == 0 || h == nil {
		return nil
	}
	last := map[int64]int{} // by life
	for _, l := range h.letters {
		if n, known := last[l.life]; redriven[l.number] && (!known || l.attempts < n) {
			last[l.life] = l.attempts
		}
	}
	for _, n := range last {
		out = append(out, n)
	}
	slices.Sort(out)
	return out
}

// relives reports whether a delivery is of another life than the first.
func (h *handled) relives(d *delivery, redriven map[int64]bool) bool {
	ends := h.ends(redriven)
	return len(ends) > 0 && d.attempt > ends[0]
}

// lives gives what became of an event in each of its lives; the last one goes on to its end.
func (h *handled) lives(redriven map[int64]bool) []*handled {
	ends := h.ends(redriven)
	if len(ends) == 0 {
		return []*handled{h}
	}
	out := make([]*handled, len(ends)+1)
	for i := range out {
		out[i] = &handled{}
		if i > 0 {
			out[i].spent = ends[i-1]
		}
	}
	at := func(attempt int) *handled {
		i, _ := slices.BinarySearch(ends, attempt)
		return out[i]
	}
	for _, d := range h.deliveries {
		to := at(d.attempt)
		to.deliveries = append(to.deliveries, d)
	}
	for _, l := range h.letters {
		to := at(l.attempts)
		to.letters = append(to.letters, l)
	}
	return out
}

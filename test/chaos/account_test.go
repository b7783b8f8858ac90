// SPDX-License-Identifier: Apache-2.0

package chaos

import (
	"cmp"
	"slices"
	"testing"
	"time"

	"github.com/autobus-io/autobus/internal/bustest"
)

// commitTime is what a commit may take on a busy machine, beyond the second between two of them: acks that come
// meanwhile are not in it.
func (s *stand) commitTime() time.Duration {
	if s.cluster == nil {
		return 1500 * time.Millisecond
	}
	return 3 * time.Second
}

// account is what the end of one gateway cost.
type account struct {
	left     int           // events that workers had and had not settled, as far as they know
	recent   int           // acks since the last commit at the latest, which may be forgotten
	again    int           // events that it delivered and a later gateway again
	takeover time.Duration // from the end on until the next gateway has delivered from each partition
	silence  time.Duration // the longest that a partition was without deliveries in between
}

// change is the end of a gateway, and the one that came after it.
type change struct {
	gone, next *gateway
	at         time.Time     // when it was told to end, or killed
	down, over time.Duration // until its process was gone; until the next one had all partitions
}

// account compares what a gateway delivered with what those after it did. It is right once all is done.
func (c *crew) account(s *stand, ch change) account { return c.accounts(s, []change{ch})[0] }

// accounts does so for many changes.
func (c *crew) accounts(s *stand, changes []change) []account {
	// What came again may have been delivered by a gateway before this one for the last time: that one's end counts.
	latest, again := map[place]int{}, map[int]int{}
	type part struct{ gateway, partition int }
	first, last := map[part]time.Time{}, map[part]time.Time{}
	all := c.sightings(nil)
	slices.SortStableFunc(all, func(x, y sighting) int { return cmp.Compare(x.from.number, y.from.number) })
	for i := range all {
		d := &all[i]
		if before, seen := latest[d.place()]; seen && before != d.from.number {
			again[before]++
		}
		latest[d.place()] = d.from.number
		p := part{d.from.number, int(d.Partition)}
		last[p] = d.at
		if first[p].IsZero() {
			first[p] = d.at
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	out := make([]account, len(changes))
	for i, ch := range changes {
		a := account{left: c.left[ch.gone], again: again[ch.gone.number]}
		for p := range partitions {
			if at := first[part{ch.next.number, p}]; !at.IsZero() {
				a.takeover = max(a.takeover, at.Sub(ch.at))
				a.silence = max(a.silence, at.Sub(last[part{ch.gone.number, p}]))
			}
		}
		for _, at := range c.acks {
			if at.After(ch.at.Add(-time.Second-s.commitTime())) && at.Before(ch.at.Add(s.commitTime())) {
				a.recent++
			}
		}
		out[i] = a
	}
	return out
}

// judge lets the history judge, once all is done and the workers are fired.
func (c *crew) judge(t *testing.T, l *source, s *stand) bustest.Report {
	t.Helper()
	if l.unwatch != nil {
		l.unwatch()
	}
	r := l.judge(t, s.broker)
	t.Logf("%d deliveries: %d done, %d dead letters, %d came again after they were done", r.Delivered, r.Done, r.Dead,
		r.Repeats)
	return r
}

// median of durations, or of numbers.
func median[T int | time.Duration](all []T) T {
	return slices.Sorted(slices.Values(all))[len(all)/2]
}

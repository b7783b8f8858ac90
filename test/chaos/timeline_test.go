// SPDX-License-Identifier: Apache-2.0

package chaos

import (
	"context"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/bustest"
)

// answered is one answer to an attempt of an event that should be written, as its stream got it.
type answered struct {
	sent, at  time.Time
	partition int32 // of what was written
	status    autobus.Status
}

// timeline is answers in the order in which they came.
type timeline []answered

func (l *load) note(a answered) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.answers = append(l.answers, a)
}

// timeline gives the answers up to now.
func (l *load) timeline() timeline {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.answers)
}

// between gives the answers that came in a time.
func (a timeline) between(from, to time.Time) (out timeline) {
	for _, x := range a {
		if !x.at.Before(from) && x.at.Before(to) {
			out = append(out, x)
		}
	}
	return out
}

// written gives those that say so.
func (a timeline) written() (out timeline) {
	for _, x := range a {
		if x.status == autobus.Written {
			out = append(out, x)
		}
	}
	return out
}

// rate is how many came in a second.
func (a timeline) rate(from, to time.Time) float64 {
	return float64(len(a.between(from, to))) / to.Sub(from).Seconds()
}

// usual is how many came in the median second, of those in which any did.
func (a timeline) usual() int {
	in := map[int64]int{}
	for _, x := range a {
		in[x.at.Unix()]++
	}
	return median(slices.Collect(maps.Values(in)))
}

// gap is the longest time in which a partition had nothing written, of all partitions.
func (a timeline) gap(partitions int, from, to time.Time) (longest time.Duration) {
	last := make([]time.Time, partitions)
	for p := range last {
		last[p] = from
	}
	for _, x := range a.written().between(from, to) {
		longest = max(longest, x.at.Sub(last[x.partition]))
		last[x.partition] = x.at
	}
	for _, at := range last {
		longest = max(longest, to.Sub(at))
	}
	return longest
}

// back is how long after a time something was written to every partition; -1 = not to all of them.
func (a timeline) back(partitions int, after time.Time) (longest time.Duration) {
	seen := map[int32]bool{}
	for _, x := range a.written() {
		if x.at.After(after) && !seen[x.partition] {
			seen[x.partition] = true
			longest = max(longest, x.at.Sub(after))
		}
	}
	if len(seen) < partitions {
		return -1
	}
	return longest
}

// percentile is how long so many in a hundred took at most.
func (a timeline) percentile(n int) time.Duration {
	if len(a) == 0 {
		return 0
	}
	took := make([]time.Duration, len(a))
	for i, x := range a {
		took[i] = x.at.Sub(x.sent)
	}
	slices.Sort(took)
	return took[min(len(took)*n/100, len(took)-1)]
}

// count is how many have a status.
func (a timeline) count(s autobus.Status) (n int) {
	for _, x := range a {
		if x.status == s {
			n++
		}
	}
	return n
}

// watchEnds looks at the ends of the log all the time, for the history, until stop is called.
func watchEnds(t *testing.T, k *bustest.Kafka, l *load) (stop func()) {
	t.Helper()
	log := k.Open(t)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(500 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			asking, cancel := context.WithTimeout(ctx, 3*time.Second)
			if ends, err := log.Ends(asking, l.typ); err == nil {
				l.history.Ends(ends)
			}
			cancel()
		}
	}()
	stop = func() {
		cancel()
		<-done
	}
	t.Cleanup(stop)
	return stop
}

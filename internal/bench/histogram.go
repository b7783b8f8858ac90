// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"math"
	"math/bits"
	"time"
)

// Resolution of a histogram: each power of two of nanoseconds has so many buckets, so a value is off by less than 1 %.
const (
	subBits = 7
	subs    = 1 << subBits
)

// histogram counts durations. The zero value is ready; one goroutine uses it.
type histogram struct {
	counts [(64 - subBits) * subs]uint32
	n      int64
	max    time.Duration
}

func (h *histogram) add(d time.Duration) {
	d = max(d, 0)
	h.counts[bucket(uint64(d))]++
	h.n++
	h.max = max(h.max, d)
}

func (h *histogram) merge(o *histogram) {
	for i, c := range o.counts {
		h.counts[i] += c
	}
	h.n += o.n
	h.max = max(h.max, o.max)
}

// quantile is the value that the given share of all does not exceed; 0 without any.
func (h *histogram) quantile(q float64) time.Duration {
	rank := int64(math.Ceil(q * float64(h.n)))
	for i, c := range h.counts {
		if rank -= int64(c); rank <= 0 && c > 0 {
			return min(upper(i), h.max)
		}
	}
	return h.max
}

func bucket(v uint64) int {
	if v < subs {
		return int(v)
	}
	shift := bits.Len64(v) - subBits - 1
	return shift*subs + int(v>>shift)
}

// upper is the largest value of a bucket.
func upper(i int) time.Duration {
	if i < 2*subs {
		return time.Duration(i)
	}
	shift := i/subs - 1
	return time.Duration(uint64(i-shift*subs+1)<<shift - 1)
}

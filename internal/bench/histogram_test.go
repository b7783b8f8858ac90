// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// A quantile is never below the true one and at most 1 % above it.
func TestQuantiles(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	var a, b histogram
	var all []time.Duration
	for i := range 20_000 {
		d := time.Duration(math.Exp(random.Float64() * 25)) // 1 ns to 72 s
		all = append(all, d)
		if i%2 == 0 {
			a.add(d)
		} else {
			b.add(d)
		}
	}
	a.merge(&b)
	slices.Sort(all)
	for _, q := range []float64{0.001, 0.5, 0.9, 0.99, 0.9999, 1} {
		want := all[int(math.Ceil(q*float64(len(all))))-1]
		if got := a.quantile(q); got < want || float64(got) > 1.01*float64(want)+1 {
			t.Errorf("quantile %g is %d, want %d", q, got, want)
		}
	}
	if a.n != 20_000 || a.max != all[len(all)-1] {
		t.Errorf("%d values, max %s", a.n, a.max)
	}
}

func TestBucketsAreInOrder(t *testing.T) {
	for _, v := range []uint64{0, 1, 127, 128, 255, 256, 257, 1 << 20, 1<<63 - 1} {
		i := bucket(v)
		if up := uint64(upper(i)); up < v || i > 0 && uint64(upper(i-1)) >= v {
			t.Errorf("%d is in bucket %d, which ends at %d", v, i, up)
		}
	}
	var h histogram
	if h.add(math.MaxInt64); h.quantile(0.5) != math.MaxInt64 {
		t.Error("the longest duration is lost")
	}
	if empty := new(histogram); empty.quantile(0.5) != 0 {
		t.Error("an empty histogram has a quantile")
	}
}

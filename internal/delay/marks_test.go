// SPDX-License-Identifier: Apache-2.0

package delay

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

// TestMarksModel holds the marks, through commits and reassignments, against a set of offsets that are done.
func TestMarksModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		start := int64(rapid.IntRange(0, 200).Draw(t, "start"))
		m := marks{base: start, next: start}
		done := map[int64]bool{}
		next := start
		t.Repeat(map[string]func(*rapid.T){
			"read": func(t *rapid.T) {
				gap := int64(rapid.SampledFrom([]int{0, 0, 0, 1, 70}).Draw(t, "gap"))
				for o := next; o < next+gap; o++ {
					done[o] = true
				}
				next += gap + 1
				m.read(next - 1)
			},
			"done": func(t *rapid.T) {
				if next > start {
					o := start + int64(rapid.IntRange(0, int(next-start-1)).Draw(t, "offset"))
					done[o] = true
					m.set(o)
				}
			},
			"settle": func(*rapid.T) { m.settle() },
			"reassign": func(t *rapid.T) {
				var err error
				if m, err = decodeMarks(m.base, m.encode()); err != nil {
					t.Fatal(err)
				}
				for o := m.base; o < next; o++ { // all is read again from the base on
					m.read(o)
				}
			},
			"": func(t *rapid.T) {
				for o := start; o < next; o++ {
					if m.has(o) != done[o] {
						t.Fatalf("offset %d: done %t, want %t (base %d)", o, m.has(o), done[o], m.base)
					}
				}
			},
		})
		m.settle()
		first := start
		for done[first] {
			first++
		}
		if m.base != first {
			t.Fatalf("the base is %d, the first undone offset %d", m.base, first)
		}
	})
}

func TestMarksFitIntoACommit(t *testing.T) {
	m := marks{}
	for o := range int64(maxSpan + unsorted + 1000) { // what arrived before the partition was paused counts too
		m.read(o)
		if o%2 == 1 {
			m.set(o)
		}
	}
	m.settle()
	if n := len(m.encode()); n > 4096 {
		t.Errorf("%d bytes of metadata, at most 4096 are stored", n)
	}
}

func TestAMutatedCommitIsFound(t *testing.T) {
	m := marks{}
	m.read(100)
	m.set(17)
	good := m.encode()
	for i := len(marksForm); i < len(good); i++ {
		bad := []byte(good)
		bad[i] ^= 1
		if _, err := decodeMarks(0, string(bad)); err == nil {
			t.Errorf("byte %d changed, and it is read: %s", i, bad)
		}
	}
}

// TestTiersAreNeverLate walks a record through the tiers, each hop as late as it may be.
func TestTiersAreNeverLate(t *testing.T) {
	c := Config{Name: Group}
	rapid.Check(t, func(t *rapid.T) {
		left := time.Duration(rapid.Int64Range(0, int64(Longest)).Draw(t, "left"))
		hops := 0
		for {
			tier := c.tierFor(left)
			if c.tierOf(tier.topic) != tier {
				t.Fatalf("%+v is read as %+v", tier, c.tierOf(tier.topic))
			}
			if tier.hold == 0 {
				if left > near {
					t.Fatalf("%s left is held in memory", left)
				}
				break
			}
			left -= tier.hold + time.Duration(rapid.Int64Range(0, int64(lead)).Draw(t, "late"))
			if hops++; left < 0 || hops > 100 {
				t.Fatalf("after %d hops %s are left", hops, left)
			}
		}
	})
}

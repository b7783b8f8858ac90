// SPDX-License-Identifier: Apache-2.0

package bus

// places finds claims in a memory: an open-addressed table with linear probing. A map does the same and touches four
// lines of memory that are in no cache where this touches one, twice for each event that is published.
//
// A slot is 0 when it is empty, else 31 bits of the claim, which also say where its search begins, a 1, and the low 32
// bits of the place. The claim itself is compared in the memory.
type places struct {
	memory *memory
	slots  []uint64
	used   int
}

// newPlaces makes a table for up to limit claims, at most half full.
func newPlaces(m *memory, limit int) places {
	size := 16
	for size < 2*limit {
		size *= 2
	}
	return places{memory: m, slots: make([]uint64, size)}
}

func tagOf(c claim) uint64 { return c[0]>>32<<32 | 1<<32 }

func (p *places) home(slot uint64) int { return int(slot>>33) & (len(p.slots) - 1) }

// place widens what a slot has of it: those in the memory are less than 2^32 apart.
func (p *places) place(slot uint64) uint64 {
	return p.memory.first + uint64(uint32(slot)-uint32(p.memory.first))
}

// find gives the slot of a claim, or the empty one where its search ends.
func (p *places) find(c claim) (i int, found bool) {
	tag := tagOf(c)
	for i = p.home(tag); p.slots[i] != 0; i = (i + 1) & (len(p.slots) - 1) {
		if s := p.slots[i]; s>>32<<32 == tag && p.memory.at(p.place(s)).claim == c {
			return i, true
		}
	}
	return i, false
}

func (p *places) get(c claim) (place uint64, known bool) {
	i, known := p.find(c)
	if !known {
		return 0, false
	}
	return p.place(p.slots[i]), true
}

// put notes where a claim stands now.
func (p *places) put(c claim, place uint64) {
	i, known := p.find(c)
	if !known {
		p.used++
	}
	p.slots[i] = tagOf(c) | uint64(uint32(place))
}

// remove takes a claim out, and moves up what its slot pushed on.
func (p *places) remove(c claim) {
	hole, known := p.find(c)
	if !known {
		return
	}
	p.used--
	mask := len(p.slots) - 1
	for i := (hole + 1) & mask; p.slots[i] != 0; i = (i + 1) & mask {
		// It may move up unless its search begins behind the hole.
		if (i-p.home(p.slots[i]))&mask >= (i-hole)&mask {
			p.slots[hole] = p.slots[i]
			hole = i
		}
	}
	p.slots[hole] = 0
}

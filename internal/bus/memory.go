// SPDX-License-Identifier: Apache-2.0

package bus

import "time"

// written is an event that was written, or is being, as the table of duplicates remembers it. It has no pointers, nor
// has the table around it: half a million of them are nothing to the garbage collector, which otherwise takes a quarter
// of the processor.
type written struct {
	claim     claim
	content   uint64
	topic     [16]byte
	partition int32
	state     state
	offset    int64         // while it is pending the number of its turn
	at        time.Duration // since the table began
}

type state byte

const (
	gone    state = iota // an attempt that wrote nothing, or may have
	pending              // under way
	kept
)

func (w *written) turn() uint64 { return uint64(w.offset) }

// memory is a queue of what was written. Each has a place, and places count up for ever.
type memory struct {
	chunks      []*[chunkSize]written
	spare       *[chunkSize]written
	base        uint64 // place of the first in chunks
	first, next uint64 // those that are there: first <= place < next
}

const chunkSize = 4096

func (m *memory) size() int { return int(m.next - m.first) }

func (m *memory) at(place uint64) *written {
	n := place - m.base
	return &m.chunks[n/chunkSize][n%chunkSize]
}

// oldest is the next to be dropped, when there is any.
func (m *memory) oldest() *written { return m.at(m.first) }

func (m *memory) add(w written) (place uint64) {
	if m.next == m.base+uint64(len(m.chunks))*chunkSize {
		if m.spare == nil {
			m.spare = new([chunkSize]written)
		}
		m.chunks, m.spare = append(m.chunks, m.spare), nil
	}
	place = m.next
	m.next++
	*m.at(place) = w
	return place
}

// trim gives back the places at the end of which nothing came, so that what is refused pushes nothing out.
func (m *memory) trim() {
	for m.next > m.first && m.at(m.next-1).state == gone {
		m.next--
	}
}

func (m *memory) drop() {
	m.first++
	if m.first == m.base+chunkSize {
		m.spare, m.chunks[0] = m.chunks[0], nil
		m.chunks = m.chunks[1:]
		m.base = m.first
	}
}

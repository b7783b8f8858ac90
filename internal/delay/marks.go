// SPDX-License-Identifier: Apache-2.0

package delay

import (
	"encoding/base64"
	"errors"
	"fmt"
	"hash/crc32"
	"strings"
)

// maxSpan is how many offsets a partition may be ahead of its first undone one: as many as a commit can tell of, whose
// metadata may have 4,096 bytes.
const maxSpan = 20_000

// marks tells which offsets of a partition are done: all below base, and some above it.
type marks struct {
	base int64
	next int64    // what was read ends before it
	done []uint64 // from base on, a bit each
}

func (m *marks) has(offset int64) bool {
	n := offset - m.base
	return n < 0 || int(n/64) < len(m.done) && m.done[n/64]&(1<<(n%64)) != 0
}

// read notes that an offset was read. Those before it that never came do not exist: they are done.
func (m *marks) read(offset int64) {
	for ; m.next < offset; m.next++ {
		m.set(m.next)
	}
	m.next = max(m.next, offset+1)
}

func (m *marks) set(offset int64) {
	n := offset - m.base
	if n < 0 {
		return
	}
	for int(n/64) >= len(m.done) {
		m.done = append(m.done, 0)
	}
	m.done[n/64] |= 1 << (n % 64)
}

// settle lets the base go on over what is done. Whole words leave, so it is asked after each batch and not each record.
func (m *marks) settle() {
	for len(m.done) > 0 && m.done[0] == ^uint64(0) {
		m.done = m.done[1:]
		m.base += 64
	}
	if len(m.done) == 0 {
		m.done = nil
		return
	}
	shift := 0
	for m.done[0]&(1<<shift) != 0 {
		shift++
	}
	if shift == 0 {
		return
	}
	m.base += int64(shift)
	for i := range m.done {
		m.done[i] >>= shift
		if i+1 < len(m.done) {
			m.done[i] |= m.done[i+1] << (64 - shift)
		}
	}
	for n := len(m.done); n > 0 && m.done[n-1] == 0; n = len(m.done) {
		m.done = m.done[:n-1]
	}
}

func (m *marks) span() int64 { return m.next - m.base }

const marksForm = "d1."

// encode is the metadata of a commit of base.
func (m *marks) encode() string {
	if len(m.done) == 0 {
		return marksForm
	}
	raw := make([]byte, 0, len(m.done)*8)
	for _, w := range m.done {
		for i := range 8 {
			raw = append(raw, byte(w>>(8*i)))
		}
	}
	for n := len(raw); n > 0 && raw[n-1] == 0; n = len(raw) {
		raw = raw[:n-1]
	}
	return fmt.Sprintf("%s%08x.%s", marksForm, crc32.ChecksumIEEE(raw), base64.RawStdEncoding.EncodeToString(raw))
}

var errMarks = errors.New("the commit's metadata cannot be read")

// decodeMarks reads a commit. What cannot be read says nothing: then all from base on comes again.
func decodeMarks(base int64, metadata string) (marks, error) {
	m := marks{base: base, next: base}
	text, ok := strings.CutPrefix(metadata, marksForm)
	if !ok {
		return m, errMarks
	}
	if text == "" {
		return m, nil
	}
	sum, text, _ := strings.Cut(text, ".")
	raw, err := base64.RawStdEncoding.DecodeString(text)
	if err != nil || fmt.Sprintf("%08x", crc32.ChecksumIEEE(raw)) != sum {
		return m, errMarks
	}
	for i, b := range raw {
		for bit := range 8 {
			if b&(1<<bit) != 0 {
				m.set(base + int64(i*8+bit))
			}
		}
	}
	return m, nil
}

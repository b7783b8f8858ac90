// SPDX-License-Identifier: Apache-2.0

package ledger

import "bytes"

// Ledger holds the states of one partition incarnation in little more than 2 KiB. It is not safe for concurrent use.
type Ledger struct {
	base, next int64
	top        int64 // one past the last offset whose state is not untouched
	undone     int   // seen and not done
	changes    uint64
	saved      uint64

	seekEpoch, incarnation uint32
	vectors                []byte

	// The states from base on. An offset's place is its remainder by MaxSpan; places that stand for no offset between
	// base and top are untouched.
	states [MaxSpan / 2]byte
}

// New makes a ledger for a partition of which nothing is known but where to begin.
func New(base int64, seekEpoch, incarnation uint32) *Ledger {
	// Not saved is the incarnation itself.
	return &Ledger{base: base, next: base, seekEpoch: seekEpoch, incarnation: incarnation, changes: 1}
}

// Resume makes a ledger from a position read back: under a new incarnation, with the states of the position as claims.
func Resume(p Position, incarnation uint32) *Ledger {
	l := New(p.Base, p.SeekEpoch, incarnation)
	l.vectors = bytes.Clone(p.vectors) // a part would hold the whole
	for i := range p.count {
		offset := p.first + int64(i)
		if offset >= l.base && offset-l.base < MaxSpan {
			l.set(offset, nibble(p.states, i))
		}
	}
	return l
}

// Base is the first offset that is not done; everything below it is.
func (l *Ledger) Base() int64 { return l.base }

// Next is the first offset that was not seen yet.
func (l *Ledger) Next() int64 { return l.next }

// Span is the number of offsets from Base to Next.
func (l *Ledger) Span() int { return int(l.next - l.base) }

// Room is how far the span may still grow.
func (l *Ledger) Room() int { return MaxSpan - l.Span() }

// Undone is the number of offsets that were seen and are not done.
func (l *Ledger) Undone() int { return l.undone }

// Sight is what See tells of an offset.
type Sight int

// What See tells.
const (
	SeenUndone Sight = iota // to be delivered
	SeenDone                // it was done in an earlier incarnation
	SeenAgain               // it is below Next, so it was seen before: nothing changed
	NoRoom                  // it is MaxSpan or more above Base and was not seen: come again when Base has moved
)

// See passes the fetch on to a record at offset. Offsets between Next and it do not exist (compaction, markers of
// transactions) and are done. With SeenUndone come the attempts that earlier incarnations counted.
//
// NoRoom is for a hole as well, where undone offsets stand before it and the record beyond it is out of reach. Next
// then moves as far as the span allows, so Room is 0 whenever NoRoom was said, and Next is not beyond the record: to
// keep it and to fetch it again are both right. With nothing undone a hole of any size is passed.
func (l *Ledger) See(offset int64) (s Sight, attempts int) {
	if offset < l.next {
		return SeenAgain, 0
	}
	l.pass(offset)
	if l.Room() == 0 {
		return NoRoom, 0
	}
	l.next++
	if state := l.state(offset); state != done {
		l.undone++
		return SeenUndone, int(state)
	}
	l.advance()
	return SeenDone, 0
}

// pass moves Next over offsets that do not exist, up to the given one unless there is no room before.
func (l *Ledger) pass(offset int64) {
	if l.base == l.next { // nothing is undone: the base goes along
		if offset == l.base {
			return
		}
		for o := l.base; o < offset && o-l.base < MaxSpan; o++ {
			l.clear(o)
		}
		l.base, l.next = offset, offset
		l.changes++
		return
	}
	for l.next < offset && l.Room() > 0 {
		l.set(l.next, done)
		l.next++
	}
}

// Attempt records that n attempts to deliver offset were counted. It never lowers a count, counts no further than
// MaxAttempts, and leaves alone what is done or was not seen.
func (l *Ledger) Attempt(offset int64, n int) {
	if n = min(n, MaxAttempts); l.isUndone(offset) && n > int(l.state(offset)) {
		l.set(offset, byte(n))
	}
}

// Attempts is how many attempts were counted of an undone offset; 0 for others.
func (l *Ledger) Attempts(offset int64) int {
	if !l.isUndone(offset) {
		return 0
	}
	return int(l.state(offset))
}

// Done records that offset needs no more deliveries and moves Base over what is done. It reports whether that is news;
// an offset that was not seen cannot be done.
func (l *Ledger) Done(offset int64) bool {
	if !l.isUndone(offset) {
		return false
	}
	l.set(offset, done)
	l.undone--
	l.advance()
	return true
}

// IsDone reports whether offset is done. What was not seen is not, whatever is claimed of it.
func (l *Ledger) IsDone(offset int64) bool { return offset < l.next && !l.isUndone(offset) }

// Dirty reports whether something changed since the latest Encode that Saved confirmed. A new ledger is dirty.
func (l *Ledger) Dirty() bool { return l.changes != l.saved }

// Seq numbers the changes: once Saved was told of it, or of a later one, all that happened until now is committed.
func (l *Ledger) Seq() uint64 { return l.changes }

// Saved tells that what Encode gave with seq is committed. Changes since that Encode stay dirty.
func (l *Ledger) Saved(seq uint64) {
	if seq <= l.changes {
		l.saved = max(l.saved, seq)
	}
}

func (l *Ledger) isUndone(offset int64) bool {
	return offset >= l.base && offset < l.next && l.state(offset) != done
}

func (l *Ledger) advance() {
	for l.base < l.next && l.state(l.base) == done {
		l.clear(l.base) // its place is the one of base + MaxSpan from now on
		l.base++
		l.changes++
	}
}

func (l *Ledger) set(offset int64, state byte) {
	if l.state(offset) == state { // a hole that an earlier incarnation passed, too
		return
	}
	setNibble(l.states[:], place(offset), state)
	l.top = max(l.top, offset+1)
	l.changes++
}

func (l *Ledger) clear(offset int64) { setNibble(l.states[:], place(offset), untouched) }

func (l *Ledger) state(offset int64) byte { return nibble(l.states[:], place(offset)) }

func place(offset int64) int { return int(offset & (MaxSpan - 1)) }

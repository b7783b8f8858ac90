// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"strings"
)

// Why Decode gives no position. In all cases but ErrVersion the way on is to deliver everything from the committed
// offset again.
var (
	ErrNone    = errors.New("the commit has no metadata")
	ErrDoubt   = errors.New("the commit's metadata is not to be trusted")
	ErrVersion = errors.New("the commit's metadata was written by a newer version")
)

// Sizes of the parts of version 1, see the package comment.
const (
	version     = 1
	headerBytes = 1 + 8 + 4 + 4 + 2
	maxVectors  = 900
	sumBytes    = 4
)

// Position is what a commit says of a partition. Its states belong to offsets, not to Base: where something else is
// known to be further on, Base may be raised, and each state stays where it was.
type Position struct {
	Base                   int64
	SeekEpoch, Incarnation uint32

	first   int64 // the offset of the first state
	count   int   // of states
	states  []byte
	vectors []byte
}

// End is one past the last offset that the position says anything of. It says nothing of what was not in the log: where
// the log ends before End, it is not the log that the position was written for, which is a doubt like any other.
func (p Position) End() int64 { return max(p.Base, p.first+int64(p.count)) }

// DoneAbove is how many offsets from Base on the position claims done.
func (p Position) DoneAbove() int { return p.DoneIn(p.Base, math.MaxInt64) }

// DoneIn is how many offsets of [from, to) above Base the position claims done.
func (p Position) DoneIn(from, to int64) int {
	n := 0
	for i := range p.count {
		if at := p.first + int64(i); at >= max(from, p.Base) && at < to && nibble(p.states, i) == done {
			n++
		}
	}
	return n
}

// IsDone reports whether an offset is done, as far as the position knows.
func (p Position) IsDone(offset int64) bool { return offset < p.Base || p.DoneIn(offset, offset+1) > 0 }

// Encode gives the offset and the metadata to commit; seq is for Saved.
func (l *Ledger) Encode() (base int64, metadata string, seq uint64) {
	count := int(max(0, l.top-l.base))
	b := make([]byte, 0, headerBytes+(count+1)/2+2+len(l.vectors)+sumBytes)
	b = append(b, version)
	b = binary.BigEndian.AppendUint64(b, uint64(l.base))
	b = binary.BigEndian.AppendUint32(b, l.seekEpoch)
	b = binary.BigEndian.AppendUint32(b, l.incarnation)
	b = binary.BigEndian.AppendUint16(b, uint16(count))
	states := b[len(b) : len(b)+(count+1)/2]
	for i := range count {
		setNibble(states, i, l.state(l.base+int64(i)))
	}
	b = b[:len(b)+len(states)]
	b = binary.BigEndian.AppendUint16(b, uint16(len(l.vectors)))
	b = append(b, l.vectors...)
	b = binary.BigEndian.AppendUint32(b, sum(b))
	return l.base, base64.RawStdEncoding.EncodeToString(b), l.Seq()
}

// Decode reads a commit back. Whatever is not exactly as Encode writes it is an error: ErrNone without metadata,
// ErrVersion when a newer build wrote it (which this one must not guess at: it leaves the partition alone), else
// ErrDoubt. Someone else's metadata is ErrDoubt, not ErrVersion, unless it holds a right checksum by chance.
func Decode(offset int64, metadata string) (Position, error) {
	if metadata == "" {
		return Position{}, ErrNone
	}
	body, err := open(metadata)
	if err != nil {
		return Position{}, err
	}
	if len(body) < headerBytes {
		return Position{}, doubt("it is cut short")
	}
	p := Position{
		Base:        int64(binary.BigEndian.Uint64(body[1:])),
		SeekEpoch:   binary.BigEndian.Uint32(body[9:]),
		Incarnation: binary.BigEndian.Uint32(body[13:]),
		count:       int(binary.BigEndian.Uint16(body[17:])),
	}
	p.first = p.Base
	switch {
	case p.Base != offset:
		return Position{}, doubt("it is of offset %d, the commit of %d", p.Base, offset)
	case p.Base < 0 || p.Base > math.MaxInt64-MaxSpan: // no sum of an offset and a span may overflow
		return Position{}, doubt("no log has offset %d", p.Base)
	case p.count > MaxSpan:
		return Position{}, doubt("%d states are more than %d", p.count, MaxSpan)
	}
	rest, size := body[headerBytes:], (p.count+1)/2
	if len(rest) < size+2 {
		return Position{}, doubt("it is cut short")
	}
	p.states, p.vectors = rest[:size:size], rest[size+2:]
	switch length := int(binary.BigEndian.Uint16(rest[size:])); {
	case length > maxVectors:
		return Position{}, doubt("%d bytes of vectors are more than %d", length, maxVectors)
	case length != len(p.vectors):
		return Position{}, doubt("%d bytes stand where %d were announced", len(p.vectors), length)
	case p.count%2 == 1 && nibble(p.states, p.count) != 0:
		return Position{}, doubt("a state stands behind the last")
	case p.count > 0 && nibble(p.states, p.count-1) == untouched:
		return Position{}, doubt("the last state says nothing")
	}
	return p, nil
}

// open takes off the frame that all versions share, and gives what is before the checksum.
func open(metadata string) (body []byte, err error) {
	if len(metadata) > MaxMetadata {
		return nil, doubt("it has %d characters, more than %d", len(metadata), MaxMetadata)
	}
	b, err := base64.RawStdEncoding.Strict().DecodeString(metadata)
	if err != nil || strings.ContainsAny(metadata, "\r\n") { // which the decoder passes over
		return nil, doubt("it is not base64")
	}
	if len(b) <= sumBytes {
		return nil, doubt("it is cut short")
	}
	body = b[:len(b)-sumBytes]
	if binary.BigEndian.Uint32(b[len(body):]) != sum(body) {
		return nil, doubt("its checksum is wrong")
	}
	switch v := body[0]; {
	case v > version:
		return nil, fmt.Errorf("%w: %d, this build reads %d", ErrVersion, v, version)
	case v < version:
		return nil, doubt("there is no version %d", v)
	}
	return body, nil
}

func sum(b []byte) uint32 { return crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)) }

func doubt(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrDoubt, fmt.Sprintf(format, args...))
}

// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"encoding/binary"
	"math"

	"github.com/autobus-io/autobus"
)

// What the byte before a receipt says. Only the written ones have a place.
const (
	codeWritten = iota
	codeDuplicate
	codeRefused
	codeUnknown
)

// AppendReceipt appends what became of one event: a byte, and for a written one partition and offset as uvarints. Why
// it was not written stands in the frame's header.
func AppendReceipt(dst []byte, r autobus.Receipt) []byte {
	code := byte(codeUnknown)
	switch {
	case r.Status == autobus.Written && r.Duplicate:
		code = codeDuplicate
	case r.Status == autobus.Written:
		code = codeWritten
	case r.Status == autobus.Refused:
		code = codeRefused
	}
	dst = append(dst, code)
	if r.Status == autobus.Written {
		dst = binary.AppendUvarint(dst, uint64(uint32(r.Partition)))
		dst = binary.AppendUvarint(dst, uint64(r.Offset))
	}
	return dst
}

// ReadReceipts reads the receipts of a frame, of which there are to be as many as events.
func ReadReceipts(body []byte, events int, receipt func(i int, r autobus.Receipt)) *autobus.Error {
	for i := range events {
		if len(body) == 0 {
			return invalid("%d receipts for %d events", i, events)
		}
		var r autobus.Receipt
		code := body[0]
		body = body[1:]
		switch code {
		case codeWritten, codeDuplicate:
			r.Status, r.Duplicate = autobus.Written, code == codeDuplicate
			partition, n := binary.Uvarint(body)
			offset, m := binary.Uvarint(body[max(n, 0):])
			if n <= 0 || m <= 0 || partition > math.MaxInt32 || offset > math.MaxInt64 {
				return invalid("receipt %d has no place", i)
			}
			r.Partition, r.Offset = int32(partition), int64(offset)
			body = body[n+m:]
		case codeRefused:
			r.Status = autobus.Refused
		case codeUnknown:
			r.Status = autobus.Unknown
		default:
			return invalid("receipt %d says %d", i, code)
		}
		receipt(i, r)
	}
	if len(body) > 0 {
		return invalid("%d bytes follow the receipts", len(body))
	}
	return nil
}

// AppendOffset appends the offset of one record that an ack names, as a zigzag varint of its distance to the one
// before; the first to 0.
func AppendOffset(dst []byte, before, offset int64) []byte {
	return binary.AppendVarint(dst, offset-before)
}

// ReadOffsets reads the offsets of an ack.
func ReadOffsets(body []byte, yield func(offset int64)) *autobus.Error {
	var at int64
	for len(body) > 0 {
		step, n := binary.Varint(body)
		if n <= 0 || step > 0 && at > math.MaxInt64-step || at+step < 0 {
			return invalid("the offsets cannot be read")
		}
		body = body[n:]
		at += step
		yield(at)
	}
	return nil
}

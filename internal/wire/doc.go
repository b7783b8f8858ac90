// SPDX-License-Identifier: Apache-2.0

// Package wire is the byte layout of the WebSocket's binary frames, for the server (edge/ws) and for clients alike. The
// table is docs/reference/frames.md; the files in testdata hold it still.
//
//	u32      length of the header, big-endian
//	bytes    header: one JSON object, what the whole frame has in common
//	bytes    body: events as records in Kafka's layout, or numbers
//
// It owns how events, receipts and outcomes become bytes. It refuses to know what an operation does, who asks for it,
// and how frames travel. What it cannot read is a *autobus.Error with ReasonFrameInvalid, or, where one event alone is
// wrong, that event's own refusal.
package wire

import (
	"encoding/binary"

	"github.com/autobus-io/autobus"
)

// headerLength is how many bytes tell the length of the header.
const headerLength = 4

// Split cuts a frame into header and body, both slices of it.
func Split(frame []byte) (header, body []byte, err *autobus.Error) {
	if len(frame) < headerLength {
		return nil, nil, invalid("%d bytes are no frame", len(frame))
	}
	n := binary.BigEndian.Uint32(frame)
	rest := frame[headerLength:]
	if uint64(n) > uint64(len(rest)) {
		return nil, nil, invalid("the header is to have %d bytes, %d are left", n, len(rest))
	}
	return rest[:n], rest[n:], nil
}

// AppendHeader begins a frame; the body is what is appended after it.
func AppendHeader(dst, header []byte) []byte {
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(header)))
	return append(dst, header...)
}

func invalid(format string, args ...any) *autobus.Error {
	return autobus.NewError(autobus.ReasonFrameInvalid, format, args...)
}

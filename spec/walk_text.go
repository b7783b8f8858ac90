// SPDX-License-Identifier: Apache-2.0

package spec

import (
	"encoding/binary"
	"math/bits"
	"unicode/utf8"
)

// What a string is made of.
const (
	asciiText   = iota
	utf8Text    // and has no escapes
	escapedText // and may be anything
)

// text passes over a string, from behind its quote.
func (w *walker) text(t *textRule, i int) int {
	end, form := textEnd(w.data, i)
	if end < 0 {
		return stop
	}
	if t.any {
		return end + 1
	}
	text := w.data[i:end]
	if form == escapedText {
		text = appendUnescaped(nil, text)
	}
	if !t.accepts(text, form == asciiText) {
		return stop
	}
	return end + 1
}

// textEnd gives the closing quote of a string whose first byte is at i, stop when it is not as CheckJSON wants it.
func textEnd(d []byte, i int) (end, form int) {
	for {
		if i = plainEnd(d, i); i >= len(d) {
			return stop, form
		}
		switch c := d[i]; {
		case c == '"':
			return i, form
		case c == '\\':
			n, rule := escapeLen(d[i:])
			if rule != "" {
				return stop, form
			}
			form = escapedText
			i += n
		case c < ' ':
			return stop, form
		default:
			_, n := utf8.DecodeRune(d[i:])
			if n == 1 {
				return stop, form
			}
			form = max(form, utf8Text)
			i += n
		}
	}
}

// plainEnd passes over ASCII that stands for itself, eight bytes at a time: the highest bit of a byte in special says
// that it is a quote, a backslash, a control character or not ASCII. Only the first one is exact, as a subtraction may
// borrow from the byte behind it.
func plainEnd(d []byte, i int) int {
	const ones, high = 0x0101010101010101, 0x8080808080808080
	for ; len(d)-i >= 8; i += 8 {
		x := binary.LittleEndian.Uint64(d[i:])
		quote, slash := x^ones*'"', x^ones*'\\'
		special := ((quote-ones)&^quote | (slash-ones)&^slash | (x-ones*' ')&^x | x) & high
		if special != 0 {
			return i + bits.TrailingZeros64(special)/8
		}
	}
	for i < len(d) && d[i] >= ' ' && d[i] < utf8.RuneSelf && d[i] != '"' && d[i] != '\\' {
		i++
	}
	return i
}

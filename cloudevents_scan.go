// SPDX-License-Identifier: Apache-2.0

package autobus

import (
	"bytes"
	"encoding/json"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// scanner finds the members of one JSON object or the elements of one JSON array without looking into their values: a
// value is found by its brackets and quotes. encoding/json would copy each value and cannot tell duplicate names.
type scanner struct {
	raw []byte
	pos int
}

// SplitBatch gives the elements of a JSON array as parts of raw, for the batched JSON format. Each element still has
// to be parsed: what is wrong inside of one is not found here.
func SplitBatch(raw []byte) ([][]byte, *Error) {
	s := scanner{raw: raw}
	if !s.next('[') {
		return nil, s.unreadable("a JSON array of events is expected")
	}
	var items [][]byte
	if s.next(']') {
		return items, s.end()
	}
	for {
		value, ok := s.value()
		if !ok {
			return nil, s.unreadable("an event is expected")
		}
		if len(items) == MaxBatchEvents {
			// Not counted to the end: eight megabytes hold millions of elements.
			return nil, NewError(ReasonBatchTooLarge, "the batch has more than %d events", MaxBatchEvents)
		}
		items = append(items, value)
		if s.next(']') {
			return items, s.end()
		}
		if !s.next(',') {
			return nil, s.unreadable("a comma or the end of the array is expected")
		}
	}
}

func (s *scanner) object(member func(name string, value []byte)) *Error {
	if !s.next('{') {
		if json.Valid(s.raw) {
			return NewError(ReasonEventInvalid, "an event is a JSON object, this is not one")
		}
		return s.unreadable("a JSON object is expected")
	}
	if s.next('}') {
		return s.end()
	}
	for {
		quoted, ok := s.value()
		name, isString := unquote(quoted)
		if !ok || !isString {
			return s.unreadable("the name of an attribute is expected")
		}
		if !s.next(':') {
			return s.unreadable("a colon is expected")
		}
		value, ok := s.value()
		if !ok {
			return s.unreadable("a value is expected")
		}
		member(name, value)
		if s.next('}') {
			return s.end()
		}
		if !s.next(',') {
			return s.unreadable("a comma or the end of the object is expected")
		}
	}
}

// next skips white space and then c, when it is there.
func (s *scanner) next(c byte) bool {
	s.space()
	if s.pos < len(s.raw) && s.raw[s.pos] == c {
		s.pos++
		return true
	}
	return false
}

func (s *scanner) space() {
	for s.pos < len(s.raw) && isSpace(s.raw[s.pos]) {
		s.pos++
	}
}

func (s *scanner) end() *Error {
	s.space()
	if s.pos < len(s.raw) {
		return s.unreadable("nothing more is expected")
	}
	return nil
}

func (s *scanner) unreadable(want string) *Error {
	return NewError(ReasonBodyUnreadable, "not readable as JSON at byte %d: %s", s.pos, want)
}

// value skips one value, as far as brackets and quotes tell, and gives its bytes.
func (s *scanner) value() ([]byte, bool) {
	s.space()
	start, depth := s.pos, 0
	for s.pos < len(s.raw) {
		switch c := s.raw[s.pos]; {
		case c == '"':
			if !s.skipString() {
				return nil, false
			}
			if depth == 0 {
				return s.raw[start:s.pos], true
			}
			continue
		case c == '{', c == '[':
			depth++
		case depth > 0 && (c == '}' || c == ']'):
			if depth--; depth == 0 {
				s.pos++
				return s.raw[start:s.pos], true
			}
		case depth == 0:
			return s.scalar()
		}
		s.pos++
	}
	return nil, false
}

func (s *scanner) skipString() bool {
	for i := s.pos + 1; i < len(s.raw); i++ {
		switch s.raw[i] {
		case '\\':
			i++
		case '"':
			s.pos = i + 1
			return true
		}
	}
	return false
}

func (s *scanner) scalar() ([]byte, bool) {
	start := s.pos
	for s.pos < len(s.raw) && !isSpace(s.raw[s.pos]) && bytes.IndexByte([]byte(`,:{}[]"`), s.raw[s.pos]) < 0 {
		s.pos++
	}
	return s.raw[start:s.pos], s.pos > start
}

func isSpace(c byte) bool { return c == ' ' || c == '\t' || c == '\n' || c == '\r' }

func isNull(value []byte) bool { return string(value) == "null" }

// unquote reads a JSON string strictly: valid UTF-8, no raw control bytes, no lone surrogates, which encoding/json
// would silently replace.
func unquote(quoted []byte) (string, bool) {
	if len(quoted) < 2 || quoted[0] != '"' || quoted[len(quoted)-1] != '"' {
		return "", false
	}
	in := quoted[1 : len(quoted)-1]
	escaped := false
	for _, c := range in {
		if c < ' ' {
			return "", false
		}
		escaped = escaped || c == '\\'
	}
	if !utf8.Valid(in) {
		return "", false
	}
	if !escaped {
		return string(in), true
	}
	out := make([]byte, 0, len(in))
	for i := 0; i < len(in); i++ {
		if in[i] != '\\' {
			out = append(out, in[i])
			continue
		}
		if i++; i == len(in) {
			return "", false
		}
		if in[i] == 'u' {
			r, n := unescape(in[i-1:])
			if n == 0 {
				return "", false
			}
			out = utf8.AppendRune(out, r)
			i += n - 2
			continue
		}
		at := strings.IndexByte(`"\/bfnrt`, in[i])
		if at < 0 {
			return "", false
		}
		out = append(out, "\"\\/\b\f\n\r\t"[at])
	}
	return string(out), true
}

// unescape reads \uXXXX, or a surrogate pair of two, and returns how many bytes it took; 0 = not valid.
func unescape(in []byte) (rune, int) {
	r := hex4(in)
	if r < 0 {
		return 0, 0
	}
	if !utf16.IsSurrogate(r) {
		return r, 6
	}
	if pair := utf16.DecodeRune(r, hex4(in[6:])); pair != utf8.RuneError {
		return pair, 12
	}
	return 0, 0
}

func hex4(in []byte) rune {
	if len(in) < 6 || in[0] != '\\' || in[1] != 'u' {
		return -1
	}
	var r rune
	for _, c := range in[2:6] {
		i := strings.IndexByte("0123456789abcdef", c|0x20)
		if i < 0 || c < '0' {
			return -1
		}
		r = r<<4 | rune(i)
	}
	return r
}

// AppendString appends s as a JSON string on one line. Bytes that are not UTF-8 become U+FFFD.
func AppendString(dst []byte, s string) []byte {
	const hex = "0123456789abcdef"
	dst = append(dst, '"')
	start := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= ' ' && c != '"' && c != '\\' && c < utf8.RuneSelf {
			i++
			continue
		}
		if c >= utf8.RuneSelf {
			if r, n := utf8.DecodeRuneInString(s[i:]); r != utf8.RuneError || n != 1 {
				i += n
				continue
			}
		}
		dst = append(dst, s[start:i]...)
		switch {
		case c == '"', c == '\\':
			dst = append(dst, '\\', c)
		case c >= utf8.RuneSelf:
			dst = append(dst, `\ufffd`...)
		default:
			dst = append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		}
		i++
		start = i
	}
	dst = append(dst, s[start:]...)
	return append(dst, '"')
}

// SPDX-License-Identifier: Apache-2.0

package spec

import (
	"fmt"
	"unicode/utf8"

	"github.com/autobus-io/autobus"
)

// maxExponentDigits bounds a number's exponent to +-999: no reader holds more, and computing with more is a way to
// stop a server with ten bytes.
const maxExponentDigits = 3

// CheckJSON reports whether data is JSON that every reader reads alike: valid UTF-8 without lone surrogates, no key
// twice in an object, nested at most autobus.MaxDepth deep, numbers of at most autobus.MaxNumberBytes with an
// exponent within +-999. It stops at the first fault, whose rule is syntax, utf8, duplicate, depth or number.
func CheckJSON(data []byte) *autobus.Error {
	s := scanner{data: data}
	if !s.value() {
		return s.err
	}
	if s.space(); s.pos < len(data) {
		s.unexpected("the end")
		return s.err
	}
	return nil
}

// scanner is one pass over raw JSON. It keeps the way to where it is, for the pointer of a fault, and the keys of all
// open objects.
type scanner struct {
	data  []byte
	pos   int
	depth int
	path  [autobus.MaxDepth]step
	keys  openKeys
	err   *autobus.Error
}

type step struct {
	key   span
	index int
	named bool // the member key of an object, else the item index of an array, else (-1) neither yet
}

func (s *scanner) value() bool {
	s.space()
	if s.pos == len(s.data) {
		return s.unexpected("a value")
	}
	switch c := s.data[s.pos]; {
	case c == '{':
		return s.enter() && s.object()
	case c == '[':
		return s.enter() && s.array()
	case c == '"':
		_, ok := s.text()
		return ok
	case c == '-' || c >= '0' && c <= '9':
		return s.number()
	case c == 't':
		return s.word("true")
	case c == 'f':
		return s.word("false")
	case c == 'n':
		return s.word("null")
	}
	return s.unexpected("a value")
}

func (s *scanner) enter() bool {
	if s.depth == autobus.MaxDepth {
		return s.fail("depth", fmt.Sprintf("at most %d levels", autobus.MaxDepth), "")
	}
	s.path[s.depth] = step{index: -1}
	s.depth++
	s.pos++
	return true
}

func (s *scanner) object() bool {
	base := len(s.keys.all())
	if s.space(); s.at('}') {
		s.depth--
		return true
	}
	here := &s.path[s.depth-1]
	for {
		if s.space(); s.pos == len(s.data) || s.data[s.pos] != '"' {
			*here = step{index: -1}
			return s.unexpected("a key in quotes")
		}
		*here = step{index: -1}
		key, ok := s.text()
		if !ok {
			return false
		}
		s.keys.push(key)
		*here = step{key: key, named: true}
		if s.space(); !s.at(':') {
			return s.unexpected("a colon")
		}
		if !s.value() {
			return false
		}
		s.space()
		if s.at(',') {
			continue
		}
		if !s.at('}') {
			return s.unexpected("a comma or }")
		}
		if twice, ok := duplicate(s.data, s.keys.all()[base:]); ok {
			*here = step{key: twice, named: true}
			s.pos = twice.start - 1
			return s.fail("duplicate", "each key once", "")
		}
		s.keys.pop(base)
		s.depth--
		return true
	}
}

func (s *scanner) array() bool {
	if s.space(); s.at(']') {
		s.depth--
		return true
	}
	for i := 0; ; i++ {
		s.path[s.depth-1].index = i
		if !s.value() {
			return false
		}
		s.space()
		if s.at(',') {
			continue
		}
		if !s.at(']') {
			return s.unexpected("a comma or ]")
		}
		s.depth--
		return true
	}
}

// text passes over a string; the span is what stands between its quotes.
func (s *scanner) text() (span, bool) {
	d, i := s.data, s.pos+1
	sp := span{start: i}
	for i < len(d) {
		c := d[i]
		switch {
		case c == '"':
			sp.end, s.pos = i, i+1
			return sp, true
		case c == '\\':
			n, rule := escapeLen(d[i:])
			if s.pos = i; rule == "syntax" {
				return sp, s.fail(rule, "an escape such as \\n or \\u00e9", "")
			} else if rule != "" {
				return sp, s.fail(rule, "a pair of surrogates", "half a pair")
			}
			sp.escaped = true
			i += n
		case c < ' ':
			s.pos = i
			return sp, s.fail("syntax", "control characters escaped", fmt.Sprintf("byte 0x%02x", c))
		case c < utf8.RuneSelf:
			i++
		default:
			_, n := utf8.DecodeRune(d[i:])
			if n == 1 {
				s.pos = i
				return sp, s.fail("utf8", "UTF-8", fmt.Sprintf("byte 0x%02x", c))
			}
			i += n
		}
	}
	s.pos = len(d)
	return sp, s.unexpected("a closing quote")
}

func (s *scanner) number() bool {
	start := s.pos
	n, exponent := numberLen(s.data[start:])
	if n == 0 {
		s.pos++
		return s.unexpected("a digit")
	}
	if n > autobus.MaxNumberBytes {
		return s.fail("number", fmt.Sprintf("at most %d bytes", autobus.MaxNumberBytes), fmt.Sprintf("%d bytes", n))
	}
	if exponent > maxExponentDigits {
		return s.fail("number", "an exponent within +-999", string(s.data[start:start+n]))
	}
	s.pos = start + n
	return true
}

func (s *scanner) word(w string) bool {
	if len(s.data)-s.pos < len(w) || string(s.data[s.pos:s.pos+len(w)]) != w {
		return s.unexpected("a value")
	}
	s.pos += len(w)
	return true
}

func (s *scanner) at(c byte) bool {
	if s.pos < len(s.data) && s.data[s.pos] == c {
		s.pos++
		return true
	}
	return false
}

func (s *scanner) space() { s.pos = skipSpace(s.data, s.pos) }

func (s *scanner) unexpected(want string) bool {
	got := "the end of the data"
	if s.pos < len(s.data) {
		got = fmt.Sprintf("%q", rune(s.data[s.pos]))
		if s.data[s.pos] >= utf8.RuneSelf {
			got = fmt.Sprintf("byte 0x%02x", s.data[s.pos])
		}
	}
	return s.fail("syntax", want, got)
}

func (s *scanner) fail(rule, want, got string) bool {
	var p []byte
	for _, st := range s.path[:s.depth] {
		switch {
		case st.named:
			p = appendToken(p, string(st.key.text(s.data)))
		case st.index >= 0:
			p = fmt.Appendf(p, "/%d", st.index)
		}
	}
	f := autobus.Fault{Pointer: shorten(string(p), maxPointer), Rule: rule, Want: want, Got: got}
	where := fmt.Sprintf("byte %d", s.pos+1)
	if f.Pointer != "" {
		where += " (" + f.Pointer + ")"
	}
	s.err = autobus.NewError(autobus.ReasonDataUnreadable, "the data is not readable JSON at %s: %s", where, sentence(f))
	s.err.Faults = []autobus.Fault{f}
	return false
}

// SPDX-License-Identifier: Apache-2.0

package spec

import (
	"bytes"
	"cmp"
	"hash/maphash"
	"slices"
	"unicode/utf16"
	"unicode/utf8"
)

// span is a string's place in raw JSON, without its quotes.
type span struct {
	start, end int
	escaped    bool
}

// text is the string itself.
func (sp span) text(data []byte) []byte {
	raw := data[sp.start:sp.end]
	if !sp.escaped {
		return raw
	}
	return appendUnescaped(nil, raw)
}

// openKeys are the keys of all open objects.
type openKeys struct {
	few  [48]span // as long as they fit: then nothing is allocated
	n    int
	many []span // all of them, once they did not fit
}

func (k *openKeys) all() []span {
	if k.many != nil {
		return k.many
	}
	return k.few[:k.n]
}

func (k *openKeys) push(key span) {
	switch {
	case k.many != nil:
		k.many = append(k.many, key)
	case k.n < len(k.few):
		k.few[k.n] = key
		k.n++
	default:
		k.many = append(slices.Clone(k.few[:]), key)
	}
}

// pop leaves the first n keys.
func (k *openKeys) pop(n int) {
	if k.many != nil {
		k.many = k.many[:n]
		return
	}
	k.n = n
}

// fewKeys is how many keys are compared each with each; more are sorted by hash first.
const fewKeys = 12

// keySeed is random, so that nobody can choose keys that collide.
var keySeed = maphash.MakeSeed()

// duplicate returns the first key that stands in keys a second time.
func duplicate(data []byte, keys []span) (span, bool) {
	if len(keys) <= fewKeys {
		for i := 1; i < len(keys); i++ {
			for j := range i {
				if sameKey(data, keys[i], keys[j]) {
					return keys[i], true
				}
			}
		}
		return span{}, false
	}
	type hashed struct {
		hash uint64
		key  span
	}
	hs := make([]hashed, len(keys))
	for i, k := range keys {
		hs[i] = hashed{maphash.Bytes(keySeed, k.text(data)), k}
	}
	slices.SortFunc(hs, func(a, b hashed) int {
		return cmp.Or(cmp.Compare(a.hash, b.hash), cmp.Compare(a.key.start, b.key.start))
	})
	first, found := span{start: len(data)}, false
	for i := 1; i < len(hs); i++ {
		// Keys of one hash stand in the data's order, so neighbours show the first repetition of a key.
		if hs[i].hash == hs[i-1].hash && hs[i].key.start < first.start && sameKey(data, hs[i].key, hs[i-1].key) {
			first, found = hs[i].key, true
		}
	}
	return first, found
}

func sameKey(data []byte, a, b span) bool {
	if !a.escaped && !b.escaped {
		return bytes.Equal(data[a.start:a.end], data[b.start:b.end])
	}
	return bytes.Equal(a.text(data), b.text(data))
}

func skipSpace(d []byte, i int) int {
	for i < len(d) && (d[i] == ' ' || d[i] == '\n' || d[i] == '\t' || d[i] == '\r') {
		i++
	}
	return i
}

// numberLen is the length of the JSON number that d begins with, 0 if it begins with none, and how many digits its
// exponent has without leading zeros.
func numberLen(d []byte) (n, exponent int) {
	digits := func(i int) int {
		for i < len(d) && d[i] >= '0' && d[i] <= '9' {
			i++
		}
		return i
	}
	i := 0
	if i < len(d) && d[i] == '-' {
		i++
	}
	end := digits(i)
	if end == i {
		return 0, 0
	}
	if d[i] == '0' {
		end = i + 1
	}
	i = end
	if i < len(d) && d[i] == '.' {
		if end = digits(i + 1); end == i+1 {
			return 0, 0
		}
		i = end
	}
	if i < len(d) && (d[i] == 'e' || d[i] == 'E') {
		i++
		if i < len(d) && (d[i] == '+' || d[i] == '-') {
			i++
		}
		if end = digits(i); end == i {
			return 0, 0
		}
		for i < end && d[i] == '0' {
			i++
		}
		exponent = end - i
		i = end
	}
	return i, exponent
}

// escapeLen is the length of the escape that d begins with. The rule is "" when it is good, syntax when it is none,
// utf8 when it is half a surrogate pair.
func escapeLen(d []byte) (n int, rule string) {
	if len(d) < 2 {
		return 0, "syntax"
	}
	switch d[1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return 2, ""
	case 'u':
	default:
		return 0, "syntax"
	}
	r, ok := hex4(d, 2)
	if !ok {
		return 0, "syntax"
	}
	if !utf16.IsSurrogate(r) {
		return 6, ""
	}
	if len(d) >= 8 && d[6] == '\\' && d[7] == 'u' {
		low, ok := hex4(d, 8)
		if !ok {
			return 0, "syntax"
		}
		if utf16.DecodeRune(r, low) != utf8.RuneError {
			return 12, ""
		}
	}
	return 0, "utf8"
}

func hex4(d []byte, at int) (rune, bool) {
	if len(d) < at+4 {
		return 0, false
	}
	var r rune
	for _, c := range d[at : at+4] {
		switch {
		case c >= '0' && c <= '9':
			r = r<<4 | rune(c-'0')
		case c|0x20 >= 'a' && c|0x20 <= 'f':
			r = r<<4 | rune(c|0x20-'a'+10)
		default:
			return 0, false
		}
	}
	return r, true
}

// appendUnescaped appends the string whose escaped form is raw. A bad escape becomes U+FFFD.
func appendUnescaped(dst, raw []byte) []byte {
	for i := 0; i < len(raw); {
		if raw[i] != '\\' {
			dst = append(dst, raw[i])
			i++
			continue
		}
		n, rule := escapeLen(raw[i:])
		if rule != "" {
			dst = utf8.AppendRune(dst, utf8.RuneError)
			i++
			continue
		}
		switch c := raw[i+1]; c {
		case 'b':
			dst = append(dst, '\b')
		case 'f':
			dst = append(dst, '\f')
		case 'n':
			dst = append(dst, '\n')
		case 'r':
			dst = append(dst, '\r')
		case 't':
			dst = append(dst, '\t')
		case 'u':
			r, _ := hex4(raw[i:], 2)
			if n == 12 {
				low, _ := hex4(raw[i:], 8)
				r = utf16.DecodeRune(r, low)
			}
			dst = utf8.AppendRune(dst, r)
		default:
			dst = append(dst, c)
		}
		i += n
	}
	return dst
}

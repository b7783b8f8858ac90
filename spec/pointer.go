// SPDX-License-Identifier: Apache-2.0

package spec

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// What a fault repeats of the data is cut, so that an answer stays small whatever was sent.
const (
	maxPointer = 512
	maxValue   = 80
)

// appendToken appends one step of a JSON pointer.
func appendToken(p []byte, token string) []byte {
	p = append(p, '/')
	for i := range len(token) {
		switch token[i] {
		case '~':
			p = append(p, "~0"...)
		case '/':
			p = append(p, "~1"...)
		default:
			p = append(p, token[i])
		}
	}
	return p
}

// pointer is the JSON pointer of the steps.
func pointer(tokens []string) string {
	var p []byte
	for _, t := range tokens {
		p = appendToken(p, t)
	}
	return string(p)
}

// tokens are the steps of a JSON pointer.
func tokens(pointer string) []string {
	if pointer == "" {
		return nil
	}
	ts := strings.Split(pointer[1:], "/")
	for i, t := range ts {
		ts[i] = untoken(t)
	}
	return ts
}

func untoken(t string) string {
	if !strings.Contains(t, "~") {
		return t
	}
	return strings.NewReplacer("~1", "/", "~0", "~").Replace(t)
}

// validPointer reports whether s is a JSON pointer to something inside a document.
func validPointer(s string) bool {
	if !strings.HasPrefix(s, "/") {
		return false
	}
	for rest := s; ; {
		_, after, found := strings.Cut(rest, "~")
		if !found {
			return true
		}
		if !strings.HasPrefix(after, "0") && !strings.HasPrefix(after, "1") {
			return false
		}
		rest = after
	}
}

// itemIndex reads a step as an array's index.
func itemIndex(token string) (int, bool) {
	i, err := strconv.Atoi(token)
	return i, err == nil && i >= 0 && strconv.Itoa(i) == token
}

// shorten cuts s to about limit bytes between two characters.
func shorten(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	for limit > 0 && !utf8.RuneStart(s[limit]) {
		limit--
	}
	return s[:limit] + "..."
}

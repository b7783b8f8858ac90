// SPDX-License-Identifier: Apache-2.0

package autobus

import "strings"

// MatchType reports whether a type, or a subscription's name, matches a pattern of dot-separated segments. A segment
// "*" stands for any one segment; as the last segment it stands for one or more:
//
//	orders.*.placed.v1   orders.order.placed.v1
//	orders.*             everything of the domain orders
//	*                    everything
func MatchType(pattern, name string) bool {
	for {
		p, restP, moreP := strings.Cut(pattern, ".")
		n, restN, moreN := strings.Cut(name, ".")
		if p == "*" && !moreP {
			return true
		}
		if p != "*" && p != n || moreP != moreN {
			return false
		}
		if !moreP {
			return true
		}
		pattern, name = restP, restN
	}
}

// ValidPattern reports whether p can match anything as its writer thinks: segments of [a-zA-Z0-9_-], or "*" as a whole
// segment. "orders*" is not a pattern.
func ValidPattern(p string) bool {
	for s := range strings.SplitSeq(p, ".") {
		if s == "" || s != "*" && strings.ContainsFunc(s, func(r rune) bool { return !topicRune(r) }) {
			return false
		}
	}
	return len(p) <= maxTopicBytes
}

// overlap reports whether some name matches both patterns.
func overlap(a, b string) bool {
	for {
		x, restA, moreA := strings.Cut(a, ".")
		y, restB, moreB := strings.Cut(b, ".")
		if x == "*" && !moreA || y == "*" && !moreB {
			return true
		}
		if x != y && x != "*" && y != "*" || moreA != moreB {
			return false
		}
		if !moreA {
			return true
		}
		a, b = restA, restB
	}
}

// IsPattern reports whether s contains a wildcard segment.
func IsPattern(s string) bool { return strings.Contains(s, "*") }

// ReservedName reports whether a type or topic name is kept for the bus itself: a first segment dlq, retry or park,
// or a leading underscore.
func ReservedName(name string) bool {
	first, _, _ := strings.Cut(name, ".")
	return first == "dlq" || first == "retry" || first == "park" || strings.HasPrefix(name, "_")
}

// ValidType reports whether name has the form segment(.segment){1,4}.vN with segments [a-z][a-z0-9-]*, at most
// MaxTypeBytes long and not reserved.
func ValidType(name string) bool {
	if len(name) > MaxTypeBytes || ReservedName(name) {
		return false
	}
	segments := strings.Split(name, ".")
	if len(segments) < 3 || len(segments) > 6 {
		return false
	}
	last := segments[len(segments)-1]
	for _, s := range segments[:len(segments)-1] {
		if !validSegment(s) {
			return false
		}
	}
	return len(last) >= 2 && last[0] == 'v' && last[1] != '0' && strings.Trim(last[1:], "0123456789") == ""
}

// LegalTopic reports whether name can be a Kafka topic at all: [a-zA-Z0-9._-], 1 to 249 bytes, not "." or "..", not
// reserved. In dev such a name is accepted as an unspecified type.
func LegalTopic(name string) bool {
	if name == "" || len(name) > maxTopicBytes || name == "." || name == ".." || ReservedName(name) {
		return false
	}
	return !strings.ContainsFunc(name, func(r rune) bool { return r != '.' && !topicRune(r) })
}

// maxTopicBytes is Kafka's own limit for the name of a topic.
const maxTopicBytes = 249

// topicRune reports whether a topic's name may hold r beside dots.
func topicRune(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '_' || r == '-'
}

func validSegment(s string) bool {
	if s == "" || s[0] < 'a' || s[0] > 'z' {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return false
		}
	}
	return true
}

// covers reports whether every name that matches inner matches outer.
func covers(outer, inner string) bool {
	for {
		o, restO, moreO := strings.Cut(outer, ".")
		i, restI, moreI := strings.Cut(inner, ".")
		switch {
		case o == "*" && !moreO:
			return true // one or more segments, whatever inner goes on with
		case o != "*" && o != i, moreO != moreI:
			return false // also where inner ends in *, any number of segments, and outer goes on
		case !moreO:
			return true
		}
		outer, inner = restO, restI
	}
}

// SPDX-License-Identifier: Apache-2.0

package spec

import "regexp/syntax"

// steps is a pattern of the plainest form, anchored at its beginning: so many of these ASCII characters, then so many
// of those, such as ^[A-Z]{3}-\d+$. Most patterns of identifiers are of this form, and it takes a tenth of the time
// that package regexp takes.
type steps struct {
	list []repeat
	end  bool // nothing may follow
}

// repeat is between min and max characters of a set.
type repeat struct {
	set      asciiSet
	min, max int
}

type asciiSet [2]uint64

func (s *asciiSet) has(c byte) bool { return c < 128 && s[c>>6]>>(c&63)&1 == 1 }

func (s *asciiSet) meets(t *asciiSet) bool { return s[0]&t[0] != 0 || s[1]&t[1] != 0 }

// match takes as many characters at each step as it can, which is right as stepsOf takes only patterns where what may
// follow a step begins with other characters.
func (p steps) match(text []byte) bool {
	i := 0
	for k := range p.list {
		r := &p.list[k]
		end := len(text)
		if r.max < end-i {
			end = i + r.max
		}
		from := i
		for i < end && r.set.has(text[i]) {
			i++
		}
		if i-from < r.min {
			return false
		}
	}
	return !p.end || i == len(text)
}

// stepsOf reads a pattern of that form; ok is false for all others.
func stepsOf(pattern string) (p steps, ok bool) {
	re, err := syntax.Parse(pattern, syntax.Perl)
	if err != nil {
		return p, false
	}
	parts := []*syntax.Regexp{re}
	if re.Op == syntax.OpConcat {
		parts = re.Sub
	}
	if parts[0].Op != syntax.OpBeginText {
		return p, false
	}
	for _, part := range parts[1:] {
		if p.end {
			return p, false // something behind the end
		}
		if part.Op == syntax.OpEndText {
			p.end = true
			continue
		}
		if !p.add(part) {
			return p, false
		}
	}
	return p, p.greedy()
}

// add appends one part of a pattern.
func (p *steps) add(re *syntax.Regexp) bool {
	low, high := 1, 1
	switch re.Op {
	case syntax.OpLiteral:
		if re.Flags&syntax.FoldCase != 0 {
			return false
		}
		for _, c := range re.Rune {
			set, ok := setOf([]rune{c, c})
			if !ok {
				return false
			}
			p.list = append(p.list, repeat{set, 1, 1})
		}
		return true
	case syntax.OpCharClass:
		set, ok := setOf(re.Rune)
		p.list = append(p.list, repeat{set, 1, 1})
		return ok
	case syntax.OpStar:
		low, high = 0, noLimit
	case syntax.OpPlus:
		high = noLimit
	case syntax.OpQuest:
		low = 0
	case syntax.OpRepeat:
		if low, high = re.Min, re.Max; high < 0 {
			high = noLimit
		}
	default:
		return false
	}
	before := len(p.list)
	if !p.add(re.Sub[0]) || len(p.list) != before+1 || p.list[before].min != 1 || p.list[before].max != 1 {
		return false
	}
	p.list[before].min, p.list[before].max = low, high
	return true
}

// setOf is a class, given as pairs of bounds, if it is ASCII.
func setOf(class []rune) (set asciiSet, ok bool) {
	for i := 0; i+1 < len(class); i += 2 {
		if class[i+1] >= 128 {
			return set, false
		}
		for c := class[i]; c <= class[i+1]; c++ {
			set[c>>6] |= 1 << (c & 63)
		}
	}
	return set, true
}

// greedy reports whether no step with a choice can take characters that a later one needs.
func (p steps) greedy() bool {
	for i := range p.list {
		if p.list[i].min == p.list[i].max {
			continue
		}
		for j := i + 1; j < len(p.list); j++ {
			if p.list[i].set.meets(&p.list[j].set) {
				return false
			}
			if p.list[j].min > 0 {
				break
			}
		}
	}
	return true
}

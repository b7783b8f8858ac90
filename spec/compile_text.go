// SPDX-License-Identifier: Apache-2.0

package spec

import (
	"regexp"
	"slices"
	"unicode/utf8"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// textRule is what a string may be.
type textRule struct {
	any      bool            // there is nothing to check
	few      []string        // all strings allowed; nil = not listed here
	many     map[string]bool // the same when they are many
	min, max int             // characters
	tests    []func(text []byte) bool
}

// fewTexts is how many strings are compared each with the data; more are looked up.
const fewTexts = 8

func (c *compiler) text(set []*jsonschema.Schema) *textRule {
	if list := c.candidates(set, "string"); list.known {
		return listed(list.values)
	}
	p := c.resolve(set, "string")
	if p.never {
		return nil
	}
	if p.doubt || len(p.unions) > 0 {
		c.doubt()
		return nil
	}
	t := &textRule{max: noLimit}
	for _, s := range p.flat {
		t.min, t.max = narrow(t.min, t.max, s.MinLength, s.MaxLength)
		if s.Pattern != nil {
			test := matcher(s.Pattern.String())
			if test == nil {
				c.doubt()
				return nil
			}
			t.tests = append(t.tests, test)
		}
		if s.Format != nil && !numericFormat(s.Format.Name) {
			t.tests = append(t.tests, formatTest(s.Format))
		}
	}
	t.any = t.min <= 0 && t.max == noLimit && len(t.tests) == 0
	return t
}

// listed allows a list of strings.
func listed(values []any) *textRule {
	if len(values) == 0 {
		return nil
	}
	t := &textRule{}
	for _, v := range values {
		t.few = append(t.few, v.(string))
	}
	if len(values) > fewTexts {
		t.many = map[string]bool{}
		for _, v := range t.few {
			t.many[v] = true
		}
	}
	return t
}

// accepts judges a string without its quotes and escapes.
func (t *textRule) accepts(text []byte, ascii bool) bool {
	switch {
	case t.any:
		return true
	case t.many != nil:
		return t.many[string(text)]
	case t.few != nil:
		return slices.ContainsFunc(t.few, func(v string) bool { return v == string(text) })
	}
	n := len(text)
	if !ascii && (n > t.max || t.min > 0) {
		n = utf8.RuneCount(text)
	}
	if n < t.min || n > t.max {
		return false
	}
	for _, test := range t.tests {
		if !test(text) {
			return false
		}
	}
	return true
}

// matcher gives a test for a pattern, nil when the pattern cannot be compiled.
func matcher(pattern string) func([]byte) bool {
	if steps, ok := stepsOf(pattern); ok {
		return steps.match
	}
	re, err := regexp.Compile(pattern)
	if err != nil {
		return nil
	}
	return re.Match
}

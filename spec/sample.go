// SPDX-License-Identifier: Apache-2.0

package spec

import (
	"encoding/json"
	"math/big"
	"regexp/syntax"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// text makes a string of the format, pattern and length asked for.
func text(s *jsonschema.Schema) string {
	if s.Format != nil {
		if v := formatted(s.Format.Name); v != "" {
			return v
		}
	}
	if s.Pattern != nil {
		if re, err := syntax.Parse(s.Pattern.String(), syntax.Perl); err == nil {
			return sample(re)
		}
	}
	v := "text"
	if s.MinLength != nil && len(v) < *s.MinLength {
		v = strings.Repeat("x", min(*s.MinLength, 10_000))
	}
	if s.MaxLength != nil && len(v) > *s.MaxLength {
		v = v[:*s.MaxLength]
	}
	return v
}

func formatted(format string) string {
	switch format {
	case "date-time":
		return "2026-01-31T12:00:00Z"
	case "date":
		return "2026-01-31"
	case "time":
		return "12:00:00Z"
	case "duration":
		return "PT1H"
	case "email":
		return "someone@example.com"
	case "hostname":
		return "example.com"
	case "ipv4":
		return "192.0.2.1"
	case "ipv6":
		return "2001:db8::1"
	case "uri", "iri", "uri-reference", "iri-reference":
		return "https://example.com/"
	case "uuid":
		return "0190e2d8-7c3a-7c3a-8c3a-0190e2d87c3a"
	case "decimal":
		return "10.50"
	}
	return ""
}

// sample makes a string that a simple pattern matches.
func sample(re *syntax.Regexp) string {
	var b strings.Builder
	switch re.Op {
	case syntax.OpLiteral:
		b.WriteString(string(re.Rune))
	case syntax.OpCharClass:
		if len(re.Rune) > 0 {
			b.WriteRune(printable(re.Rune))
		}
	case syntax.OpAnyChar, syntax.OpAnyCharNotNL:
		b.WriteByte('x')
	case syntax.OpCapture, syntax.OpPlus:
		return sample(re.Sub[0])
	case syntax.OpAlternate:
		return sample(re.Sub[0])
	case syntax.OpConcat:
		for _, sub := range re.Sub {
			b.WriteString(sample(sub))
		}
	case syntax.OpRepeat:
		b.WriteString(strings.Repeat(sample(re.Sub[0]), re.Min))
	}
	return b.String()
}

// printable chooses a rune of a class, given as pairs of bounds: a letter or digit if there is one.
func printable(class []rune) rune {
	for _, want := range "aA1" {
		for i := 0; i+1 < len(class); i += 2 {
			if class[i] <= want && want <= class[i+1] {
				return want
			}
		}
	}
	return class[0]
}

// number makes a number within the bounds asked for.
func number(s *jsonschema.Schema) any {
	n := big.NewRat(1, 1)
	if s.Minimum != nil && n.Cmp(s.Minimum) < 0 {
		n.Set(s.Minimum)
	}
	if s.ExclusiveMinimum != nil && n.Cmp(s.ExclusiveMinimum) <= 0 {
		n.Add(s.ExclusiveMinimum, big.NewRat(1, 1))
	}
	if s.Maximum != nil && n.Cmp(s.Maximum) > 0 {
		n.Set(s.Maximum)
	}
	if s.ExclusiveMaximum != nil && n.Cmp(s.ExclusiveMaximum) >= 0 {
		n.Sub(s.ExclusiveMaximum, big.NewRat(1, 1))
	}
	if s.MultipleOf != nil {
		n.Set(s.MultipleOf)
	}
	if n.IsInt() {
		return json.Number(n.Num().String())
	}
	return json.Number(strings.TrimRight(n.FloatString(6), "0"))
}

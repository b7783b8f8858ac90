// SPDX-License-Identifier: Apache-2.0

package spec

import (
	"encoding/json"
	"math"
	"math/big"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// numberRule is what a number may be.
type numberRule struct {
	any       bool // there is nothing to check
	integer   bool
	low, high int64 // what integers must be within
	bounds    []bound
	multiples []decimal // each divides the number
	listed    []decimal // all numbers allowed; nil = not listed here
}

// bound is a least or greatest value.
type bound struct {
	at    decimal
	upper bool
	open  bool // the value itself is outside
}

func (c *compiler) number(set []*jsonschema.Schema) *numberRule {
	if list := c.candidates(set, "number"); list.known {
		return c.listedNumbers(list.values)
	}
	p := c.resolve(set, "number")
	if p.never {
		return nil
	}
	n := &numberRule{low: math.MinInt64, high: math.MaxInt64}
	ok := !p.doubt && len(p.unions) == 0
	for _, s := range p.flat {
		ok = ok && n.add(s)
	}
	if !ok {
		c.doubt()
		return nil
	}
	n.any = !n.integer && len(n.bounds) == 0 && len(n.multiples) == 0
	return n
}

// add takes what one schema says; ok is false when a number in it has too many digits.
func (n *numberRule) add(s *jsonschema.Schema) (ok bool) {
	if s.Types != nil && *s.Types&typeSet("number") == 0 {
		n.integer = true
	}
	if s.Format != nil && numericFormat(s.Format.Name) {
		high := int64(math.MaxInt32)
		if s.Format.Name == "int64" {
			high = math.MaxInt64
		}
		n.integer, n.low, n.high = true, max(n.low, -high-1), min(n.high, high)
	}
	for _, b := range []struct {
		at          *big.Rat
		upper, open bool
	}{{s.Minimum, false, false}, {s.Maximum, true, false}, {s.ExclusiveMinimum, false, true},
		{s.ExclusiveMaximum, true, true}} {
		if b.at == nil {
			continue
		}
		at, ok := decimalOf(b.at)
		if !ok {
			return false
		}
		n.narrow(bound{at, b.upper, b.open})
	}
	if s.MultipleOf != nil {
		of, ok := decimalOf(s.MultipleOf)
		if !ok || of.digits == 0 {
			return false
		}
		n.multiples = append(n.multiples, of)
	}
	return true
}

// narrow adds a bound, and what it means for integers.
func (n *numberRule) narrow(b bound) {
	n.bounds = append(n.bounds, b)
	one := pow10(b.at.scale)
	at := min(max(b.at.digits/one, -beyond), beyond) // towards zero
	fraction := b.at.digits % one
	switch {
	case b.upper && (fraction < 0 || fraction == 0 && b.open):
		n.high = min(n.high, at-1)
	case b.upper:
		n.high = min(n.high, at)
	case fraction > 0 || fraction == 0 && b.open:
		n.low = max(n.low, at+1)
	default:
		n.low = max(n.low, at)
	}
}

func (c *compiler) listedNumbers(values []any) *numberRule {
	n := &numberRule{}
	for _, v := range values {
		if d, ok := parseDecimal([]byte(v.(json.Number))); ok {
			n.listed = append(n.listed, d)
		} else {
			c.doubt()
		}
	}
	if len(n.listed) == 0 {
		return nil
	}
	return n
}

// accepts judges a number.
func (n *numberRule) accepts(v decimal) bool {
	if n.listed != nil {
		for _, l := range n.listed {
			if compare(v, l) == 0 {
				return true
			}
		}
		return false
	}
	if v.scale == 0 {
		if v.digits < n.low || v.digits > n.high {
			return false
		}
	} else if !n.acceptsFraction(v) {
		return false
	}
	for _, of := range n.multiples {
		if !divides(of, v) {
			return false
		}
	}
	return true
}

func (n *numberRule) acceptsFraction(v decimal) bool {
	if n.integer {
		one := pow10(v.scale)
		return v.digits%one == 0 && v.digits/one >= n.low && v.digits/one <= n.high
	}
	for _, b := range n.bounds {
		c := compare(v, b.at)
		if b.upper {
			c = -c
		}
		if c < 0 || c == 0 && b.open {
			return false
		}
	}
	return true
}

// numericFormat reports whether a format speaks of numbers.
func numericFormat(name string) bool { return name == "int32" || name == "int64" }

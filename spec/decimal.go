// SPDX-License-Identifier: Apache-2.0

package spec

import (
	"math/big"
	"math/bits"
)

// decimal is the number digits / 10^scale.
type decimal struct {
	digits int64
	scale  int
}

const (
	maxDigits = 18                  // of a number in the data, and of its fraction: both as integers fit in 63 bits
	beyond    = 2 * int64(1_000e15) // is greater than any of them
)

// compare is exact: both sides are brought to one scale in 128 bits.
func compare(a, b decimal) int {
	if (a.digits < 0) != (b.digits < 0) {
		if a.digits < 0 {
			return -1
		}
		return 1
	}
	high1, low1 := bits.Mul64(magnitude(a.digits), uint64(pow10(b.scale)))
	high2, low2 := bits.Mul64(magnitude(b.digits), uint64(pow10(a.scale)))
	c := 0
	switch {
	case high1 < high2 || high1 == high2 && low1 < low2:
		c = -1
	case high1 > high2 || low1 > low2:
		c = 1
	}
	if a.digits < 0 {
		return -c
	}
	return c
}

// divides reports whether v is a multiple of another number. Where that takes more than 64 bits, it says no.
func divides(of, v decimal) bool {
	high1, low1 := bits.Mul64(magnitude(v.digits), uint64(pow10(of.scale)))
	high2, low2 := bits.Mul64(magnitude(of.digits), uint64(pow10(v.scale)))
	return v.digits == 0 || high1 == 0 && high2 == 0 && low1%low2 == 0
}

func magnitude(n int64) uint64 {
	if n < 0 {
		return -uint64(n)
	}
	return uint64(n)
}

func pow10(n int) int64 {
	p := int64(1)
	for range n {
		p *= 10
	}
	return p
}

// decimalOf is the exact decimal of a fraction, if it is short enough.
func decimalOf(r *big.Rat) (decimal, bool) {
	scale, exact := r.FloatPrec()
	if !exact || scale > maxDigits {
		return decimal{}, false
	}
	digits := new(big.Rat).Mul(r, new(big.Rat).SetInt64(pow10(scale))).Num()
	return decimal{digits.Int64(), scale}, digits.IsInt64()
}

// parseDecimal reads a JSON number of at most maxDigits digits without an exponent.
func parseDecimal(raw []byte) (d decimal, ok bool) {
	digits, point := 0, false
	for i, c := range raw {
		switch {
		case c >= '0' && c <= '9' && digits < maxDigits:
			d.digits = d.digits*10 + int64(c-'0')
			digits++
			if point {
				d.scale++
			}
		case c == '.':
			point = true
		case c != '-' || i > 0:
			return decimal{}, false
		}
	}
	if raw[0] == '-' {
		d.digits = -d.digits
	}
	return d, true
}

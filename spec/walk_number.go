// SPDX-License-Identifier: Apache-2.0

package spec

import "github.com/autobus-io/autobus"

// number passes over a number.
func (w *walker) number(n *numberRule, i int) int {
	d, start := w.data, i
	if d[i] == '-' {
		i++
	}
	first := i
	var v int64
	for i < len(d) && d[i]-'0' <= 9 {
		v = v*10 + int64(d[i]-'0')
		i++
	}
	if i < len(d) && (d[i] == '.' || d[i]|0x20 == 'e') || i-first > maxDigits {
		return w.longNumber(n, start)
	}
	if i == first || d[first] == '0' && i-first > 1 {
		return stop
	}
	if first > start {
		v = -v
	}
	if n.any || n.accepts(decimal{digits: v}) {
		return i
	}
	return stop
}

// longNumber passes over a number with a fraction, an exponent or many digits. An exponent is good enough only where
// any number is.
func (w *walker) longNumber(n *numberRule, i int) int {
	size, exponent := numberLen(w.data[i:])
	if size == 0 || size > autobus.MaxNumberBytes || exponent > maxExponentDigits {
		return stop
	}
	if n.any {
		return i + size
	}
	if v, ok := parseDecimal(w.data[i : i+size]); !ok || !n.accepts(v) {
		return stop
	}
	return i + size
}

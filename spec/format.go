// SPDX-License-Identifier: Apache-2.0

package spec

import (
	"bytes"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// formatTest gives a test for a format of strings. The usual ones have a short test of their own for their usual form;
// what that does not take is for the validator's function to judge.
func formatTest(f *jsonschema.Format) func(text []byte) bool {
	judge := func(text []byte) bool { return f.Validate(string(text)) == nil }
	usual := map[string]func([]byte) bool{
		"date-time": usualDateTime, "date": usualDate, "time": usualTime, "uuid": usualUUID, "email": usualEmail,
		"decimal": usualDecimal, "hostname": usualHostname, "uri": usualURI, "iri": usualURI, "uri-reference": usualURI,
		"iri-reference": usualURI, "ipv4": usualIPv4,
	}[f.Name]
	if usual == nil {
		return judge
	}
	return func(text []byte) bool { return usual(text) || judge(text) }
}

// twoDigits reads two digits, -1 when there are none.
func twoDigits(b []byte) int {
	tens, ones := b[0]-'0', b[1]-'0'
	if tens > 9 || ones > 9 {
		return -1
	}
	return int(tens)*10 + int(ones)
}

// usualDate takes 2026-01-31. Days above 28 of February are left to the validator, which knows leap years.
func usualDate(b []byte) bool {
	if len(b) != len("2026-01-31") || b[4] != '-' || b[7] != '-' {
		return false
	}
	month, day := twoDigits(b[5:]), twoDigits(b[8:])
	if twoDigits(b) < 0 || twoDigits(b[2:]) < 0 || month < 1 || month > 12 || day < 1 {
		return false
	}
	switch month {
	case 2:
		return day <= 28
	case 4, 6, 9, 11:
		return day <= 30
	}
	return day <= 31
}

// usualTime takes 10:00:00Z, 10:00:00.123Z and 10:00:00+03:00, without leap seconds.
func usualTime(b []byte) bool {
	if len(b) < len("10:00:00Z") || b[2] != ':' || b[5] != ':' {
		return false
	}
	if h, m, s := twoDigits(b), twoDigits(b[3:]), twoDigits(b[6:]); h < 0 || h > 23 || m < 0 || m > 59 || s < 0 || s > 59 {
		return false
	}
	zone := b[8:]
	if zone[0] == '.' {
		n := 1
		for n < len(zone) && zone[n]-'0' <= 9 {
			n++
		}
		if n == 1 || n == len(zone) {
			return false
		}
		zone = zone[n:]
	}
	if len(zone) == 1 {
		return zone[0] == 'Z'
	}
	if len(zone) != len("+03:00") || zone[0] != '+' && zone[0] != '-' || zone[3] != ':' {
		return false
	}
	h, m := twoDigits(zone[1:]), twoDigits(zone[4:])
	return h >= 0 && h <= 23 && m >= 0 && m <= 59
}

func usualDateTime(b []byte) bool {
	return len(b) >= len("2026-01-31T10:00:00Z") && b[10] == 'T' && usualDate(b[:10]) && usualTime(b[11:])
}

func usualUUID(b []byte) bool {
	if len(b) != len("0190e2d8-7c3a-7c3a-8c3a-0190e2d87c3a") {
		return false
	}
	for i, c := range b {
		switch i {
		case 8, 13, 18, 23:
			if c != '-' {
				return false
			}
		default:
			if c-'0' > 9 && (c|0x20)-'a' > 'f'-'a' {
				return false
			}
		}
	}
	return true
}

func letterOrDigit(c byte) bool { return c-'0' <= 9 || (c|0x20)-'a' <= 'z'-'a' }

// usualHostname takes labels of letters and digits with hyphens inside, joined by dots.
func usualHostname(b []byte) bool {
	if len(b) > 253 {
		return false
	}
	label := 0 // bytes of it so far
	for i, c := range b {
		switch {
		case letterOrDigit(c):
			label++
		case c == '-' && label > 0 && i+1 < len(b) && b[i+1] != '.':
			label++
		case c == '.' && label > 0:
			label = 0
		default:
			return false
		}
		if label > 63 {
			return false
		}
	}
	return label > 0
}

// usualEmail takes a mailbox of letters, digits and . _ + - before a host name.
func usualEmail(b []byte) bool {
	if len(b) > 254 {
		return false
	}
	for i, c := range b {
		switch {
		case letterOrDigit(c) || c == '_' || c == '+' || c == '-':
		case c == '.' && i > 0 && b[i-1] != '.':
		case c == '@' && i > 0 && i <= 64 && b[i-1] != '.':
			return usualHostname(b[i+1:])
		default:
			return false
		}
	}
	return false
}

// usualDecimal takes all that is a decimal.
func usualDecimal(b []byte) bool {
	n, _ := numberLen(b)
	return n > 0 && n == len(b) && !bytes.ContainsAny(b, "eE")
}

// usualURI takes http and https with a host name and a path of plain characters, a query of these too.
func usualURI(b []byte) bool {
	const scheme = "http"
	if len(b) < len("https://a") || string(b[:len(scheme)]) != scheme {
		return false
	}
	i := len(scheme)
	if b[i] == 's' {
		i++
	}
	if string(b[i:i+3]) != "://" {
		return false
	}
	i += 3
	host := i
	for i < len(b) && (letterOrDigit(b[i]) || b[i] == '.' || b[i] == '-') {
		i++
	}
	if i == host {
		return false
	}
	if i < len(b) && b[i] != '/' {
		return false
	}
	for _, c := range b[i:] {
		if !letterOrDigit(c) {
			switch c {
			case '/', '-', '_', '.', '~', '?', '=', '&':
			default:
				return false
			}
		}
	}
	return true
}

func usualIPv4(b []byte) bool {
	groups, digits, n := 1, 0, 0
	for _, c := range b {
		switch {
		case c-'0' <= 9 && (digits == 0 || n > 0): // no leading zeros
			n = n*10 + int(c-'0')
			if digits++; n > 255 {
				return false
			}
		case c == '.' && digits > 0:
			groups, digits, n = groups+1, 0, 0
		default:
			return false
		}
	}
	return groups == 4 && digits > 0
}

// SPDX-License-Identifier: Apache-2.0

package autobus

import "strings"

// EncodeHeader writes the value of an attribute as the HTTP binding of CloudEvents has it in a ce- header: what is no
// printable ASCII, a space, a quote or a percent sign is percent-encoded.
func EncodeHeader(value string) string {
	const hex = "0123456789ABCDEF"
	var b strings.Builder
	for i := range len(value) {
		if c := value[i]; c <= ' ' || c > '~' || c == '"' || c == '%' {
			b.WriteByte('%')
			b.WriteByte(hex[c>>4])
			b.WriteByte(hex[c&15])
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

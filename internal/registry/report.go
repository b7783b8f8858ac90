// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"slices"
	"strconv"
	"strings"
)

// Report says what a push did.
type Report struct {
	Hash    string       `json:"hash"`  // of the bundle now in force
	Types   int          `json:"types"` // that it declares
	Changed bool         `json:"changed"`
	Created []string     `json:"created,omitempty"` // topics
	Altered []Alteration `json:"altered,omitempty"`
	Routes  []string     `json:"routes,omitempty"` // types whose route was written
	Specs   int          `json:"specs"`            // spec records written
	Drift   []Drift      `json:"drift,omitempty"`
	Pending string       `json:"pending,omitempty"` // which declared subscriptions could not be made yet, and why
}

// Alteration is a topic's setting that was given the spec's value.
type Alteration struct {
	Topic  string `json:"topic"`
	Key    string `json:"key"`
	Before string `json:"before"`
	After  string `json:"after"`
}

// Drift is where a topic is not as it should be and a push does not change it.
type Drift struct {
	Topic string `json:"topic"`
	What  string `json:"what"`
	Want  string `json:"want"`
	Got   string `json:"got"`
}

// sameSetting compares two values of a topic's setting. Brokers give them back in forms of their own: "0.10" as "0.1",
// lists in another order.
func sameSetting(key, a, b string) bool {
	if key != "cleanup.policy" {
		x, errX := strconv.ParseFloat(a, 64)
		y, errY := strconv.ParseFloat(b, 64)
		return a == b || errX == nil && errY == nil && x == y
	}
	list := func(s string) []string {
		parts := strings.FieldsFunc(s, func(r rune) bool { return r == ',' || r == ' ' })
		slices.Sort(parts)
		return parts
	}
	return slices.Equal(list(a), list(b))
}

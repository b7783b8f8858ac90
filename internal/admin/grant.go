// SPDX-License-Identifier: Apache-2.0

package admin

import (
	"slices"
	"strings"

	"github.com/autobus-io/autobus"
)

// ParseGrant reads a grant as people write it: "publish:orders.*".
func ParseGrant(s string) (autobus.Grant, error) {
	verb, pattern, found := strings.Cut(s, ":")
	if !found {
		return autobus.Grant{}, autobus.NewError(autobus.ReasonRequestInvalid, "grant %q has no pattern", s).
			WithHint("Write verb:pattern, such as publish:orders.* or subscribe:*.")
	}
	g := autobus.Grant{Verb: autobus.Verb(verb), Pattern: pattern}
	if err := checkGrant(g); err != nil {
		return autobus.Grant{}, err
	}
	return g, nil
}

func checkGrant(g autobus.Grant) *autobus.Error {
	if !slices.Contains(autobus.Verbs(), g.Verb) {
		var verbs []string
		for _, v := range autobus.Verbs() {
			verbs = append(verbs, string(v))
		}
		return autobus.NewError(autobus.ReasonRequestInvalid, "grant %s:%s: there is no such verb", g.Verb, g.Pattern).
			WithHint("The verbs are %s.", strings.Join(verbs, ", "))
	}
	if !autobus.ValidPattern(g.Pattern) {
		return autobus.NewError(autobus.ReasonRequestInvalid, "grant %s:%s: that is not a pattern", g.Verb, g.Pattern).
			WithHint("A pattern is a type's name in which a whole segment may be *: orders.order.placed.v1, orders.*, *.")
	}
	return nil
}

func wordRune(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_'
}

// checkPrincipal holds names to [a-z][a-z0-9._-]{0,62}: they stand in ce_source, in logs and in metrics.
func checkPrincipal(name string) *autobus.Error {
	ok := name != "" && len(name) <= 63 && name[0] >= 'a' && name[0] <= 'z'
	for _, r := range name {
		ok = ok && (wordRune(r) && (r < 'A' || r > 'Z') || r == '.')
	}
	if ok {
		return nil
	}
	return autobus.NewError(autobus.ReasonRequestInvalid, "%q is not a principal's name", name).
		WithHint("Use a service's name: a lower-case letter, then up to 62 of a-z, 0-9, dot, underscore, hyphen.")
}

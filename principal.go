// SPDX-License-Identifier: Apache-2.0

package autobus

import "context"

// Verb is something a grant allows.
type Verb string

// The verbs of grants.
const (
	VerbPublish   Verb = "publish"
	VerbSubscribe Verb = "subscribe" // also tail
	VerbRequest   Verb = "request"
	VerbManage    Verb = "manage" // subscriptions, jobs
	VerbRedrive   Verb = "redrive"
	VerbPeek      Verb = "peek" // look into dead letters
)

// Verbs lists every verb in the order of the documentation.
func Verbs() []Verb {
	return []Verb{VerbPublish, VerbSubscribe, VerbRequest, VerbManage, VerbRedrive, VerbPeek}
}

// Grant allows a verb on the types or subscriptions that a pattern matches.
type Grant struct {
	Verb    Verb   `json:"verb"`
	Pattern string `json:"pattern"`
}

// Principal is who acts: the edge sets it, the bus asks it.
type Principal struct {
	Name   string
	Grants []Grant

	// Via is the instance that relays for the principal; empty = he is here himself. What was relayed once is not relayed
	// again.
	Via string `json:"-"`
}

// May reports whether a grant allows the verb on the name. Without a grant nothing is allowed.
func (p Principal) May(v Verb, name string) bool {
	for _, g := range p.Grants {
		if g.Verb == v && MatchType(g.Pattern, name) {
			return true
		}
	}
	return false
}

// MayAny reports whether a grant allows the verb on at least some name that the pattern matches.
func (p Principal) MayAny(v Verb, pattern string) bool {
	for _, g := range p.Grants {
		if g.Verb == v && overlap(g.Pattern, pattern) {
			return true
		}
	}
	return false
}

// MayAll reports whether one grant allows the verb on every name that the pattern matches.
func (p Principal) MayAll(v Verb, pattern string) bool {
	for _, g := range p.Grants {
		if g.Verb == v && covers(g.Pattern, pattern) {
			return true
		}
	}
	return false
}

type principalKey struct{}

// WithPrincipal returns a context in which p acts.
func WithPrincipal(ctx context.Context, p Principal) context.Context {
	return context.WithValue(ctx, principalKey{}, p)
}

// PrincipalOf returns who acts in ctx, and whether anybody does.
func PrincipalOf(ctx context.Context) (Principal, bool) {
	p, ok := ctx.Value(principalKey{}).(Principal)
	return p, ok
}

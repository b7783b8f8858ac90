// SPDX-License-Identifier: Apache-2.0

package admin

import (
	"testing"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/edge"
)

// FuzzPolicy: a body is a policy or an error of the client's (501 for what is not offered yet).
func FuzzPolicy(f *testing.F) {
	for _, s := range []string{`{"types":["a.*"]}`, `{"types":["a.*"],"queue":true}`, `{"types":["a"],"sla":null}`,
		`{"a":1}`,
		`{"types":["a.*"],"types":[]}`, `7`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		if _, err := readPolicy(body); err != nil {
			if c := edge.Status(autobus.AsError(err)); (c < 400 || c > 499) && c != 501 {
				t.Errorf("%q: %v", body, err)
			}
		}
	})
}

// FuzzGrant: what is read as a grant is written as it was.
func FuzzGrant(f *testing.F) {
	for _, s := range []string{"publish:orders.*", "subscribe:*", "manage", ":", "peek:a..b", "publish:a*"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		g, err := ParseGrant(text)
		if err == nil && string(g.Verb)+":"+g.Pattern != text {
			t.Errorf("%q became %+v", text, g)
		}
		_ = checkPrincipal(text)
		if id, ok := tokenID(text); ok && len(id) != idChars {
			t.Errorf("%q has the id %q", text, id)
		}
	})
}

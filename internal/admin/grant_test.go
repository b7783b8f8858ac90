// SPDX-License-Identifier: Apache-2.0

package admin

import (
	"errors"
	"strings"
	"testing"

	"github.com/autobus-io/autobus"
)

func TestParseGrant(t *testing.T) {
	for _, tc := range []struct {
		in   string
		want autobus.Grant
		ok   bool
	}{
		{"publish:orders.*", autobus.Grant{Verb: autobus.VerbPublish, Pattern: "orders.*"}, true},
		{"subscribe:*", autobus.Grant{Verb: autobus.VerbSubscribe, Pattern: "*"}, true},
		{"manage:orders.*.placed.v1", autobus.Grant{Verb: autobus.VerbManage, Pattern: "orders.*.placed.v1"}, true},
		{"publish:My_Topic-1", autobus.Grant{Verb: autobus.VerbPublish, Pattern: "My_Topic-1"}, true},
		{"publish", autobus.Grant{}, false},
		{"publish:", autobus.Grant{}, false},
		{"write:orders.*", autobus.Grant{}, false},
		{"Publish:orders.*", autobus.Grant{}, false},
		{"publish:orders*", autobus.Grant{}, false},
		{"publish:orders..v1", autobus.Grant{}, false},
		{"publish:orders.", autobus.Grant{}, false},
		{"publish:orders.*\n", autobus.Grant{}, false},
		{"publish:заказы.*", autobus.Grant{}, false},
		{"publish:" + strings.Repeat("a", 250), autobus.Grant{}, false},
	} {
		got, err := ParseGrant(tc.in)
		if got != tc.want || (err == nil) != tc.ok {
			t.Errorf("ParseGrant(%q) = %v, %v; want %v, ok %v", tc.in, got, err, tc.want, tc.ok)
		}
		if err != nil && !errors.Is(err, &autobus.Error{Reason: autobus.ReasonRequestInvalid}) {
			t.Errorf("ParseGrant(%q): reason of %v", tc.in, err)
		}
	}
}

func TestCheckPrincipal(t *testing.T) {
	for name, ok := range map[string]bool{
		"checkout": true, "a": true, "refund-tool_2.kz": true, "a" + strings.Repeat("b", 62): true,
		"": false, "Checkout": false, "1st": false, "-a": false, "a b": false, "a/b": false, "ü": false, "aü": false,
		"checkOut": false, "a" + strings.Repeat("b", 63): false,
	} {
		if err := checkPrincipal(name); (err == nil) != ok {
			t.Errorf("checkPrincipal(%q) = %v, want ok %v", name, err, ok)
		}
	}
}

func TestSecret(t *testing.T) {
	seen := map[string]bool{}
	for range 1000 {
		token, id := newSecret()
		if got, ok := tokenID(token); !ok || got != id {
			t.Fatalf("tokenID(%q) = %q, %v; want %q", token, got, ok, id)
		}
		if seen[token] || seen[id] {
			t.Fatalf("token %q came twice", token)
		}
		seen[token], seen[id] = true, true
	}
}

func TestTokenIDRefuses(t *testing.T) {
	token, _ := newSecret()
	for _, bad := range []string{
		"", "ab_", token[1:], token + "0", token[:len(token)-1], "xx_" + token[3:], strings.Replace(token[3:], "_", "-", 1),
	} {
		if id, ok := tokenID(bad); ok {
			t.Errorf("tokenID(%q) = %q, want none", bad, id)
		}
	}
}

// The stored hash must not change: tokens given out before would stop to count.
func TestHashTokenIsStable(t *testing.T) {
	const token = "ab_00112233445566778899aabb_" // any text will do
	const want = "99e91f7e544bfee0512a522ccbda1eef3e4884a3dca4e8ee3f42b1c3aeb90707"
	if got := hashToken(token); got != want {
		t.Errorf("hashToken = %s, want %s", got, want)
	}
}

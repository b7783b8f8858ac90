// SPDX-License-Identifier: Apache-2.0

package peer_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/peer"
)

var shop = autobus.Principal{Name: "shop", Grants: []autobus.Grant{{Verb: autobus.VerbSubscribe, Pattern: "orders.*"},
	{Verb: autobus.VerbManage, Pattern: "*"}}}

func TestATokenNamesInstanceAndPrincipal(t *testing.T) {
	keys := peer.NewKeys("sixteen bytes or more")
	token, err := keys.Token("a", shop)
	if err != nil {
		t.Fatal(err)
	}
	p, ok := keys.Principal(token)
	if !ok || p.Name != "shop" || p.Via != "a" || !slices.Equal(p.Grants, shop.Grants[:1]) {
		t.Errorf("%+v %v", p, ok)
	}
	if strings.Contains(token, "sixteen") {
		t.Error("the token shows the secret")
	}
}

// Instances of two versions, and of any order of restarts, have to understand each other.
func TestTokensStayReadable(t *testing.T) {
	const token = "peer1.eyJpbnN0YW5jZSI6ImEiLCJuYW1lIjoic2hvcCIsImdyYW50cyI6W3sidmVy" +
		"YiI6InN1YnNjcmliZSIsInBhdHRlcm4iOiJvcmRlcnMuKiJ9XX0." +
		"Wr1fdk7LtYzyyo0jiz7u4o8TJO3wHfhLcUkA0VL5kFo"
	p, ok := peer.NewKeys("sixteen bytes or more").Principal(token)
	if !ok || p.Name != "shop" || p.Via != "a" || !slices.Equal(p.Grants, shop.Grants[:1]) {
		t.Errorf("%+v %v", p, ok)
	}
}

func TestForgedTokensAreRefused(t *testing.T) {
	keys := peer.NewKeys("sixteen bytes or more")
	token, err := keys.Token("a", shop)
	if err != nil {
		t.Fatal(err)
	}
	for i := range token {
		other := []byte(token)
		other[i] = 'A'
		if token[i] == 'A' {
			other[i] = 'B'
		}
		if p, ok := keys.Principal(string(other)); ok {
			t.Errorf("%s is taken for %+v", other, p)
		}
	}
	for _, bad := range []string{"", "peer1.", "peer1..", token + "A", token[:len(token)-1], token[6:]} {
		if _, ok := keys.Principal(bad); ok {
			t.Errorf("%q is taken", bad)
		}
	}
	if _, ok := peer.NewKeys("another secret of them").Principal(token); ok {
		t.Error("the token of another secret is taken")
	}
	empty, err := peer.NewKeys("").Token("a", shop)
	if _, ok := peer.NewKeys("").Principal(empty); ok || err != nil {
		t.Errorf("a token without a secret is taken (%v)", err)
	}
}

func TestATokenHasALimit(t *testing.T) {
	many := autobus.Principal{Name: "many"}
	for i := range 1000 {
		many.Grants = append(many.Grants, autobus.Grant{Verb: autobus.VerbSubscribe, Pattern: fmt.Sprint("a.b", i, ".v1")})
	}
	_, err := peer.NewKeys("sixteen bytes or more").Token("a", many)
	if !errors.Is(err, &autobus.Error{Reason: autobus.ReasonForbidden}) {
		t.Errorf("got %v", err)
	}
}

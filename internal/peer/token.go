// SPDX-License-Identifier: Apache-2.0

package peer

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"strings"

	"github.com/autobus-io/autobus"
)

const (
	// MinSecret is how many bytes a secret has at least.
	MinSecret = 16

	prefix   = "peer1."
	maxToken = 16 << 10 // a gateway takes headers of 32 KiB
)

// Keys makes and reads the tokens of instances. Those of all instances of a cluster have the same secret.
type Keys struct{ secret []byte }

// NewKeys uses a secret.
func NewKeys(secret string) Keys { return Keys{[]byte(secret)} }

// claim is what a token says. Its JSON is signed as it stands.
type claim struct {
	Instance string          `json:"instance"`
	Name     string          `json:"name"`
	Grants   []autobus.Grant `json:"grants"`
}

// Token names an instance and the principal it acts for. Of his grants it says those that concern subscriptions:
// nothing else is relayed.
func (k Keys) Token(instance string, p autobus.Principal) (string, error) {
	c := claim{Instance: instance, Name: p.Name}
	for _, g := range p.Grants {
		if g.Verb == autobus.VerbSubscribe {
			c.Grants = append(c.Grants, g)
		}
	}
	text, err := json.Marshal(c)
	if err != nil {
		return "", err
	}
	body := base64.RawURLEncoding.EncodeToString(text)
	token := prefix + body + "." + base64.RawURLEncoding.EncodeToString(k.sign(body))
	if len(token) > maxToken {
		return "", autobus.NewError(autobus.ReasonForbidden, "%s has more grants than another instance can be told of",
			p.Name).WithHint("Give the principal fewer grants, by patterns.")
	}
	return token, nil
}

// Principal reads a token. False: it was not made with this secret.
func (k Keys) Principal(token string) (p autobus.Principal, ok bool) {
	rest, ok := strings.CutPrefix(token, prefix)
	body, mac, cut := strings.Cut(rest, ".")
	if !ok || !cut || len(k.secret) == 0 {
		return p, false
	}
	given, err := base64.RawURLEncoding.Strict().DecodeString(mac)
	if err != nil || !hmac.Equal(given, k.sign(body)) {
		return p, false
	}
	text, err := base64.RawURLEncoding.DecodeString(body)
	var c claim
	if err != nil || json.Unmarshal(text, &c) != nil || c.Instance == "" {
		return p, false
	}
	return autobus.Principal{Name: c.Name, Grants: c.Grants, Via: c.Instance}, true
}

func (k Keys) sign(body string) []byte {
	h := hmac.New(sha256.New, k.secret)
	h.Write([]byte(prefix + body)) // it never fails
	return h.Sum(nil)
}

// SPDX-License-Identifier: Apache-2.0

package admin

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"math/big"
	"strings"
)

// A token is "ab_" + id + "_" + secret. The prefix lets secret scanners find leaked ones; the id is public, names the
// control record and is what people revoke by; the secret is 256 random bits in base 62, so that a double click
// selects all of it.
const (
	tokenPrefix = "ab_"
	idBytes     = 6
	idChars     = 2 * idBytes
	secretBytes = 32
	secretChars = 43 // ceil(256 / log2(62))
)

// newSecret makes a token and its id. crypto/rand never fails: without entropy the process ends.
func newSecret() (token, id string) {
	var b [idBytes + secretBytes]byte
	_, _ = rand.Read(b[:])
	id = hex.EncodeToString(b[:idBytes])
	s := new(big.Int).SetBytes(b[idBytes:]).Text(62)
	return tokenPrefix + id + "_" + strings.Repeat("0", secretChars-len(s)) + s, id
}

// tokenID finds the id in a token and refuses what cannot be one before anything is computed from it.
func tokenID(token string) (id string, ok bool) {
	rest, ok := strings.CutPrefix(token, tokenPrefix)
	if !ok || len(rest) != idChars+1+secretChars || rest[idChars] != '_' {
		return "", false
	}
	return rest[:idChars], true
}

// hashToken is what is stored. A plain SHA-256 is enough: slow hashes protect secrets that people choose, and nobody
// can try out 2^256 of them; a fast one keeps every request cheap.
func hashToken(token string) string {
	h := sha256.Sum256([]byte(token))
	return hex.EncodeToString(h[:])
}

func sameHash(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }

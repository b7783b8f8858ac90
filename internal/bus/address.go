// SPDX-License-Identifier: Apache-2.0

package bus

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"

	"github.com/autobus-io/autobus"
)

// address is where replies are sent, as the bus itself reads it: a partition of the log of replies, whose it is, and
// 128 random bits that nobody else knows. Its text is signed, so that any instance can tell one that the bus gave from
// one that somebody made up, without having heard of the inbox:
//
//	version 1 | partition 2 | owner 8 | nonce 16 | signature 10   bytes, as base64url
type address struct {
	partition int32
	owner     [8]byte // of the principal's name, keyed: a name is nobody else's business
	nonce     inboxID
}

// inboxID is what tells inboxes apart.
type inboxID [16]byte

const (
	addressVersion = 1
	addressBody    = 1 + 2 + 8 + 16
	addressBytes   = addressBody + 10
)

// signer makes and reads addresses by the cluster's secret.
type signer struct{ key []byte }

func (s signer) sum(what string, b []byte) []byte {
	h := hmac.New(sha256.New, s.key)
	h.Write([]byte(what))
	h.Write(b)
	return h.Sum(nil)
}

func (s signer) owner(principal string) (o [8]byte) {
	copy(o[:], s.sum("owner", []byte(principal)))
	return o
}

// newAddress makes an address of a principal.
func (s signer) newAddress(principal string, partition int32) address {
	a := address{partition: partition, owner: s.owner(principal)}
	_, _ = rand.Read(a.nonce[:]) // never fails since Go 1.24
	return a
}

// text is the address as clients see it.
func (s signer) text(a address) autobus.Address {
	b := make([]byte, 0, addressBytes)
	b = binary.BigEndian.AppendUint16(append(b, addressVersion), uint16(a.partition))
	b = append(append(b, a.owner[:]...), a.nonce[:]...)
	b = append(b, s.sum("inbox", b)[:addressBytes-addressBody]...)
	return autobus.Address(base64.RawURLEncoding.EncodeToString(b))
}

// read takes an address apart; false = the bus never gave it.
func (s signer) read(text autobus.Address) (a address, ok bool) {
	b, err := base64.RawURLEncoding.Strict().DecodeString(string(text))
	if err != nil || len(b) != addressBytes || b[0] != addressVersion ||
		!hmac.Equal(b[addressBody:], s.sum("inbox", b[:addressBody])[:addressBytes-addressBody]) {
		return a, false
	}
	a.partition = int32(binary.BigEndian.Uint16(b[1:]))
	copy(a.owner[:], b[3:])
	copy(a.nonce[:], b[11:])
	return a, true
}

// nonceOf is the inbox that an address is of, unsigned: for records, which only the bus writes.
func nonceOf(text []byte) (id inboxID, ok bool) {
	var b [addressBytes]byte
	if base64.RawURLEncoding.DecodedLen(len(text)) != addressBytes {
		return id, false
	}
	if _, err := base64.RawURLEncoding.Decode(b[:], text); err != nil {
		return id, false
	}
	copy(id[:], b[11:])
	return id, true
}

// SPDX-License-Identifier: Apache-2.0

package bus

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"strings"
	"sync"

	"github.com/autobus-io/autobus"
)

// nonce names a partition incarnation. It cannot be guessed, so whoever shows it was given a lease.
type nonce [16]byte

func newNonce() (n nonce) {
	_, _ = rand.Read(n[:]) // never fails since Go 1.24
	return n
}

// lease is the right to settle one delivery. Its text is that of its frame, a dot and the offset. A frame is what was
// handed out together of one partition; its text is base64url, without padding, of
//
//	byte     version, 2
//	16 bytes nonce of the partition incarnation
//	u32      partition, big-endian like what follows
//	u32      counter of the partition's frames: the low half of the fence
//	bytes    name of the instance that judges it
type lease struct {
	nonce     nonce
	partition int32
	offset    int64
	counter   uint32
	instance  string
}

const (
	leaseVersion = 2
	leaseFixed   = 1 + 16 + 4 + 4
	leaseMax     = 512 // of a frame's text: more is no lease
)

func (l lease) text() autobus.Lease { return l.frame().At(l.offset) }

// frame is what the texts of one frame have in common.
func (l lease) frame() autobus.Lease {
	b := make([]byte, 0, leaseFixed+len(l.instance))
	b = append(b, leaseVersion)
	b = append(b, l.nonce[:]...)
	b = binary.BigEndian.AppendUint32(b, uint32(l.partition))
	b = binary.BigEndian.AppendUint32(b, l.counter)
	b = append(b, l.instance...)
	return autobus.Lease(base64.RawURLEncoding.EncodeToString(b))
}

// parseFrame reads the lease of a frame; false for what no bus of this version ever wrote.
func parseFrame(frame autobus.Lease) (l lease, ok bool) {
	// The decoder passes over the ends of lines; then a lease would have many forms.
	if len(frame) > leaseMax || strings.ContainsAny(string(frame), "\r\n") {
		return lease{}, false
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(string(frame))
	if err != nil || len(b) < leaseFixed || b[0] != leaseVersion {
		return lease{}, false
	}
	copy(l.nonce[:], b[1:17])
	l.partition = int32(binary.BigEndian.Uint32(b[17:]))
	l.counter = binary.BigEndian.Uint32(b[21:])
	l.instance = string(b[leaseFixed:])
	return l, l.partition >= 0
}

// newestLease bounds what is taken for the version of a lease: what has a higher first byte is no lease at all. Few,
// because what was forged must not look like one.
const newestLease = leaseVersion + 3

// newerFrame reports whether the lease of a frame looks like one that a newer build gave.
func newerFrame(frame autobus.Lease) bool {
	if len(frame) > leaseMax {
		return false
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(string(frame))
	return err == nil && len(b) >= leaseFixed && b[0] > leaseVersion && b[0] <= newestLease
}

// recentNonces is how many ended incarnations are remembered, to tell a late settlement from a forged one.
const recentNonces = 4096

// incarnations knows whose leases are good on this instance.
type incarnations struct {
	mu     sync.Mutex
	live   map[nonce]incarnation
	recent map[nonce]string // ended ones -> subscription
	ended  []nonce          // the same, the oldest first
}

type incarnation struct {
	group *group
	part  *partition
}

func newIncarnations() *incarnations {
	return &incarnations{live: map[nonce]incarnation{}, recent: map[nonce]string{}}
}

func (in *incarnations) add(g *group, p *partition) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.live[p.nonce] = incarnation{g, p}
}

// remove forgets an incarnation, except that it was there.
func (in *incarnations) remove(g *group, p *partition) {
	in.mu.Lock()
	defer in.mu.Unlock()
	delete(in.live, p.nonce)
	in.recent[p.nonce] = g.name
	in.ended = append(in.ended, p.nonce)
	if len(in.ended) > recentNonces {
		delete(in.recent, in.ended[0])
		in.ended = in.ended[1:]
	}
}

// find gives a live incarnation, or the subscription of one that ended not long ago.
func (in *incarnations) find(n nonce) (live incarnation, ok bool, recent string) {
	in.mu.Lock()
	defer in.mu.Unlock()
	live, ok = in.live[n]
	return live, ok, in.recent[n]
}

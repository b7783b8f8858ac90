// SPDX-License-Identifier: Apache-2.0

// Package ledger keeps the delivery states of one partition for one subscription, from one assignment of the partition
// to the next, and reads and writes the form in which they survive: the offset and the metadata of a Kafka commit.
//
// It owns one rule: the base never passes an offset that is not done, and nothing read back can make it do so. It
// refuses to know Kafka, events, keys, leases and time; whoever uses it calls See for each record that was fetched, in
// order, and commits what Encode gives.
//
//	   done     seen: done or undone      not seen, maybe claimed
//	-----------|-------------------------|------------------------
//	          Base                      Next
//
// While Base < Next, Base itself is seen and undone: the oldest of all. Base == Next means that nothing is undone.
//
// What Resume restores are claims. They say nothing before See has met their offset: after Resume the fetch starts at
// Base again, and Base follows it over what is claimed done, never ahead of it. So a position whose base is claimed
// done is sound: it was committed between Resume and the fetch.
//
// # Commit metadata, version 1
//
// These bytes in base64 (standard alphabet, no padding), integers big endian: at most 2,973 bytes, 3,964 characters.
//
//	bytes        what
//	1            version: 1
//	8            base: the committed offset once more
//	4            seek epoch
//	4            incarnation
//	2            n: number of states, 0 to 4096
//	(n+1)/2      states of the offsets base, base+1, ...: 4 bits each, the first of a byte in its low half
//	             0 untouched, 1-14 attempts, 15 done
//	             the last state is not 0; the high half left over by an odd n is 0
//	2            v: length of the vectors, 0 to 900
//	v            vectors: positions per origin of mirrored events; carried on as they are, this version writes none
//	4            CRC-32C of all before
//
// Each state has one form only: what Decode takes, Encode would write. Every version to come keeps the frame, which is
// base64 of at most MaxMetadata characters, version first, CRC-32C last: only so can what a newer build wrote be told
// from garbage. Another meaning of any byte needs another version.
package ledger

// What a partition may hold.
const (
	MaxSpan     = 4096     // offsets from Base to Next; a power of two
	MaxBytes    = 16 << 20 // of events held for them; the user of the ledger counts
	MaxAttempts = 14       // what four bits can count beside untouched and done
	MaxMetadata = 4096     // characters: the brokers' default offset.metadata.max.bytes
)

// States of an offset; those between are numbers of attempts.
const (
	untouched = 0
	done      = 15
)

// nibble reads the i-th state.
func nibble(states []byte, i int) byte { return states[i/2] >> (i % 2 * 4) & 0xf }

// setNibble writes the i-th state.
func setNibble(states []byte, i int, state byte) {
	shift := i % 2 * 4
	states[i/2] = states[i/2]&^(0xf<<shift) | state<<shift
}

// SPDX-License-Identifier: Apache-2.0

package autobustest

import (
	"bytes"
	"hash/fnv"
	"slices"
	"time"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/spec"
)

// topic is what was written of one type. It is guarded by its Bus.
type topic struct {
	name       string
	spec       *spec.Type // nil = unspecified
	partitions [][]*record
	keyless    int // events without a key
	hint       string
	replies    bool // what is written goes to inboxes
}

// record is an event at its place. It never changes.
type record struct {
	event     autobus.Event
	partition int32
	offset    int64
	at        time.Time // by the bus's clock
	only      *group    // injected for one subscription: nobody else sees it
	reply     bool      // it is for an inbox alone
}

// newTopic makes the topic of a type.
func (b *Bus) newTopic(name string, typ *spec.Type) *topic {
	n := b.cfg.partitions
	if n == 0 && typ != nil {
		n = typ.Partitions
	}
	return &topic{name: name, spec: typ, partitions: make([][]*record, max(1, n))}
}

// maxEvent is how large an event of the type may be.
func (t *topic) maxEvent() int {
	if t.spec == nil {
		return autobus.MaxEventBytes
	}
	return t.spec.MaxEventBytes
}

// append writes an event and hands it to whoever reads its type.
func (b *Bus) append(t *topic, e *autobus.Event, only *group) *record {
	p := t.partition(e.Key)
	r := &record{event: clone(e), partition: p, offset: int64(len(t.partitions[p])), at: b.clock.now(), only: only,
		reply: t.replies}
	t.partitions[p] = append(t.partitions[p], r)
	b.written = append(b.written, r)
	if t.replies {
		b.hand(r)
		return r
	}
	for tail := range b.tails {
		tail.see(r)
	}
	for _, g := range b.groups {
		if only == g || only == nil && g.reads(t.name) {
			g.track(r)
			g.dispatch()
		}
	}
	return r
}

// stickyRecords is how many events without a key go to one partition before the next.
const stickyRecords = 256

// partition is where an event with this key goes: where Kafka's own clients, or sarama, would put it.
func (t *topic) partition(key []byte) int32 {
	n := int32(len(t.partitions))
	switch {
	case key == nil:
		t.keyless++
		return int32((t.keyless-1)/stickyRecords) % n
	case t.spec != nil && t.spec.Partitioner == "sarama":
		h := fnv.New32a()
		_, _ = h.Write(key)
		return max(int32(h.Sum32())%n, -(int32(h.Sum32()) % n))
	}
	return int32(murmur2(key)&0x7fffffff) % n
}

// murmur2 is org.apache.kafka.common.utils.Utils.murmur2.
func murmur2(b []byte) uint32 {
	const m = 0x5bd1e995
	h := 0x9747b28c ^ uint32(len(b))
	for ; len(b) >= 4; b = b[4:] {
		k := (uint32(b[0]) | uint32(b[1])<<8 | uint32(b[2])<<16 | uint32(b[3])<<24) * m
		h = h*m ^ (k^k>>24)*m
	}
	for i, c := range slices.Backward(b) {
		h ^= uint32(c) << (8 * i)
		if i == 0 {
			h *= m
		}
	}
	h = (h ^ h>>13) * m
	return h ^ h>>15
}

// clone makes an event that shares nothing with the other one: what a handler does to its event is its own business.
func clone(e *autobus.Event) autobus.Event {
	c := *e
	c.Data, c.Key, c.Extensions = bytes.Clone(e.Data), bytes.Clone(e.Key), slices.Clone(e.Extensions)
	return c
}

// after lists what was written at or after a start, in the order in which it was written.
func (b *Bus) after(s autobus.Start, wanted func(typ string) bool) (out []*record) {
	for _, r := range b.written {
		if r.only != nil || r.reply || !wanted(r.event.Type) {
			continue
		}
		from, named := s.Cursors[r.event.Type][r.partition]
		switch {
		case len(s.Cursors) > 0 && named && r.offset >= from,
			!s.Time.IsZero() && !r.at.Before(s.Time),
			s.Time.IsZero() && s.Earliest && !named:
			out = append(out, r)
		}
	}
	return out
}

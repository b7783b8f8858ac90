// SPDX-License-Identifier: Apache-2.0

package bus

import (
	"encoding/binary"
	"hash/maphash"
	"sync"
	"time"

	"github.com/autobus-io/autobus"
)

// How much the table of duplicates remembers. An entry takes about 100 bytes.
const (
	duplicateIDs = 500_000
	duplicateAge = 10 * time.Minute
)

// duplicates recognizes an event that comes again under the same principal, source and id. While the first attempt is
// under way others join it and get its result; once it was written they get its receipt. Refused attempts and those
// that ended in an error are forgotten. The table is this instance's own and bounded: what it no longer knows is
// written again, and readers have ce_id.
type duplicates struct {
	limit int
	age   time.Duration
	now   func() time.Time
	seeds [2]maphash.Seed

	mu      sync.Mutex
	entries map[claim]*entry
	written []written // by time of writing, a ring of limit places
	first   int       // oldest place of the ring in use
}

// written is a place of the ring. Its entry may have been replaced since.
type written struct {
	claim claim
	entry *entry
}

// claim identifies principal, source and id: two independent 64-bit hashes. The zero claim is none.
type claim [2]uint64

type entry struct {
	content   uint64   // hash of type, key and data
	topic     [16]byte // id of the topic it went to
	pending   bool
	partition int32
	offset    int64
	at        time.Time // when it was written
	joined    []func(autobus.Receipt)
	appended  <-chan struct{} // of the turn in which it was claimed; nil once it has an outcome
}

// turn is what a call of Publish claims before it appends. Between the two the record is not in its place yet: who
// joins the claim waits before he appends what is to stand behind.
type turn struct {
	appended chan struct{}   // closed when all that was claimed is appended, or never will be
	behind   <-chan struct{} // of another turn, of which a claim was joined; nil = none was
}

func newDuplicates(limit int, age time.Duration, now func() time.Time) *duplicates {
	return &duplicates{limit: limit, age: age, now: now, entries: map[claim]*entry{},
		seeds: [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()}}
}

// claim looks an event's id up. first = nobody has it, the caller goes on and must settle the claim. Otherwise, without
// an error, receipt is called now or later with the first attempt's result. What was written to a topic that has been
// deleted since, and made again under another id, is forgotten.
func (d *duplicates) claim(principal string, topic [16]byte, e *autobus.Event, t *turn,
	receipt func(autobus.Receipt)) (c claim, first bool, err *autobus.Error) {
	c = claim{d.hash(0, principal, e.Source, e.ID), d.hash(1, principal, e.Source, e.ID)}
	content := d.content(e)
	d.mu.Lock()
	d.expire()
	en, known := d.entries[c]
	switch {
	case !known, !en.pending && en.content == content && en.topic != topic:
		d.entries[c] = &entry{content: content, topic: topic, pending: true, appended: t.appended}
		d.mu.Unlock()
		return c, true, nil
	case en.content != content:
		d.mu.Unlock()
		return claim{}, false, autobus.NewError(autobus.ReasonIDConflict,
			"id %s of source %s was used for another type, key or data", e.ID, e.Source)
	case en.pending:
		en.joined = append(en.joined, receipt)
		if en.appended != t.appended {
			t.behind = en.appended
		}
		d.mu.Unlock()
		return claim{}, false, nil
	}
	rc := autobus.Receipt{Status: autobus.Written, Duplicate: true, Partition: en.partition, Offset: en.offset}
	d.mu.Unlock()
	receipt(rc)
	return claim{}, false, nil
}

// settle tells the outcome of a claim to those who joined it, and keeps it if the event was written.
func (d *duplicates) settle(c claim, rc autobus.Receipt) {
	if c == (claim{}) {
		return
	}
	d.mu.Lock()
	en := d.entries[c]
	joined := en.joined
	en.joined, en.pending, en.appended = nil, false, nil
	if rc.Status == autobus.Written {
		en.partition, en.offset, en.at = rc.Partition, rc.Offset, d.now()
		d.keep(c, en)
		rc.Duplicate = true
	} else {
		delete(d.entries, c)
	}
	d.mu.Unlock()
	for _, receipt := range joined {
		receipt(rc)
	}
}

// keep puts a written id into the ring, in place of the oldest when it is full.
func (d *duplicates) keep(c claim, en *entry) {
	if len(d.written)-d.first >= d.limit {
		d.drop()
	}
	d.written = append(d.written, written{c, en})
	if d.first > d.limit { // half of the slice is used up: move the rest to its start
		d.written = append(d.written[:0], d.written[d.first:]...)
		d.first = 0
	}
}

func (d *duplicates) expire() {
	for d.first < len(d.written) && d.now().Sub(d.written[d.first].entry.at) > d.age {
		d.drop()
	}
}

func (d *duplicates) drop() {
	if w := &d.written[d.first]; d.entries[w.claim] == w.entry {
		delete(d.entries, w.claim)
	}
	d.written[d.first] = written{}
	d.first++
}

func (d *duplicates) status() DuplicateStatus {
	d.mu.Lock()
	defer d.mu.Unlock()
	window := d.age
	if n := len(d.written) - d.first; n >= d.limit {
		window = d.now().Sub(d.written[d.first].entry.at)
	}
	return DuplicateStatus{IDs: len(d.entries), Limit: d.limit, Window: window.Truncate(time.Second).String()}
}

func (d *duplicates) hash(seed int, parts ...string) uint64 {
	var h maphash.Hash
	h.SetSeed(d.seeds[seed])
	for _, p := range parts {
		frame(&h, len(p))
		_, _ = h.WriteString(p)
	}
	return h.Sum64()
}

func (d *duplicates) content(e *autobus.Event) uint64 {
	var h maphash.Hash
	h.SetSeed(d.seeds[0])
	frame(&h, len(e.Type))
	_, _ = h.WriteString(e.Type)
	frame(&h, len(e.Key))
	_, _ = h.Write(e.Key)
	_, _ = h.Write(e.Data)
	return h.Sum64()
}

// frame keeps "ab"+"c" and "a"+"bc" apart.
func frame(h *maphash.Hash, n int) {
	var b [8]byte
	binary.LittleEndian.PutUint64(b[:], uint64(n))
	_, _ = h.Write(b[:])
}

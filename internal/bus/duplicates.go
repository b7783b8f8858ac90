// SPDX-License-Identifier: Apache-2.0

package bus

import (
	"encoding/binary"
	"hash/maphash"
	"sync"
	"time"

	"github.com/autobus-io/autobus"
)

// How much the table of duplicates remembers. An id takes about 100 bytes.
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
	began time.Time
	seeds [2]maphash.Seed

	mu      sync.Mutex
	pending map[claim]*attempt
	memory  memory // of what was written
	places  places // of claims in it
}

// claim identifies principal, source and id: two independent 64-bit hashes. The zero claim is none.
type claim [2]uint64

// attempt is a claim under way.
type attempt struct {
	content  uint64   // hash of type, key and data
	topic    [16]byte // id of the topic it goes to
	joined   []func(autobus.Receipt)
	appended <-chan struct{} // of the turn in which it was claimed
}

// turn is what a call of Publish claims before it appends. Between the two the record is not in its place yet: who
// joins the claim waits before he appends what is to stand behind.
type turn struct {
	appended chan struct{}   // closed when all that was claimed is appended, or never will be
	behind   <-chan struct{} // of another turn, of which a claim was joined; nil = none was
}

func newDuplicates(limit int, age time.Duration, now func() time.Time) *duplicates {
	d := &duplicates{limit: limit, age: age, now: now, began: now(), pending: map[claim]*attempt{},
		seeds: [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()}}
	d.places = newPlaces(&d.memory, limit)
	return d
}

// claim looks an event's id up. first = nobody has it, the caller goes on and must settle the claim. Otherwise, without
// an error, receipt is called now or later with the first attempt's result. What was written to a topic that has been
// deleted since, and made again under another id, is forgotten.
func (d *duplicates) claim(principal string, topic [16]byte, e *autobus.Event, t *turn,
	receipt func(autobus.Receipt)) (c claim, first bool, err *autobus.Error) {
	c = claim{d.hash(0, principal, e.Source, e.ID), d.hash(1, principal, e.Source, e.ID)}
	content := d.content(e)
	switch before, known, over := d.look(c, &attempt{content: content, topic: topic, appended: t.appended}, t, receipt); {
	case !known:
		return c, true, nil
	case before.content != content:
		return claim{}, false, autobus.NewError(autobus.ReasonIDConflict,
			"id %s of source %s was used for another type, key or data", e.ID, e.Source)
	case over:
		receipt(autobus.Receipt{Status: autobus.Written, Duplicate: true, Partition: before.partition,
			Offset: before.offset})
	}
	return claim{}, false, nil
}

// look finds who had a claim before, or gives it to a. over = that one was written; else it is under way, and if it is
// of the same event, receipt joins it.
func (d *duplicates) look(c claim, a *attempt, t *turn, receipt func(autobus.Receipt)) (before written,
	known, over bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.expire()
	if first := d.pending[c]; first != nil {
		if first.content == a.content {
			first.joined = append(first.joined, receipt)
			if first.appended != t.appended {
				t.behind = first.appended
			}
		}
		return written{content: first.content}, true, false
	}
	if place, ok := d.places.get(c); ok {
		if w := d.memory.at(place); w.topic == a.topic || w.content != a.content {
			return *w, true, true
		}
	}
	d.pending[c] = a
	return written{}, false, false
}

// settle tells the outcome of a claim to those who joined it, and keeps it if the event was written.
func (d *duplicates) settle(c claim, rc autobus.Receipt) {
	if c == (claim{}) {
		return
	}
	d.mu.Lock()
	a := d.pending[c]
	delete(d.pending, c)
	if rc.Status == autobus.Written {
		if d.memory.size() >= d.limit {
			d.drop()
		}
		d.places.put(c, d.memory.add(written{claim: c, content: a.content, topic: a.topic, partition: rc.Partition,
			offset: rc.Offset, at: d.now().Sub(d.began)}))
		rc.Duplicate = true
	}
	d.mu.Unlock()
	for _, receipt := range a.joined {
		receipt(rc)
	}
}

func (d *duplicates) expire() {
	now := d.now().Sub(d.began)
	for d.memory.size() > 0 && now-d.memory.oldest().at > d.age {
		d.drop()
	}
}

func (d *duplicates) drop() {
	c := d.memory.oldest().claim
	if place, _ := d.places.get(c); place == d.memory.first { // else the id was written again since
		d.places.remove(c)
	}
	d.memory.drop()
}

func (d *duplicates) status() DuplicateStatus {
	d.mu.Lock()
	defer d.mu.Unlock()
	window := d.age
	if d.memory.size() >= d.limit {
		window = d.now().Sub(d.began) - d.memory.oldest().at
	}
	return DuplicateStatus{IDs: d.places.used + len(d.pending), Limit: d.limit,
		Window: window.Truncate(time.Second).String()}
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

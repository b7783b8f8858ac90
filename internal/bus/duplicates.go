// SPDX-License-Identifier: Apache-2.0

package bus

import (
	"encoding/binary"
	"hash/maphash"
	"sync"
	"time"

	"github.com/autobus-io/autobus"
)

// How much the table of duplicates remembers. An id takes about 80 bytes.
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

	mu     sync.Mutex
	turns  map[uint64]<-chan struct{} // those that have not appended yet, by number; closed when they have
	turn   uint64                     // number given last
	joined map[claim][]joiner
	memory memory // of what was written, and is being
	places places // of claims in it
}

// claim identifies principal, source and id: two independent 64-bit hashes. The zero claim is none.
type claim [2]uint64

// claimed is a claim that its holder must settle, and where it stood when it was made.
type claimed struct {
	claim claim
	place uint64
}

// joiner is an event of a publish that gets what another one's attempt comes to.
type joiner struct {
	settle func(i int, rc autobus.Receipt)
	i      int
}

// turn is what a call of Publish claims before it appends. Between the two the record is not in its place yet: who
// joins the claim waits before he appends what is to stand behind.
type turn struct {
	appended chan struct{}   // closed when all that was claimed is appended, or never will be
	behind   <-chan struct{} // of another turn, of which a claim was joined; nil = none was
	number   uint64          // in the table; 0 = it claimed nothing yet
	now      time.Duration   // of its first claim, since the table began
}

func newDuplicates(limit int, age time.Duration, now func() time.Time) *duplicates {
	d := &duplicates{limit: limit, age: age, now: now, began: now(), turns: map[uint64]<-chan struct{}{},
		joined: map[claim][]joiner{},
		seeds:  [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()}}
	d.places = newPlaces(&d.memory, limit)
	return d
}

// claim looks an event's id up. first = nobody has it, the caller goes on and must settle the claim. Otherwise, without
// an error, the joiner is settled now or later with the first attempt's result. What was written to a topic that was
// deleted since, and made again under another id, is forgotten.
func (d *duplicates) claim(principal string, topic [16]byte, e *autobus.Event, t *turn,
	j joiner) (c claimed, first bool, err *autobus.Error) {
	w := written{claim: d.identity(principal, e), content: d.content(e), topic: topic, state: pending}
	switch before, place, known := d.look(w, t, j); {
	case !known:
		return claimed{w.claim, place}, true, nil
	case before.content != w.content:
		return claimed{}, false, autobus.NewError(autobus.ReasonIDConflict,
			"id %s of source %s was used for another type, key or data", e.ID, e.Source)
	case before.state == kept:
		j.settle(j.i, autobus.Receipt{Status: autobus.Written, Duplicate: true, Partition: before.partition,
			Offset: before.offset})
	}
	return claimed{}, false, nil
}

// look finds who had a claim before, or else notes that w has it now, and where. If the one before is under way and of
// the same event, j joins it.
func (d *duplicates) look(w written, t *turn, j joiner) (before written, place uint64, known bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if t.number == 0 {
		d.turn++
		t.number, t.now = d.turn, d.now().Sub(d.began)
		d.turns[t.number] = t.appended
		d.expire(t.now)
	}
	if place, known = d.places.get(w.claim); known {
		before := *d.memory.at(place)
		switch {
		case before.content != w.content:
			return before, place, true
		case before.state == pending:
			d.joined[w.claim] = append(d.joined[w.claim], j)
			if behind := d.turns[before.turn()]; behind != nil && before.turn() != t.number {
				t.behind = behind
			}
			return before, place, true
		case before.topic == w.topic:
			return before, place, true
		}
	}
	w.at, w.offset = t.now, int64(t.number)
	for tries := 2; tries > 0 && d.memory.size() >= d.limit; tries-- { // the oldest may be under way
		d.drop(t.now)
	}
	place = d.memory.add(w)
	d.places.put(w.claim, place)
	return written{}, place, false
}

// appended says that what a turn claimed has its place, or never will have one.
func (d *duplicates) appended(t *turn) {
	if t.number != 0 {
		d.mu.Lock()
		delete(d.turns, t.number)
		d.mu.Unlock()
	}
	close(t.appended)
}

// settle tells the outcome of a claim to those who joined it, and keeps it if the event was written.
func (d *duplicates) settle(c claimed, rc autobus.Receipt) {
	if c == (claimed{}) {
		return
	}
	d.mu.Lock()
	if c.place < d.memory.first || d.memory.at(c.place).claim != c.claim { // it was moved, for it took so long
		c.place, _ = d.places.get(c.claim)
	}
	w := d.memory.at(c.place)
	if rc.Status == autobus.Written {
		w.state, w.partition, w.offset = kept, rc.Partition, rc.Offset
		rc.Duplicate = true
	} else {
		d.places.remove(c.claim)
		*w = written{at: w.at}
		d.memory.trim()
	}
	var joined []joiner
	if len(d.joined) > 0 {
		joined = d.joined[c.claim]
		delete(d.joined, c.claim)
	}
	d.mu.Unlock()
	for _, j := range joined {
		j.settle(j.i, rc)
	}
}

func (d *duplicates) expire(now time.Duration) {
	for n := d.memory.size(); n > 0 && now-d.memory.oldest().at > d.age; n-- {
		d.drop(now)
	}
}

// drop forgets the oldest. One that is under way is young again: what it is to be settled for is not over.
func (d *duplicates) drop(now time.Duration) {
	w := *d.memory.oldest()
	place, known := d.places.get(w.claim)
	known = known && place == d.memory.first // else the id was written again since
	switch {
	case known && w.state == pending:
		w.at = now
		d.places.put(w.claim, d.memory.add(w))
	case known:
		d.places.remove(w.claim)
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
	return DuplicateStatus{IDs: d.places.used, Limit: d.limit, Window: window.Truncate(time.Second).String()}
}

// identity hashes whose event it is, and its id. A request is another one for each inbox: whoever asks again from a new
// one, because the process died that had the old, would wait in vain if the request were not written again.
func (d *duplicates) identity(principal string, e *autobus.Event) claim {
	var room [256]byte
	b := frame(frame(room[:0], principal), e.Source)
	if to, asks := e.Ext(autobus.ExtReplyTo); asks {
		b = frame(b, to)
	}
	b = append(b, e.ID...)
	return claim{maphash.Bytes(d.seeds[0], b), maphash.Bytes(d.seeds[1], b)}
}

func (d *duplicates) content(e *autobus.Event) uint64 {
	var room [256]byte
	b := binary.LittleEndian.AppendUint64(room[:0], maphash.Bytes(d.seeds[0], e.Data))
	b = frame(b, e.Type)
	b = append(b, e.Key...)
	return maphash.Bytes(d.seeds[1], b)
}

// frame keeps "ab"+"c" and "a"+"bc" apart.
func frame(b []byte, s string) []byte {
	return append(binary.LittleEndian.AppendUint64(b, uint64(len(s))), s...)
}

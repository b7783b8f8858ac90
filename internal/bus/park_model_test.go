// SPDX-License-Identifier: Apache-2.0

package bus

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/autobus-io/autobus/internal/kafka"
	"github.com/autobus-io/autobus/internal/ledger"
)

// The model of parking: a partition of a source, its park log, and one owner of it after the other, each of which may
// live on after it was expelled. It stands on the ledger, the records and the replay that the bus has, and does between
// them what park.go does, one step at a time, with a crash, an expulsion and a compaction possible at every step.
// Events come all the time: also late and twice, as the delayed ones do whose hops were repeated. Operators move the
// position of the live group at any time. A replay is the same with another commit, which nothing keeps an expelled
// owner from writing but that it has to commit the main flow's position first.

type parkWorld struct {
	keys      []string // of the source's events, by offset
	log       []kafka.Record
	end       int64 // next offset of the park log
	committed ledgerCommit
	owners    []*parkOwner // the last one is the owner, the others do not know yet that they are none
	replay    bool

	epoch uint32 // seek epoch in force
	begin int64  // where it begins
	tale  *parkTale
}

// parkTale is what became of the events in one seek epoch.
type parkTale struct {
	acked   map[int64]bool // by some worker; what stands before the beginning counts as that
	first   map[string]int64
	tried   map[int64]int  // attempts of parked events
	durable map[int64]bool // its end is stored: no owner that begins from now on may deliver it
}

type ledgerCommit struct {
	base        int64
	metadata    string
	incarnation uint32
}

type parkOwner struct {
	incarnation uint32
	source      source
	tale        *parkTale
	loaded      bool
	ledger      *ledger.Ledger
	ended       map[int64]struct{}
	items       map[int64]*parkItem
	knows       map[int64]bool // durable when it began
	out         []parkAppend   // handed to the producer, in order
	landed      int            // how many of them are in the log and not yet confirmed
	parked      map[int64]bool // of which it knows a copy, or sent one
	progress    *ledgerCommit  // of a replay: about to be stored
	fenced      bool           // the commit that has to come before it has
}

type parkItem struct {
	offset  int64
	at      bool     // a copy is known to be in the log
	ids     []copyID // of all that may be there
	sent    int      // copies on their way
	attempt int
}

type parkAppend struct {
	record kafka.Record
	item   *parkItem // of a copy
	ends   int64     // of a done; -1 = of none
}

func newParkWorld(t *rapid.T, replay bool) *parkWorld {
	w := &parkWorld{replay: replay}
	w.seek(t, 0)
	return w
}

func (w *parkWorld) owner() *parkOwner { return w.owners[len(w.owners)-1] }

var parkSource = source{kafka.TP{Topic: "orders"}, 7}

func (w *parkWorld) append(r kafka.Record) {
	r.Offset = w.end
	w.end++
	w.log = append(w.log, r)
}

// seek moves the position. Who had the partition goes on, if only to find out, and its successor begins there.
func (w *parkWorld) seek(t *rapid.T, to int64) {
	w.epoch, w.begin = w.epoch+1, to
	w.tale = &parkTale{acked: map[int64]bool{}, first: map[string]int64{}, tried: map[int64]int{},
		durable: map[int64]bool{}}
	for offset := range to {
		w.tale.acked[offset], w.tale.durable[offset] = true, true
	}
	w.takeOver(t)
}

// position is where an owner begins.
func (w *parkWorld) position(t *rapid.T) ledger.Position {
	if w.committed.metadata != "" {
		p, err := ledger.Decode(w.committed.base, w.committed.metadata)
		if err != nil {
			t.Fatal(err)
		}
		if p.SeekEpoch == w.epoch {
			return p
		}
	}
	return ledger.Position{Base: w.begin, SeekEpoch: w.epoch}
}

// takeOver gives the partition to a new owner: commit, claim, replay of the park log.
func (w *parkWorld) takeOver(t *rapid.T) {
	w.committed.incarnation++
	o := &parkOwner{incarnation: w.committed.incarnation, source: source{parkSource.TP, w.epoch}, tale: w.tale,
		items: map[int64]*parkItem{}, knows: map[int64]bool{}, parked: map[int64]bool{}}
	o.ledger = ledger.Resume(w.position(t), o.incarnation)
	w.owners = append(w.owners, o)
	if !w.replay {
		w.commit(o)
	}
	w.append(claimRecord(o.source, o.incarnation))
	shelves := map[source]*shelf{o.source: newShelf()}
	for i := range w.log {
		f, ok, err := parseFact(&w.log[i])
		if err != nil || !ok {
			t.Fatalf("fact %d: %v", i, err)
		}
		if shelves[f.source] == nil {
			shelves[f.source] = newShelf()
		}
		shelves[f.source].apply(f)
	}
	sh := shelves[o.source]
	for _, f := range sh.inOrder() {
		o.parked[f.offset] = true
		o.items[f.offset] = &parkItem{offset: f.offset, at: true, ids: []copyID{f.copyID}, attempt: f.attempt}
	}
	o.ended = map[int64]struct{}{}
	for offset := range sh.ended {
		o.ended[offset] = struct{}{}
	}
	for of, s := range shelves {
		gone := s.voids
		if of != o.source {
			gone = s.everything
		}
		for _, id := range gone() {
			o.out = append(o.out, parkAppend{record: endRecord(kindVoid, of, id), ends: -1})
		}
	}
	o.loaded = true
	w.stored(o)
	for offset := range w.tale.durable {
		o.knows[offset] = true
	}
}

// commit is refused for who was expelled.
func (w *parkWorld) commit(o *parkOwner) {
	if o != w.owner() {
		return
	}
	w.committed.base, w.committed.metadata, _ = o.ledger.Encode()
	if o.loaded {
		w.stored(o)
	}
}

// store goes on with storing the progress of a replay: what is known now, a commit of the main flow, the progress.
func (w *parkWorld) store(o *parkOwner) {
	switch {
	case o.progress == nil:
		o.progress = &ledgerCommit{}
		o.progress.base, o.progress.metadata, _ = o.ledger.Encode()
	case !o.fenced:
		if o.fenced = o == w.owner(); !o.fenced {
			o.progress = nil
		}
	default:
		w.committed.base, w.committed.metadata = o.progress.base, o.progress.metadata
		o.progress, o.fenced = nil, false
	}
}

// stored takes note of what is done in the source alone, and committed. The progress of a replay may be set back.
func (w *parkWorld) stored(o *parkOwner) {
	for offset := range o.tale.acked {
		if o.ledger.IsDone(offset) && !o.parked[offset] && !w.replay {
			o.tale.durable[offset] = true
		}
	}
}

func (o *parkOwner) lane(w *parkWorld, key string) []*parkItem {
	var lane []*parkItem
	for offset, it := range o.items {
		if w.keys[offset] == key {
			lane = append(lane, it)
		}
	}
	slices.SortFunc(lane, func(a, b *parkItem) int { return int(a.offset - b.offset) })
	return lane
}

// fetch reads one record of the source.
func (o *parkOwner) fetch(w *parkWorld) {
	offset := o.ledger.Next()
	if offset >= int64(len(w.keys)) {
		return
	}
	if s, _ := o.ledger.See(offset); s != ledger.SeenUndone {
		return
	}
	if _, over := o.ended[offset]; over || o.items[offset] != nil {
		o.ledger.Done(offset)
		return
	}
	lane := o.lane(w, w.keys[offset])
	o.items[offset] = &parkItem{offset: offset, attempt: 1}
	if len(lane) > 0 && (lane[len(lane)-1].at || lane[len(lane)-1].sent > 0) {
		o.write(o.items[offset])
	}
}

func (o *parkOwner) write(it *parkItem) {
	id := copyID{by: o.incarnation, offset: it.offset, n: int64(len(it.ids))}
	it.ids = append(it.ids, id)
	r := fact{kind: kindCopy, source: o.source, copyID: id, key: []byte("k"), attempt: it.attempt}.copyRecord(
		&kafka.Record{TP: parkSource.TP, Offset: it.offset, Key: []byte("k")})
	it.sent++
	o.parked[it.offset] = true
	o.out = append(o.out, parkAppend{record: r, item: it, ends: -1})
}

func (o *parkOwner) park(lane []*parkItem) {
	for _, it := range lane {
		if !it.at && it.sent == 0 {
			o.write(it)
		}
	}
}

// deliver hands out the first of a key and ends it, or has it come again.
func (o *parkOwner) deliver(t *rapid.T, w *parkWorld, key string, again bool) {
	lane := o.lane(w, key)
	if len(lane) == 0 || lane[0].offset >= o.ledger.Next() || lane[0].attempt > 1 && lane[0].sent > 0 {
		return
	}
	it := lane[0]
	if o.knows[it.offset] {
		t.Fatalf("%d of key %s comes again, though its end was stored", it.offset, key)
	}
	if last, ok := o.tale.first[key]; !ok || it.offset > last {
		for offset := range it.offset {
			if w.keys[offset] == key && !o.tale.acked[offset] {
				t.Fatalf("%d of key %s comes before %d is done", it.offset, key, offset)
			}
		}
		o.tale.first[key] = it.offset
	}
	if o == w.owner() && it.at {
		if it.attempt < o.tale.tried[it.offset] {
			t.Fatalf("attempt %d of %d comes after attempt %d", it.attempt, it.offset, o.tale.tried[it.offset])
		}
		o.tale.tried[it.offset] = it.attempt
	}
	if again {
		if it.attempt++; it.at || it.sent > 0 {
			o.write(it)
		}
		o.park(lane)
		return
	}
	o.tale.acked[it.offset] = true
	o.ledger.Done(it.offset)
	delete(o.items, it.offset)
	for i, id := range it.ids {
		a := parkAppend{record: endRecord(kindDone, o.source, id), ends: -1}
		if i == len(it.ids)-1 {
			a.ends = it.offset
		}
		o.out = append(o.out, a)
	}
}

// land puts the next append into the log; the answer comes later, or never.
func (o *parkOwner) land(w *parkWorld) {
	if o.landed < len(o.out) {
		w.append(o.out[o.landed].record)
		o.landed++
	}
}

// confirm brings the answer to the oldest append.
func (o *parkOwner) confirm(w *parkWorld) {
	if o.landed == 0 {
		return
	}
	a := o.out[0]
	o.out, o.landed = o.out[1:], o.landed-1
	if a.ends >= 0 && o == w.owner() && !w.replay {
		o.tale.durable[a.ends] = true
	}
	if a.item == nil {
		return
	}
	it := a.item
	it.sent--
	if o.items[it.offset] != it {
		return // it ended meanwhile
	}
	it.at = true
	o.ledger.Done(it.offset)
}

// fail answers all appends with an error: of what landed the owner does not know, and it writes everything again.
func (o *parkOwner) fail() {
	failed := o.out
	o.out, o.landed = nil, 0
	for _, a := range failed {
		if it := a.item; it == nil {
			o.out = append(o.out, a)
		} else if it.sent--; o.items[it.offset] == it && it.sent == 0 {
			o.write(it)
		}
	}
}

// hurry parks what it has of a key and stores that, in one go: a single step of it would rarely come to its end before
// somebody else's.
func (o *parkOwner) hurry(w *parkWorld, key string) {
	o.park(o.lane(w, key))
	for len(o.out) > 0 {
		o.land(w)
		o.confirm(w)
	}
	if !w.replay {
		w.commit(o)
		return
	}
	for range 3 {
		w.store(o)
	}
}

// compact drops what a later record of the same key replaces, and some tombstones of which nothing is left to end.
func (w *parkWorld) compact(t *rapid.T) {
	upTo := rapid.IntRange(0, len(w.log)).Draw(t, "compact up to")
	lastOf := map[string]int{}
	for i := range upTo {
		lastOf[string(w.log[i].Key)] = i
	}
	type event struct {
		source
		offset int64
	}
	left := map[event]bool{} // that have copies
	for i := range w.log {
		if f, _, _ := parseFact(&w.log[i]); f.kind == kindCopy && (i >= upTo || lastOf[string(w.log[i].Key)] == i) {
			left[event{f.source, f.offset}] = true
		}
	}
	var kept []kafka.Record
	for i, r := range w.log {
		f, _, _ := parseFact(&r)
		if i < upTo && lastOf[string(r.Key)] != i {
			continue
		}
		// A tombstone stays for days; until then every ledger has committed what it ended, and what does not count
		// is void.
		old := f.kind != kindCopy && f.kind != kindClaim && !left[event{f.source, f.offset}] &&
			(f.source.epoch != w.epoch || f.offset < w.position(t).Base)
		if i < upTo && old && rapid.Bool().Draw(t, "drop") {
			continue
		}
		kept = append(kept, r)
	}
	w.log = kept
}

// Wherever owners crash, are expelled and go on all the same, and wherever operators move them: no event is lost, a key
// keeps its order, and an event whose end is stored does not come again.
func TestParkingIsExact(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) { runPark(t, newParkWorld(t, false)) })
}

// Of a replay the same holds, but that an end which is stored may be forgotten.
func TestReplaysLeaveNothingOut(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) { runPark(t, newParkWorld(t, true)) })
}

func runPark(t *rapid.T, w *parkWorld) {
	keys := []string{"a", "b", "c"}
	arrive := func(t *rapid.T) { w.keys = append(w.keys, rapid.SampledFrom(keys).Draw(t, "key")) }
	for range rapid.IntRange(1, 12).Draw(t, "events") {
		arrive(t)
	}
	someone := func(t *rapid.T) *parkOwner { // mostly the owner
		if rapid.IntRange(0, 3).Draw(t, "who") > 0 {
			return w.owner()
		}
		return rapid.SampledFrom(w.owners[max(0, len(w.owners)-3):]).Draw(t, "zombie")
	}
	key := func(t *rapid.T) string { return rapid.SampledFrom(keys).Draw(t, "key") }
	actions := map[string]func(*rapid.T){
		"park":    func(t *rapid.T) { o := someone(t); o.park(o.lane(w, key(t))) },
		"again":   func(t *rapid.T) { someone(t).deliver(t, w, key(t), true) },
		"confirm": func(t *rapid.T) { someone(t).confirm(w) },
		"fail":    func(t *rapid.T) { someone(t).fail() },
		"commit":  func(t *rapid.T) { w.commit(someone(t)) },
		"expel":   w.takeOver,
		"crash": func(t *rapid.T) {
			w.owners = w.owners[:len(w.owners)-1]
			w.takeOver(t)
		},
		"hurry":   func(t *rapid.T) { someone(t).hurry(w, key(t)) },
		"compact": w.compact,
		"arrive":  arrive,
		"seek":    func(t *rapid.T) { w.seek(t, rapid.Int64Range(0, int64(len(w.keys))).Draw(t, "to")) },
	}
	if w.replay { // its slice and its epoch are its own, for good
		delete(actions, "seek")
		delete(actions, "arrive")
		for i := range 3 {
			actions[fmt.Sprint("store ", i)] = func(t *rapid.T) { w.store(someone(t)) }
		}
		delete(actions, "commit")
	}
	for i := range 4 {
		actions[fmt.Sprint("fetch ", i)] = func(t *rapid.T) { someone(t).fetch(w) }
		actions[fmt.Sprint("land ", i)] = func(t *rapid.T) { someone(t).land(w) }
		actions[fmt.Sprint("ack ", i)] = func(t *rapid.T) { someone(t).deliver(t, w, key(t), false) }
	}
	t.Repeat(actions)

	w.takeOver(t) // the last one does the rest
	o := w.owner()
	for range len(w.keys) {
		o.fetch(w)
	}
	for range 4 * len(w.keys) {
		for range 2 * len(o.out) {
			o.land(w)
			o.confirm(w)
		}
		for _, k := range keys {
			o.deliver(t, w, k, false)
		}
	}
	for offset := range w.keys {
		if !w.tale.acked[int64(offset)] {
			t.Fatalf("%d was never delivered", offset)
		}
	}
	if o.ledger.Base() != int64(len(w.keys)) || len(o.items) > 0 {
		t.Fatalf("all is done, and the base is %d with %d left", o.ledger.Base(), len(o.items))
	}
}

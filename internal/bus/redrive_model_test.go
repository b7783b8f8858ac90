// SPDX-License-Identifier: Apache-2.0

package bus

import (
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/autobus-io/autobus/internal/kafka"
)

// The model of redriving: one job, the dead letters of one source partition, its park log, and one owner after the
// other, each of which may live on after it was expelled. It stands on the records and the replay that the bus has, and
// does between them what redrive_place.go does, one step at a time.

type redriveWorld struct {
	letters  []modelLetter // by number
	end      int64         // of the job
	log      []kafka.Record
	history  []kafka.Record // the log as if nothing were compacted
	progress int64
	owners   []*redriveOwner // the last one is the owner
	ends     map[int64]int   // how often the event of a letter, redriven, reached an end
}

type modelLetter struct{ offset, life int64 }

type redriveOwner struct {
	incarnation uint32
	next        int64
	lives, live map[int64]int64    // by offset: the letter of the latest life, and of one that is there to be delivered
	copies      map[int64][]copyID // by letter
	out         []redriveAppend
	landed      int

	upTo      int64 // of the batch at hand; 0 = there is none
	open      int   // copies of it that are not confirmed
	committed bool
}

type redriveAppend struct {
	record kafka.Record
	letter int64 // of a copy, else 0
	offset int64
}

func (w *redriveWorld) owner() *redriveOwner { return w.owners[len(w.owners)-1] }

func (w *redriveWorld) append(r kafka.Record) {
	r.Offset = int64(len(w.history))
	w.log, w.history = append(w.log, r), append(w.history, r)
}

func (w *redriveWorld) takeOver(t *rapid.T) {
	o := &redriveOwner{incarnation: 1, next: w.progress, live: map[int64]int64{}, copies: map[int64][]copyID{}}
	if len(w.owners) > 0 {
		o.incarnation = w.owner().incarnation + 1
	}
	w.append(claimRecord(parkSource, o.incarnation))
	sh := newShelf()
	for i := range w.log {
		f, ok, err := parseFact(&w.log[i])
		if err != nil || !ok {
			t.Fatalf("fact %d: %v", i, err)
		}
		sh.apply(f)
	}
	o.lives = sh.lives
	for offset, f := range sh.live {
		o.live[offset] = f.letter
		o.copies[f.letter] = []copyID{f.copyID}
	}
	for _, of := range sh.voids() {
		o.out = append(o.out, redriveAppend{record: endRecord(kindVoid, parkSource, of)})
	}
	w.owners = append(w.owners, o)
}

// begin places the letters of a batch.
func (o *redriveOwner) begin(w *redriveWorld, most int) {
	if o.upTo > 0 || o.next >= w.end {
		return
	}
	o.upTo, o.committed = min(w.end, o.next+int64(most)), false
	for n := o.next; n < o.upTo; n++ {
		l := w.letters[n]
		if _, there := o.live[l.offset]; o.lives[l.offset] == n+1 || o.lives[l.offset] > l.life || there {
			continue
		}
		o.lives[l.offset] = n + 1
		o.open++
		o.copy(l.offset, n+1)
	}
}

func (o *redriveOwner) copy(offset, letter int64) {
	f := fact{kind: kindCopy, source: parkSource, attempt: 2, spent: 1,
		copyID: copyID{by: o.incarnation, offset: offset, n: int64(len(o.copies[letter])), letter: letter}}
	o.copies[letter] = append(o.copies[letter], f.copyID)
	o.out = append(o.out, redriveAppend{f.copyRecord(&kafka.Record{}), letter, offset})
}

func (o *redriveOwner) land(w *redriveWorld) {
	if o.landed < len(o.out) {
		w.append(o.out[o.landed].record)
		o.landed++
	}
}

func (o *redriveOwner) confirm() {
	if o.landed == 0 {
		return
	}
	a := o.out[0]
	o.out, o.landed = o.out[1:], o.landed-1
	if a.letter > 0 {
		o.live[a.offset] = a.letter
		o.open--
	}
}

// fail answers everything with an error: it is written again, whether it landed or not.
func (o *redriveOwner) fail() {
	failed := o.out
	o.out, o.landed = nil, 0
	for _, a := range failed {
		if a.letter > 0 {
			o.copy(a.offset, a.letter)
		} else {
			o.out = append(o.out, a)
		}
	}
}

// hurry goes through a batch in one go.
func (o *redriveOwner) hurry(w *redriveWorld) {
	o.begin(w, 3)
	for len(o.out) > 0 {
		o.land(w)
		o.confirm()
	}
	o.commit(w)
	o.store(w)
}

func (o *redriveOwner) commit(w *redriveWorld) {
	if o == w.owner() && o.upTo > 0 && o.open == 0 {
		o.committed = true
	}
}

// store writes the progress, maybe long after the commit.
func (o *redriveOwner) store(w *redriveWorld) {
	if o.committed {
		w.progress = max(w.progress, o.upTo)
		o.next, o.upTo, o.committed = o.upTo, 0, false
	}
}

// finish ends the event of a letter that is there, for good or as a letter once more.
func (o *redriveOwner) finish(w *redriveWorld, dies bool) {
	if len(o.live) == 0 {
		return
	}
	offset := slices.Min(slices.Collect(maps.Keys(o.live)))
	letter := o.live[offset]
	delete(o.live, offset)
	w.ends[letter-1]++
	if dies {
		w.letters = append(w.letters, modelLetter{offset, letter})
	}
	for _, of := range o.copies[letter] {
		o.out = append(o.out, redriveAppend{record: endRecord(kindDone, parkSource, of)})
	}
}

func (w *redriveWorld) compact(t *rapid.T) {
	upTo := rapid.IntRange(0, len(w.log)).Draw(t, "compact up to")
	last := map[string]int{}
	for i := range upTo {
		last[string(w.log[i].Key)] = i
	}
	var kept []kafka.Record
	for i, r := range w.log {
		if i >= upTo || last[string(r.Key)] == i {
			kept = append(kept, r)
		}
	}
	w.log = kept
}

// Wherever owners crash, are expelled and go on all the same: each letter of a job is redriven once, two of the same
// end once together.
func TestRedrivingIsExact(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := &redriveWorld{ends: map[int64]int{}}
		for range rapid.IntRange(1, 8).Draw(t, "letters") {
			w.letters = append(w.letters, modelLetter{offset: rapid.Int64Range(0, 5).Draw(t, "offset")})
		}
		w.end = int64(len(w.letters))
		w.takeOver(t)
		someone := func(t *rapid.T) *redriveOwner {
			if rapid.IntRange(0, 3).Draw(t, "who") > 0 {
				return w.owner()
			}
			return rapid.SampledFrom(w.owners).Draw(t, "zombie")
		}
		actions := map[string]func(*rapid.T){
			"begin":   func(t *rapid.T) { someone(t).begin(w, rapid.IntRange(1, 4).Draw(t, "most")) },
			"fail":    func(t *rapid.T) { someone(t).fail() },
			"commit":  func(t *rapid.T) { someone(t).commit(w) },
			"store":   func(t *rapid.T) { someone(t).store(w) },
			"ack":     func(t *rapid.T) { someone(t).finish(w, false) },
			"die":     func(t *rapid.T) { someone(t).finish(w, true) },
			"hurry":   func(t *rapid.T) { someone(t).hurry(w) },
			"expel":   w.takeOver,
			"compact": w.compact,
			"crash": func(t *rapid.T) {
				gone := w.owner()
				w.takeOver(t)
				w.owners = slices.DeleteFunc(w.owners, func(o *redriveOwner) bool { return o == gone })
			},
		}
		for i := range 3 {
			actions["land "+string(rune('0'+i))] = func(t *rapid.T) { someone(t).land(w) }
			actions["confirm "+string(rune('0'+i))] = func(t *rapid.T) { someone(t).confirm() }
		}
		t.Repeat(actions)

		w.takeOver(t) // the last one does the rest
		o := w.owner()
		for o.next < w.end || len(o.out) > 0 || len(o.live) > 0 {
			o.hurry(w)
			o.finish(w, false)
		}
		w.judge(t)
	})
}

// judge counts which copies ever counted, by letter.
func (w *redriveWorld) judge(t *rapid.T) {
	counted := map[int64]map[uint32]bool{}
	claimed := uint32(0)
	for i := range w.history {
		f, _, _ := parseFact(&w.history[i])
		if f.kind == kindClaim {
			claimed = max(claimed, f.by)
		}
		if f.kind == kindCopy && f.by >= claimed {
			if counted[f.letter-1] == nil {
				counted[f.letter-1] = map[uint32]bool{}
			}
			counted[f.letter-1][f.by] = true
		}
	}
	byEnd := map[modelLetter]int{}
	for n, l := range w.letters[:w.end] {
		byEnd[l] += len(counted[int64(n)])
		if len(counted[int64(n)]) > 0 && w.ends[int64(n)] == 0 {
			t.Fatalf("letter %d was redriven and never delivered", n)
		}
	}
	for l, n := range byEnd {
		if n > 1 {
			t.Fatalf("the letters of offset %d were redriven %d times", l.offset, n)
		}
	}
	for n, l := range w.letters[:w.end] {
		delivered := w.ends[int64(n)]
		for other, o := range w.letters[:w.end] {
			if o == l {
				delivered += w.ends[int64(other)]
			}
		}
		if delivered == 0 {
			t.Fatalf("letter %d, nor any of its end, was ever delivered", n)
		}
	}
}

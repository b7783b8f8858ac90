// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"
)

// world is a partition with holes, one consumer of it after the other, and the commits between them. It knows of each
// record what truly became of it, which no ledger can change.
type world struct {
	log      []int64        // the offsets that exist
	finished map[int64]bool // by anybody, committed or not

	ledger   *Ledger
	fetch    int           // index into log of what is fetched next
	held     map[int64]int // delivered in this incarnation and undone, with its attempts
	encoded  *commit       // sent to the broker, not confirmed
	stored   *commit       // what a successor finds
	promised *commit       // what the ledger has to know by itself: the commit it came from
}

// commit is an encoded position beside the truth of that moment.
type commit struct {
	base     int64
	metadata string
	seq      uint64
	finished map[int64]bool
	attempts map[int64]int
}

func newWorld(t *rapid.T) *world {
	w := &world{finished: map[int64]bool{}}
	start := rapid.Int64Range(0, 1<<40).Draw(t, "start")
	gap := rapid.SampledFrom([]int64{1, 1, 1, 1, 1, 1, 2, 3, 40, 900, MaxSpan - 1, MaxSpan, MaxSpan + 1, 5 * MaxSpan})
	for offset, n := start-1, rapid.IntRange(1, 60).Draw(t, "records"); n > 0; n-- {
		offset += gap.Draw(t, "gap")
		w.log = append(w.log, offset)
	}
	w.assign(New(start, 0, 1), &commit{base: start})
	w.stored = w.send()
	return w
}

// assign gives the partition to a new consumer.
func (w *world) assign(l *Ledger, from *commit) {
	w.ledger, w.promised, w.held, w.encoded = l, from, map[int64]int{}, nil
	for w.fetch = 0; w.fetch < len(w.log) && w.log[w.fetch] < l.Base(); {
		w.fetch++
	}
}

func (w *world) send() *commit {
	c := &commit{finished: map[int64]bool{}, attempts: map[int64]int{}}
	c.base, c.metadata, c.seq = w.ledger.Encode()
	for o := range w.finished {
		// Of what only a dead consumer knew to be done, the next one knows nothing until it is done again.
		c.finished[o] = w.ledger.IsDone(o) || w.promised.finished[o]
	}
	for _, o := range w.log {
		c.attempts[o] = w.promised.attempts[o]
		if n, ok := w.held[o]; ok {
			c.attempts[o] = n
		}
	}
	return c
}

// resume starts a consumer from what is stored.
func (w *world) resume(t *rapid.T) {
	p, err := Decode(w.stored.base, w.stored.metadata)
	if err != nil {
		t.Fatalf("the stored commit: %v", err)
	}
	w.assign(Resume(p, p.Incarnation+1), w.stored)
}

// next fetches one record.
func (w *world) next(t *rapid.T) {
	if w.fetch == len(w.log) {
		t.Skip("at the end of the log")
	}
	o := w.log[w.fetch]
	s, n := w.ledger.See(o)
	switch s {
	case SeenUndone:
		if w.promised.finished[o] {
			t.Fatalf("%d is delivered again, though its end was committed", o)
		}
		if n != w.promised.attempts[o] {
			t.Fatalf("%d attempts of %d, %d were committed", n, o, w.promised.attempts[o])
		}
		w.held[o] = n
	case SeenDone:
		if !w.finished[o] || !w.promised.finished[o] {
			t.Fatalf("%d is skipped, but nobody has finished it", o)
		}
	case NoRoom:
		if len(w.held) == 0 || o-w.ledger.Base() < MaxSpan || w.ledger.Room() != 0 {
			t.Fatalf("no room for %d with base %d and %d undone", o, w.ledger.Base(), len(w.held))
		}
		return
	case SeenAgain:
		t.Fatalf("%d was not seen in this incarnation, next is %d", o, w.ledger.Next())
	}
	w.fetch++
}

func (w *world) pick(t *rapid.T) int64 {
	var held []int64
	for _, o := range w.log {
		if _, ok := w.held[o]; ok {
			held = append(held, o)
		}
	}
	if len(held) == 0 {
		t.Skip("nothing is held")
	}
	return rapid.SampledFrom(held).Draw(t, "offset")
}

func (w *world) finish(t *rapid.T, o int64) {
	if !w.ledger.Done(o) || w.ledger.Done(o) {
		t.Fatalf("the end of %d was no news, or twice", o)
	}
	w.finished[o] = true
	delete(w.held, o)
}

// check holds the ledger against the truth.
func (w *world) check(t *rapid.T) {
	l := w.ledger
	for _, o := range w.log {
		if o < l.Base() && !w.finished[o] {
			t.Fatalf("base %d has passed %d, which nobody has finished", l.Base(), o)
		}
		n, held := w.held[o]
		if l.Attempts(o) != n {
			t.Fatalf("%d attempts of %d, want %d", l.Attempts(o), o, n)
		}
		if seen := o < l.Next(); l.IsDone(o) != (seen && !held) {
			t.Fatalf("done %v of %d: held %v, next %d", l.IsDone(o), o, held, l.Next())
		}
	}
	if _, held := w.held[l.Base()]; l.Base() != l.Next() && !held {
		t.Fatalf("base %d stands at nothing undone", l.Base())
	}
	if l.Undone() != len(w.held) || l.Span() < 0 || l.Span() > MaxSpan || l.Base() < w.promised.base {
		t.Fatalf("base %d, %d undone, span %d; %d are held from base %d", l.Base(), l.Undone(), l.Span(), len(w.held),
			w.promised.base)
	}
}

// Whatever the order of outcomes, and wherever a consumer dies or hands over: no record is skipped that nobody has
// finished, and nothing comes again whose end was committed.
func TestNoOrderOfEventsSkipsOrForgets(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t)
		actions := map[string]func(*rapid.T){
			"fetch": w.next,
			"again": func(t *rapid.T) {
				if w.fetch == 0 {
					t.Skip("nothing was fetched")
				}
				o := w.log[rapid.IntRange(0, w.fetch-1).Draw(t, "index")]
				if s, _ := w.ledger.See(o); s != SeenAgain {
					t.Fatalf("See(%d) again = %v", o, s)
				}
			},
			"attempt": func(t *rapid.T) {
				o := w.pick(t)
				n := rapid.IntRange(1, MaxAttempts).Draw(t, "attempts")
				w.ledger.Attempt(o, n)
				w.held[o] = max(w.held[o], n)
			},
			"commit": func(*rapid.T) { w.encoded = w.send() },
			"confirm": func(t *rapid.T) {
				if w.encoded == nil {
					t.Skip("nothing was committed")
				}
				w.ledger.Saved(w.encoded.seq)
				w.stored, w.encoded = w.encoded, nil
				if _, now, _ := w.ledger.Encode(); w.ledger.Dirty() != (now != w.stored.metadata) {
					t.Fatalf("dirty %v with %s stored and %s now", w.ledger.Dirty(), w.stored.metadata, now)
				}
			},
			"crash": func(t *rapid.T) {
				if w.encoded != nil && rapid.Bool().Draw(t, "the last commit arrived") {
					w.stored = w.encoded
				}
				w.resume(t)
			},
			"hand over": func(t *rapid.T) {
				w.stored = w.send()
				w.resume(t)
			},
			"": w.check,
		}
		for i := range 4 { // outcomes and fetches are more frequent than accidents
			actions[fmt.Sprint("fetch ", i)] = w.next
			actions[fmt.Sprint("finish ", i)] = func(t *rapid.T) { w.finish(t, w.pick(t)) }
		}
		t.Repeat(actions)

		w.resume(t)
		for w.fetch < len(w.log) {
			before := w.fetch
			w.next(t)
			if w.fetch == before { // no room: the oldest makes it
				w.finish(t, w.ledger.Base())
			}
			w.check(t)
		}
		for len(w.held) > 0 {
			w.finish(t, w.ledger.Base())
			w.check(t)
		}
		if end := w.log[len(w.log)-1] + 1; w.ledger.Base() != end {
			t.Fatalf("all is done and base is %d, not %d", w.ledger.Base(), end)
		}
		for _, o := range w.log {
			if !w.finished[o] {
				t.Fatalf("%d was never delivered", o)
			}
		}
	})
}

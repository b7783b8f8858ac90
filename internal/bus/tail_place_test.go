// SPDX-License-Identifier: Apache-2.0

package bus_test

import (
	"fmt"
	"testing"

	"github.com/autobus-io/autobus"
)

// places collects where a tail stands.
type places struct{ told chan autobus.TailPosition }

func newPlaces() places { return places{make(chan autobus.TailPosition, 1000)} }

func (p places) next(t *testing.T, w *worker) autobus.TailPosition {
	t.Helper()
	select {
	case at := <-p.told:
		return at
	case <-w.ended:
		t.Fatalf("the tail ended: %v", w.err)
	}
	panic("unreachable")
}

func (p places) moved(at autobus.TailPosition) { p.told <- at }

// TestATailGoesOnWhereItWas ends a tail and opens it again at the cursors that it was told, over several partitions of
// which some delivered nothing.
func TestATailGoesOnWhereItWas(t *testing.T) {
	f := open(t)
	f.orders(t, 30, "a", "b", "c", "d", "e")
	p := newPlaces()
	s := autobus.Subscription{Tail: []string{orders}, From: autobus.Start{Earliest: true}, Moved: p.moved,
		Filter: `key == "a"`}
	w := f.worker(t, s)
	if at := p.next(t, w); at.CaughtUp || len(at.Cursors[orders]) == 0 {
		t.Fatalf("at first it stands at %+v", at)
	}
	at := p.next(t, w)
	for !at.CaughtUp {
		at = p.next(t, w)
	}
	for range 6 {
		if d := w.next(t); string(d.Key) != "a" {
			t.Errorf("it delivered %q", d.Key)
		}
	}
	var sum int64
	for _, next := range at.Cursors[orders] {
		sum += next
	}
	if sum != 30 {
		t.Errorf("caught up at %v, with 30 events", at.Cursors)
	}
	w.leave(t, nil)

	f.orders(t, 10, "a", "b", "c", "d", "e")
	s.Filter, s.From = "", autobus.Start{Cursors: at.Cursors, Earliest: true}
	w = f.worker(t, s)
	seen := map[string]bool{}
	for range 10 {
		d := w.next(t)
		seen[fmt.Sprint(d.Partition, "/", d.Offset)] = true
		if d.Offset < at.Cursors[orders][d.Partition] {
			t.Errorf("offset %d of partition %d comes again", d.Offset, d.Partition)
		}
	}
	if len(seen) != 10 {
		t.Errorf("%d events came: %v", len(seen), seen)
	}
}

// TestCursorsOfATailNameNoNewType: what appeared since is read from its beginning, if that is asked for.
func TestCursorsOfATailNameNoNewType(t *testing.T) {
	f := open(t)
	f.orders(t, 3, "a")
	gone := map[string]map[int32]int64{"gone.type.was.v1": {0: 7}}
	s := autobus.Subscription{Tail: []string{orders}, From: autobus.Start{Cursors: gone, Earliest: true}}
	w := f.worker(t, s)
	for range 3 {
		w.next(t)
	}
	p := newPlaces()
	s.From.Earliest, s.Moved = false, p.moved
	w = f.worker(t, s)
	if at := p.next(t, w); !at.CaughtUp {
		t.Errorf("others begin at their end, and it stands at %+v", at)
	}
}

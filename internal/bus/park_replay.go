// SPDX-License-Identifier: Apache-2.0

package bus

import (
	"cmp"
	"maps"
	"slices"
)

// shelf is what a park log says of one source. It is pure: the facts in the order of the log are all it knows.
//
// A copy counts unless a claim of a higher incarnation stands before it: then its writer had been expelled, and the
// event is still in its source. Of two the later counts: it has another attempt. A done always counts, for an end is an
// end, whoever saw it. What does not count may be made void, by anybody: it is a fact of the log's order, which nothing
// that comes later changes. A copy that counts is never made void by who writes another one, for he may have been
// expelled without knowing.
//
// An event that was redriven lives again, and each life has copies of its own: those of a later one count, whatever was
// said of an earlier one. From which dead letter an event lives last tells that this letter was redriven.
type shelf struct {
	claimed uint32              // the highest claim
	claims  map[uint32]struct{} // that are not void
	live    map[int64]fact      // by offset in the source
	ended   map[int64]int64     // letter of the life that ended last; no copy of it is live
	lives   map[int64]int64     // letter of the latest life, of events that were redriven
	stale   map[copyID]struct{} // copies that do not count, and are not void yet
}

func newShelf() *shelf {
	return &shelf{claims: map[uint32]struct{}{}, live: map[int64]fact{}, ended: map[int64]int64{},
		lives: map[int64]int64{}, stale: map[copyID]struct{}{}}
}

func (s *shelf) apply(f fact) {
	switch f.kind {
	case kindClaim:
		s.claimed = max(s.claimed, f.by)
		s.claims[f.by] = struct{}{}
	case kindVoid:
		delete(s.stale, f.copyID)
		if f.offset == ofClaim {
			delete(s.claims, f.by)
		}
	case kindDone:
		delete(s.stale, f.copyID)
		s.lived(f)
		c, live := s.live[f.offset]
		if live && c.letter > f.letter { // it was redriven since
			return
		}
		if live && c.copyID != f.copyID {
			s.stale[c.copyID] = struct{}{}
		}
		delete(s.live, f.offset)
		s.ended[f.offset] = max(f.letter, s.ended[f.offset])
	default:
		over, ended := s.ended[f.offset]
		c, live := s.live[f.offset]
		switch {
		case f.by < s.claimed,
			ended && f.letter <= over, // a repeat of an append that was answered with an error
			live && f.letter < c.letter:
			s.stale[f.copyID] = struct{}{}
			return
		case live && c.copyID != f.copyID:
			s.stale[c.copyID] = struct{}{}
		}
		s.live[f.offset] = f
		s.lived(f)
	}
}

func (s *shelf) lived(f fact) {
	if f.letter > s.lives[f.offset] {
		s.lives[f.offset] = f.letter
	}
}

// inOrder gives the live copies as their events stand in the source.
func (s *shelf) inOrder() []fact {
	return slices.SortedFunc(maps.Values(s.live), func(a, b fact) int { return cmp.Compare(a.offset, b.offset) })
}

// voids gives what can be made void: the copies that do not count, and after them the claims before the highest one,
// which are needed as long as these copies are there.
func (s *shelf) voids() []copyID {
	out := slices.Collect(maps.Keys(s.stale))
	for by := range s.claims {
		if by < s.claimed {
			out = append(out, copyID{by: by, offset: ofClaim})
		}
	}
	return out
}

// everything gives all that can be made void when nothing of the source counts any more: the copies, then the claims.
func (s *shelf) everything() []copyID {
	out := slices.Collect(maps.Keys(s.stale))
	for _, f := range s.live {
		out = append(out, f.copyID)
	}
	for by := range s.claims {
		out = append(out, copyID{by: by, offset: ofClaim})
	}
	return out
}

// SPDX-License-Identifier: Apache-2.0

package bus

import (
	"time"

	"github.com/autobus-io/autobus/internal/kafka"
)

// commitFault is since when positions cannot be committed, and why. The zero one: they can.
type commitFault struct {
	since time.Time
	err   error
}

// noteCommit takes note of how a commit went.
func (g *group) noteCommit(err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case err == nil:
		g.uncommitted = commitFault{}
	case g.uncommitted.err == nil:
		g.uncommitted = commitFault{time.Now(), err}
	default:
		g.uncommitted.err = err
	}
}

// sightings is what one look at a group saw.
type sightings struct {
	parts    map[kafka.TP]sighting
	sessions int
	detached int
	windows  int  // events that the workers may hold together
	held     int  // that they hold, without detached ones
	room     bool // somebody could take what is ready
	pausing  int
	next     time.Time // when the first of those comes again
	longest  time.Time // the first delivery of what is leased
	holding  int
	burying  int
	buried   string // why the last one could not be
	commits  commitFault
}

// sighting is one partition of it.
type sighting struct {
	typ     string
	opening bool // nothing is handed out yet
	lost    bool
	newer   error
	undone  int // without what is parked
	kept    int
	next    int64 // the first offset that was not looked at yet
	oldest  *UndoneEvent
}

// ended counts what ended, by partition: it never shrinks within an incarnation, as long as the log's start stays.
func (s *sightings) ended() map[kafka.TP]int64 {
	out := map[kafka.TP]int64{}
	for tp, p := range s.parts {
		out[tp] = p.next - int64(p.undone) - int64(p.kept)
	}
	return out
}

// look sees how the group stands. It goes over all that is undone, so that is done twice for one answer at most.
func (q *inquiry) look() {
	s := sightings{parts: map[kafka.TP]sighting{}}
	defer func() { q.sightings = s }()
	g := q.group
	if g == nil {
		return
	}
	q.out.Instance = g.status()
	g.mu.Lock()
	defer g.mu.Unlock()
	s.sessions, s.detached, s.commits = len(g.sessions), g.detached, g.uncommitted
	size := 0
	if len(g.ready.slots) > 0 {
		size = g.ready.slots[0].size
	}
	for se := range g.sessions {
		s.windows += se.window.Events
		s.held += se.events + len(se.away)
		s.room = s.room || se.room(size)
	}
	for tp, p := range g.parts {
		s.parts[tp] = g.sight(p, &s)
	}
}

// sight sees one partition. It is called with the group's lock.
func (g *group) sight(p *partition, s *sightings) sighting {
	out := sighting{typ: p.typ, opening: p.phase == opening && !p.stands, lost: p.lost != nil, newer: p.newer,
		undone: p.ledger.Undone(), kept: p.kept, next: p.ledger.Next()}
	var oldest *slot
	for _, sl := range p.slots {
		if oldest == nil || sl.record.Offset < oldest.record.Offset {
			oldest = sl
		}
		switch sl.state {
		case pausing:
			s.pausing++
			if s.next.IsZero() || sl.at.Before(s.next) {
				s.next = sl.at
			}
		case leased:
			if s.longest.IsZero() || sl.first.Before(s.longest) {
				s.longest = sl.first
			}
		case holding:
			s.holding++
		case burying:
			s.burying++
			s.buried = sl.failure
		default:
		}
	}
	switch {
	case oldest != nil:
		out.oldest = undone(oldest)
	case len(p.backlog) > 0:
		out.oldest = &UndoneEvent{Type: p.typ, Partition: p.tp.Partition, Offset: p.backlog[0].offset, State: "ready",
			tp: p.tp}
	case !p.stands:
		out.oldest = &UndoneEvent{Type: p.typ, Partition: p.tp.Partition, Offset: p.ledger.Next(), State: "unread",
			tp: p.tp}
	}
	return out
}

// glance is a short look for whether something ended since the first one, and whether workers came.
func (q *inquiry) glance(first map[kafka.TP]int64) {
	g := q.group
	if g == nil {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	q.sightings.sessions = max(q.sightings.sessions, len(g.sessions))
	for tp, p := range g.parts {
		was, known := first[tp]
		if known && p.ledger.Next()-int64(p.ledger.Undone())-int64(p.kept) > was {
			q.moved = true
		}
	}
}

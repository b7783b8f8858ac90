// SPDX-License-Identifier: Apache-2.0

package client

import (
	"cmp"
	"time"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/wire"
)

// shipBytes is about how much of events goes into one frame; a batch is never cut.
const shipBytes = 1 << 20

// line is publishing over one connection.
type line struct {
	conn    *conn
	flying  map[int64]*shipment // by seq
	bytes   int                 // of them
	numbers map[*lane]*numbered
	last    int64 // number given
	stopped bool  // this gateway takes no more
}

// part is what a shipment has of one batch.
type part struct {
	parcel *parcel // nil = it was given up meanwhile
	n      int     // events
}

// shipment is a frame of events on its way.
type shipment struct {
	seq     int64
	line    *line
	lane    *lane
	stream  int64
	mode    autobus.Mode
	parts   []part
	events  int
	bytes   int
	most    int  // bytes, beyond which no further batch is taken in
	writing bool // the batches are being read
	since   time.Time
}

// use sends over another connection, once the one before has answered all, or is over: only so the order is kept.
func (q *courier) use(n *conn) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.next = n
	q.turn()
}

func (q *courier) turn() {
	if q.next == nil || q.line != nil && len(q.line.flying) > 0 {
		return
	}
	q.line = &line{conn: q.next, flying: map[int64]*shipment{}, numbers: map[*lane]*numbered{}}
	q.next = nil
	q.wake()
}

// load takes what waits together into the next frame of a connection; nil = nothing, or not now. After writing it the
// caller says sent.
func (q *courier) load(n *conn) *shipment {
	q.mu.Lock()
	s, held := q.fill(n)
	q.mu.Unlock()
	q.settle(held)
	return s
}

func (q *courier) fill(n *conn) (s *shipment, held []outcome) {
	l := q.line
	if l == nil || l.conn != n || q.next != nil || l.stopped || len(q.queue) == 0 {
		return nil, nil
	}
	frames, bytes := cmp.Or(n.hello.Limits.PublishFrames, 64), cmp.Or(n.hello.Limits.PublishBytes, 8<<20)
	if len(l.flying) >= frames {
		return nil, nil
	}
	now, taken := time.Now(), 0
	for _, p := range q.queue {
		full := l.bytes+s.size()+p.size > bytes && l.bytes+s.size() > 0 // one always fits
		if full || s != nil && !s.takes(p) {
			break
		}
		taken++
		held = q.hold(held, p, l)
		if p.left() == 0 {
			continue
		}
		if s == nil {
			s = &shipment{line: l, lane: p.lane, mode: p.batch.Mode, writing: true, since: now,
				most: min(shipBytes, cmp.Or(n.hello.Limits.FrameBytes, shipBytes))}
		}
		s.parts = append(s.parts, part{p, p.left()})
		s.events += p.left()
		s.bytes += p.size
	}
	clear(q.queue[:taken])
	q.queue = q.queue[taken:]
	if s != nil {
		s.stream = l.numberOf(s.lane)
		s.seq = n.nextSeq()
		l.flying[s.seq] = s
		l.bytes += s.bytes
	}
	return s, held
}

func (s *shipment) size() int {
	if s == nil {
		return 0
	}
	return s.bytes
}

// takes reports whether a parcel may travel with what is there. One whose failures stop what follows travels alone.
func (s *shipment) takes(p *parcel) bool {
	return p.lane == s.lane && p.batch.Mode == autobus.Independent && s.mode == autobus.Independent &&
		s.events+p.left() <= autobus.MaxBatchEvents && s.bytes+p.size <= s.most
}

// hold takes the events out of a parcel that have to wait for a failed one.
func (q *courier) hold(held []outcome, p *parcel, l *line) []outcome {
	if p.lane == nil || len(p.lane.stuck) == 0 {
		return held
	}
	free := make([]int, 0, p.left())
	for k := range p.left() {
		i := p.at(k)
		before, ok := p.lane.admit(&p.batch.Events[i], l)
		if ok {
			free = append(free, i)
			continue
		}
		r := autobus.Receipt{Status: autobus.Refused, Err: autobus.NewError(autobus.ReasonPredecessorFailed,
			"event %s was not written, which is of the same type and stream", before)}
		held = append(held, outcome{p, i, uncertain(r, p.doubt)})
	}
	p.todo = free
	return held
}

// append is the frame of a shipment.
func (s *shipment) append(dst []byte) []byte {
	events := make([]*autobus.Event, 0, s.events)
	for _, part := range s.parts {
		for k := range part.n {
			events = append(events, &part.parcel.batch.Events[part.parcel.at(k)])
		}
	}
	shared := wire.Share(len(events), func(i int) *autobus.Event { return events[i] })
	o := outgoing{Op: "publish", Seq: s.seq, Stream: &s.stream, Shared: &shared}
	if s.mode == autobus.Ordered {
		o.Mode = "ordered"
	}
	dst = o.append(dst)
	for i, e := range events {
		plain := *e
		plain.Key = nil // the gateway finds it
		dst = wire.AppendRecord(dst, int64(i), &plain, &shared)
	}
	return dst
}

// sent says that the batches of a shipment are not read any more.
func (q *courier) sent(s *shipment) {
	q.mu.Lock()
	s.writing = false
	q.mu.Unlock()
}

// overdue reports whether a connection owes an answer for too long.
func (q *courier) overdue(n *conn) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.line == nil || q.line.conn != n {
		return false
	}
	for _, s := range q.line.flying {
		if !s.writing && time.Since(s.since) > answerTime {
			return true
		}
	}
	return false
}

// lost takes back what was in flight over a connection: it is sent again, before anything newer.
func (q *courier) lost(n *conn) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.next == n {
		q.next = nil
	}
	if q.line == nil || q.line.conn != n {
		return
	}
	for _, s := range q.line.flying {
		for _, part := range s.parts {
			if part.parcel != nil {
				part.parcel.doubt = true
				q.putBack(part.parcel)
			}
		}
	}
	q.line = nil
	q.turn()
}

// land takes a shipment that is answered off the line.
func (l *line) land(s *shipment) {
	delete(l.flying, s.seq)
	l.bytes -= s.bytes
	if n := l.numbers[s.lane]; n != nil {
		n.flying--
	}
}

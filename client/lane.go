// SPDX-License-Identifier: Apache-2.0

package client

import (
	"runtime"
	"weak"

	"github.com/autobus-io/autobus"
)

// lane is what the client knows of a Stream: which of its events failed for now. The gateway that said so holds back
// what follows by key; any other does not know, so that the client has to, by type: it knows no keys.
type lane struct {
	stuck map[string]map[string]*line // type -> id of a failed event -> whose gateway holds back; nil = none does
}

// laneOf gives the lane of a Stream; nil for a batch that stands alone.
func (q *courier) laneOf(s *autobus.Stream) *lane {
	if s == nil {
		return nil
	}
	key := weak.Make(s)
	l := q.lanes[key]
	if l == nil {
		l = &lane{}
		q.lanes[key] = l
		runtime.AddCleanup(s, q.forget, key)
	}
	return l
}

// forget frees the lane of a Stream that nobody has any more.
func (q *courier) forget(key weak.Pointer[autobus.Stream]) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if l := q.lanes[key]; l != nil && q.line != nil {
		q.line.drop(l)
	}
	delete(q.lanes, key)
}

// failed notes an outcome that holds back what follows. over is the line that told it; nil = the client did itself.
func (l *lane) failed(b *autobus.Batch, i int, r autobus.Receipt, over *line) {
	if l == nil || r.Status == autobus.Written || r.Err == nil || r.Err.Reason == autobus.ReasonPredecessorFailed ||
		b.Mode != autobus.Ordered && !r.Err.Retriable() {
		return
	}
	e := &b.Events[i]
	if l.stuck == nil {
		l.stuck = map[string]map[string]*line{}
	}
	if l.stuck[e.Type] == nil {
		l.stuck[e.Type] = map[string]*line{}
	}
	l.stuck[e.Type][e.ID] = over
}

// admit reports whether an event may go over a line, else which one has to come first. Admitting a failed one frees
// what waits for it: it will stand behind.
func (l *lane) admit(e *autobus.Event, over *line) (predecessor string, ok bool) {
	if l == nil || len(l.stuck[e.Type]) == 0 {
		return "", true
	}
	ids := l.stuck[e.Type]
	if _, again := ids[e.ID]; again {
		delete(ids, e.ID)
		if len(ids) == 0 {
			delete(l.stuck, e.Type)
		}
		return "", true
	}
	for id, by := range ids {
		if by != over || by == nil {
			return id, false
		}
	}
	return "", true
}

// maxNumbers is how many streams a connection numbers at once; the gateway takes 1,024.
const maxNumbers = 1000

// numbered is a lane that the gateway knows by a number.
type numbered struct {
	number int64
	flying int // shipments of it
}

// numberOf gives the number of a lane on the connection; 0 = what stands alone.
func (l *line) numberOf(of *lane) int64 {
	if of == nil {
		return 0
	}
	if n := l.numbers[of]; n != nil {
		n.flying++
		return n.number
	}
	if len(l.numbers) >= maxNumbers {
		for other, n := range l.numbers {
			if n.flying == 0 {
				l.drop(other)
				break
			}
		}
	}
	l.last++
	l.numbers[of] = &numbered{number: l.last, flying: 1}
	return l.last
}

// drop lets the gateway forget a lane. What it held back is held back here from now on.
func (l *line) drop(of *lane) {
	n := l.numbers[of]
	if n == nil {
		return
	}
	delete(l.numbers, of)
	for _, ids := range of.stuck {
		for id := range ids {
			ids[id] = nil
		}
	}
	l.conn.send(&outgoing{Op: "forget", Stream: &n.number})
}

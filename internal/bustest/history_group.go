// SPDX-License-Identifier: Apache-2.0

package bustest

import (
	"hash/maphash"
	"strconv"
	"time"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/kafka"
)

// Group is a subscription in a history. Its exported fields say what the judge has to expect; set them before Check.
type Group struct {
	From   map[kafka.TP]int64      // where it begins; absent = at 0
	To     map[kafka.TP]int64      // up to where it had the time to finish, exclusive; absent = the end of the log
	Wanted func(kafka.Record) bool // what its filter lets pass; nil = everything

	// Repeats is how many deliveries and dead letters of what was done before the run explains: what was in flight or
	// not yet committed when an instance died, or while commits could not be made. 0 = none.
	Repeats int

	// Redriven says of dead letters, by number (their offset in their topic), that their events were delivered once more:
	// each begins another life of its event, in which it has to reach an end once more.
	Redriven map[int64]bool

	// Damaged says that somebody tampered with stored positions. Attempts may begin anew then.
	Damaged bool

	history    *History
	name       string
	policy     autobus.Policy // with defaults
	deliveries []*delivery    // in the order in which they were noted
	revoked    []revocation
	letters    []letter
}

// Session is one call of Subscribe.
type Session struct {
	group          *Group
	name           int // to tell it from others
	detached       bool
	opened         moment
	leaving, ended moment // 0 = not
}

// delivery is one event in the hand of a worker.
type delivery struct {
	recorded
	session  *Session
	attempt  int
	fence    uint64
	lease    autobus.Lease
	deadline time.Time
	at       moment

	// Found by Check.
	revoked moment        // 0 = never
	settled []*settlement // in the order in which they began
}

// revocation is a lease that was taken away.
type revocation struct {
	lease autobus.Lease
	at    moment
}

// settlement is one outcome that was told.
type settlement struct {
	lease  autobus.Lease
	kind   autobus.OutcomeKind
	answer answer
	began  moment
}

type answer int

const (
	unanswered answer = iota // it may have counted
	counted
	uncounted
)

// letter is a dead letter: the record as it was, and what the bus says of it.
type letter struct {
	recorded // of the event
	number   int64
	life     int64 // number of the letter from which the event was redriven before; -1 = none
	attempts int
	readable bool // it says where the event is from
}

// Group adds a subscription to the history. The end of the run calls Dead with its dead letters.
func (h *History) Group(name string, p autobus.Policy) *Group {
	g := &Group{history: h, name: name, policy: p.WithDefaults()}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.groups = append(h.groups, g)
	return g
}

// Open notes a session, before Subscribe is called. Detached leases outlive it.
func (g *Group) Open(detached bool) *Session {
	g.history.mu.Lock()
	defer g.history.mu.Unlock()
	at := g.history.tick()
	return &Session{group: g, name: int(at), detached: detached, opened: at}
}

// Delivered notes what a handler was given, before anybody works on it.
func (s *Session) Delivered(ds ...autobus.Delivery) {
	noted := make([]*delivery, len(ds))
	h := s.group.history
	for i, d := range ds {
		noted[i] = &delivery{session: s, attempt: d.Attempt, fence: d.Fence, lease: d.Lease, deadline: d.Deadline,
			recorded: recorded{place{kafka.TP{Topic: d.Type, Partition: d.Partition}, d.Offset}, d.ID, string(d.Key),
				d.Key != nil, maphash.Bytes(h.seed, d.Data)}}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, d := range noted {
		d.at = h.tick()
	}
	s.group.deliveries = append(s.group.deliveries, noted...)
}

// Revoked notes leases that the bus took away.
func (s *Session) Revoked(ls []autobus.Lease) {
	h := s.group.history
	h.mu.Lock()
	defer h.mu.Unlock()
	at := h.tick()
	for _, l := range ls {
		s.group.revoked = append(s.group.revoked, revocation{l, at})
	}
}

// Leave notes that the session is about to be ended on purpose: from now on its leases may be others'.
func (s *Session) Leave() { s.note(&s.leaving) }

// Ended notes that Subscribe returned. Without a Leave before, the bus or the connection ended it, and nobody knows
// since when its leases were over.
func (s *Session) Ended() { s.note(&s.ended) }

func (s *Session) note(m *moment) {
	s.group.history.mu.Lock()
	defer s.group.history.mu.Unlock()
	if *m == 0 {
		*m = s.group.history.tick()
	}
}

// Settle notes that outcomes are about to be told. answered takes what came of it; where it is not called (the
// connection or the process died), or the error is not nil, they may have counted.
func (h *History) Settle(ss []autobus.Settlement) (answered func(err error)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	at := h.tick()
	noted := make([]*settlement, len(ss))
	for i, s := range ss {
		noted[i] = &settlement{lease: s.Lease, kind: s.Outcome.Kind, began: at}
	}
	h.settlements = append(h.settlements, noted...)
	return func(err error) {
		if err != nil {
			return
		}
		h.mu.Lock()
		defer h.mu.Unlock()
		for i := range noted {
			noted[i].answer = counted
			if ss[i].Err != nil {
				noted[i].answer = uncounted
			}
		}
	}
}

// Dead takes the whole of dlq.<subscription>.
func (g *Group) Dead(letters []kafka.Record) {
	noted := make([]letter, 0, len(letters))
	for _, r := range letters {
		number := func(name string) (int64, bool) {
			text, _ := header(r, "autobus-dlq-"+name)
			n, err := strconv.ParseInt(text, 10, 64)
			return n, err == nil
		}
		topic, okTopic := header(r, "autobus-dlq-topic")
		partition, okPartition := number("partition")
		offset, okOffset := number("offset")
		attempts, okAttempts := number("attempts")
		life, again := number("redriven")
		if !again {
			life = -1
		}
		id, _ := header(r, "ce_id")
		noted = append(noted, letter{number: r.Offset, life: life, attempts: int(attempts),
			readable: okTopic && okPartition && okOffset && okAttempts,
			recorded: recorded{place{kafka.TP{Topic: topic, Partition: int32(partition)}, offset}, id,
				string(r.Key), r.Key != nil, maphash.Bytes(g.history.seed, r.Value)}})
	}
	g.history.mu.Lock()
	defer g.history.mu.Unlock()
	g.letters = append(g.letters, noted...)
}

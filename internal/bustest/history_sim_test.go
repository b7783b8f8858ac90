// SPDX-License-Identifier: Apache-2.0

package bustest

import (
	"fmt"
	"slices"
	"time"

	"pgregory.net/rapid"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/kafka"
)

// sim is a bus made of nothing: it keeps every promise, and writes the history of doing so.
type sim struct {
	t        *rapid.T
	h        *History
	g        *Group
	now      time.Time
	parts    []*simPart
	sessions []*Session
	leased   []*simEvent
	over     []autobus.Lease // of deliveries that are settled or were taken away
	letters  []kafka.Record
}

type simPart struct {
	incarnation, counter uint32
	events               []*simEvent
}

type simEvent struct {
	part     *simPart
	record   kafka.Record
	unit     string // events of one wait for one another; "" = for none
	attempt  int
	spent    int   // attempts before it was redriven
	life     int64 // number of the letter that it was redriven from; -1 = of none
	done     bool
	wasDone  bool     // it was, before its instance died
	session  *Session // holds it; nil = nobody
	lease    autobus.Lease
	deadline time.Time
}

const simType = "a.b.v1"

func simUnwanted(r kafka.Record) bool { return len(r.Value)%5 == 0 }

// goodConsumption makes a history of a subscription without a fault, and its log; with redrives, or without.
func goodConsumption(t *rapid.T, redrives bool) *sim {
	s := &sim{t: t, h: NewHistory(), now: time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)}
	s.h.now = func() time.Time {
		s.now = s.now.Add(time.Millisecond)
		return s.now
	}
	orders := []autobus.Order{autobus.OrderKey, autobus.OrderPartition, autobus.OrderNone}
	exhausted := []autobus.OnExhausted{autobus.ToDeadLetters, autobus.Drop}
	steps := []func(){s.open, s.deliver, s.deliver, s.deliver, s.deliver, s.settle, s.settle, s.settle, s.expire, s.late,
		s.leave, s.cut, s.rejoin, s.crash}
	most := 3 // attempts
	if redrives {
		steps, exhausted, most = append(steps, s.redrive), exhausted[:1], 2
	}
	s.g = s.h.Group("shop", autobus.Policy{Types: []string{"a.*"}, AckWait: autobus.MinAckWait,
		Order: rapid.SampledFrom(orders).Draw(t, "order"), OnExhausted: rapid.SampledFrom(exhausted).Draw(t, "exhausted"),
		Retry: autobus.RetryPolicy{MaxAttempts: most}})
	s.g.Wanted = func(r kafka.Record) bool { return !simUnwanted(r) }
	s.g.Redriven = map[int64]bool{}
	s.g.From = map[kafka.TP]int64{{Topic: simType}: 1}
	s.fill()
	for range rapid.IntRange(20, 150).Draw(t, "steps") {
		rapid.SampledFrom(steps).Draw(t, "step")()
	}
	s.finish()
	var log []kafka.Record
	for _, p := range s.parts {
		for _, e := range p.events {
			log = append(log, e.record)
		}
	}
	s.h.Read(log)
	s.g.Dead(s.letters)
	return s
}

func (s *sim) fill() {
	keys := [][]byte{nil, {}, []byte("a"), []byte("b"), []byte("c")}
	for n := range 3 {
		p := &simPart{incarnation: 1}
		s.parts = append(s.parts, p)
		for i := range rapid.IntRange(6, 20).Draw(s.t, "events") {
			key := rapid.SampledFrom(keys).Draw(s.t, "key")
			e := &simEvent{part: p, attempt: 1, life: -1, record: kafka.Record{TP: kafka.TP{Topic: simType, Partition: int32(n)},
				Offset: int64(i), Key: key, Value: rapid.SliceOfN(rapid.Byte(), 0, 12).Draw(s.t, "value")}}
			if i%8 != 7 { // the others are foreign
				e.record.Headers = []kafka.Header{{Key: "ce_id", Value: fmt.Appendf(nil, "id-%d-%d", n, i)}}
			}
			switch {
			case s.g.policy.Order == autobus.OrderPartition:
				e.unit = "all"
			case s.g.policy.Order == autobus.OrderKey && key != nil:
				e.unit = "key " + string(key)
			}
			e.done = n == 0 && i == 0 || simUnwanted(e.record)
			p.events = append(p.events, e)
		}
	}
}

func (s *sim) open() {
	if len(s.sessions) < 4 {
		s.sessions = append(s.sessions, s.g.Open(rapid.Bool().Draw(s.t, "detached")))
	}
}

// next are the events that may be delivered now.
func (s *sim) next() []*simEvent {
	var out []*simEvent
	for _, p := range s.parts {
		busy := map[string]bool{}
		for _, e := range p.events { // what was redriven does not come beside what is at hand
			busy[e.unit] = busy[e.unit] || e.lease != "" && e.unit != ""
		}
		for _, e := range p.events {
			if !e.done && e.lease == "" && !busy[e.unit] {
				out = append(out, e)
			}
			if !e.done && e.unit != "" {
				busy[e.unit] = true
			}
		}
	}
	return out
}

func (s *sim) deliver() {
	events := s.next()
	if len(s.sessions) == 0 || len(events) == 0 {
		return
	}
	// Several of one partition share a fence, none of which waits for another.
	e := rapid.SampledFrom(events).Draw(s.t, "event")
	together := []*simEvent{e}
	for range rapid.IntRange(0, 2).Draw(s.t, "beside it") {
		other := rapid.SampledFrom(events).Draw(s.t, "other")
		if other.part == e.part && !slices.ContainsFunc(together, func(o *simEvent) bool {
			return o == other || o.unit == other.unit && o.unit != ""
		}) {
			together = append(together, other)
		}
	}
	s.give(rapid.SampledFrom(s.sessions).Draw(s.t, "session"), together...)
}

func (s *sim) give(to *Session, together ...*simEvent) {
	together[0].part.counter++
	for _, e := range together {
		s.giveOne(to, e)
	}
}

func (s *sim) giveOne(to *Session, e *simEvent) {
	e.session, e.deadline = to, s.now.Add(time.Duration(autobus.MinAckWait))
	fence := uint64(e.part.incarnation)<<32 | uint64(e.part.counter)
	e.lease = autobus.Lease(fmt.Sprintf("%d-%d", e.record.Partition, fence)).At(e.record.Offset)
	s.leased = append(s.leased, e)
	if e.wasDone {
		s.g.Repeats++
	}
	id, ok := header(e.record, "ce_id")
	if !ok {
		id = fmt.Sprintf("%s:%d:%d", simType, e.record.Partition, e.record.Offset)
	}
	to.Delivered(autobus.Delivery{Event: autobus.Event{ID: id, Type: simType, Key: e.record.Key, Data: e.record.Value},
		Partition: e.record.Partition, Offset: e.record.Offset, Attempt: e.attempt, Fence: fence, Lease: e.lease,
		Deadline: e.deadline})
}

// free takes the lease of an event away.
func (s *sim) free(e *simEvent) {
	s.over = append(s.over, e.lease)
	s.leased = slices.DeleteFunc(s.leased, func(o *simEvent) bool { return o == e })
	e.lease, e.session = "", nil
}

func (s *sim) settle() {
	if len(s.leased) == 0 {
		return
	}
	e := rapid.SampledFrom(s.leased).Draw(s.t, "leased")
	kinds := []autobus.OutcomeKind{autobus.Ack, autobus.Ack, autobus.Ack, autobus.Skip, autobus.Retry, autobus.Reject,
		autobus.Extend}
	if s.g.policy.Retry.MaxAttempts == 2 { // so that there is something to redrive
		kinds = []autobus.OutcomeKind{autobus.Ack, autobus.Retry, autobus.Retry}
	}
	kind := rapid.SampledFrom(kinds).Draw(s.t, "outcome")
	fate := rapid.SampledFrom([]string{"heard", "heard", "heard", "answer lost", "lost"}).Draw(s.t, "fate")
	answered := s.h.Settle([]autobus.Settlement{{Lease: e.lease, Outcome: autobus.Outcome{Kind: kind}}})
	if fate == "lost" {
		return
	}
	s.apply(e, kind)
	if fate == "heard" {
		answered(nil)
	}
}

func (s *sim) apply(e *simEvent, kind autobus.OutcomeKind) {
	switch kind {
	case autobus.Extend:
		e.deadline = s.now.Add(time.Duration(autobus.MinAckWait))
		return
	case autobus.Ack, autobus.Skip:
		e.done = true
	case autobus.Reject:
		s.exhaust(e)
	case autobus.Retry:
		s.fail(e)
	case autobus.Release: // no worker tells it
	}
	s.free(e)
}

func (s *sim) fail(e *simEvent) {
	if e.attempt-e.spent == s.g.policy.Retry.MaxAttempts {
		s.exhaust(e)
		return
	}
	e.attempt++
}

func (s *sim) exhaust(e *simEvent) {
	e.done = true
	if s.g.policy.OnExhausted == autobus.Drop {
		return
	}
	if slices.ContainsFunc(s.letters, func(r kafka.Record) bool {
		text, _ := header(r, "autobus-dlq-offset")
		partition, _ := header(r, "autobus-dlq-partition")
		life, redriven := header(r, "autobus-dlq-redriven")
		sameLife := redriven && life == fmt.Sprint(e.life) || !redriven && e.life < 0
		return sameLife && text == fmt.Sprint(e.record.Offset) && partition == fmt.Sprint(e.record.Partition)
	}) {
		s.g.Repeats++
	}
	r := e.record
	r.TP, r.Offset = kafka.TP{Topic: "dlq.shop"}, int64(len(s.letters))
	r.Headers = slices.Clone(r.Headers)
	for name, value := range map[string]any{"topic": simType, "partition": e.record.Partition, "offset": e.record.Offset,
		"attempts": e.attempt, "redriven": e.life} {
		if name == "redriven" && e.life < 0 {
			continue
		}
		r.Headers = append(r.Headers, kafka.Header{Key: "autobus-dlq-" + name, Value: fmt.Append(nil, value)})
	}
	s.letters = append(s.letters, r)
}

// redrive brings an event back from its latest letter.
func (s *sim) redrive() {
	letters := map[*simEvent]kafka.Record{}
	for _, r := range s.letters {
		partition, _ := header(r, "autobus-dlq-partition")
		offset, _ := header(r, "autobus-dlq-offset")
		for _, p := range s.parts {
			for _, e := range p.events {
				if e.done && !e.wasDone && partition == fmt.Sprint(e.record.Partition) && offset == fmt.Sprint(e.record.Offset) {
					letters[e] = r
				}
			}
		}
	}
	for _, p := range s.parts {
		for _, e := range p.events {
			r, dead := letters[e]
			if !dead || s.g.Redriven[r.Offset] {
				continue
			}
			s.g.Redriven[r.Offset] = true
			e.done, e.life, e.spent = false, r.Offset, e.attempt
			e.attempt++
		}
	}
}

// expire lets the lease run out that ends first.
func (s *sim) expire() {
	if len(s.leased) == 0 {
		return
	}
	e := slices.MinFunc(s.leased, func(a, b *simEvent) int { return a.deadline.Compare(b.deadline) })
	if s.now.Before(e.deadline) {
		s.now = e.deadline
	}
	if rapid.Bool().Draw(s.t, "told") {
		e.session.Revoked([]autobus.Lease{e.lease})
	}
	s.fail(e)
	s.free(e)
}

// late settles what is over.
func (s *sim) late() {
	if len(s.over) == 0 {
		return
	}
	ss := []autobus.Settlement{{Lease: rapid.SampledFrom(s.over).Draw(s.t, "over"),
		Outcome: autobus.Outcome{Kind: autobus.Ack}}}
	answered := s.h.Settle(ss)
	ss[0].Err = autobus.NewError(autobus.ReasonLeaseStale, "")
	answered(nil)
}

// leave ends a session with a goodbye, cut without.
func (s *sim) leave() { s.end(func(se *Session) { se.Leave() }) }
func (s *sim) cut()   { s.end(func(*Session) {}) }

func (s *sim) end(how func(*Session)) {
	if len(s.sessions) == 0 {
		return
	}
	se := rapid.SampledFrom(s.sessions).Draw(s.t, "ending")
	how(se)
	if !se.detached {
		s.release(func(e *simEvent) bool { return e.session == se })
	}
	se.Ended()
	s.sessions = slices.DeleteFunc(s.sessions, func(o *Session) bool { return o == se })
}

// release takes leases away without counting an attempt.
func (s *sim) release(which func(*simEvent) bool) {
	for _, e := range slices.Clone(s.leased) {
		if which(e) {
			s.free(e)
		}
	}
}

// rejoin assigns a partition anew.
func (s *sim) rejoin() {
	p := rapid.SampledFrom(s.parts).Draw(s.t, "part")
	for _, e := range p.events {
		if e.lease != "" {
			e.session.Revoked([]autobus.Lease{e.lease})
		}
	}
	s.release(func(e *simEvent) bool { return e.part == p })
	p.incarnation++
	p.counter = 0
}

// crash is a rejoin that forgets the last thing that was done.
func (s *sim) crash() {
	s.rejoin()
	for _, p := range s.parts {
		for i, e := range slices.Backward(p.events) {
			started := e.done && !simUnwanted(e.record) && (e.record.Partition != 0 || i != 0)
			later := slices.ContainsFunc(p.events[i+1:], func(o *simEvent) bool {
				return o.unit == e.unit && e.unit != "" && (o.lease != "" || o.done && !simUnwanted(o.record))
			})
			if started && !later && p.counter == 0 && p.incarnation > 1 {
				e.done, e.wasDone = false, true
				return
			}
		}
	}
}

// finish acks what is left.
func (s *sim) finish() {
	last := s.g.Open(false)
	for _, e := range slices.Clone(s.leased) {
		s.heard(e)
	}
	for {
		events := s.next()
		if len(events) == 0 {
			return
		}
		s.give(last, events[0])
		s.heard(events[0])
	}
}

func (s *sim) heard(e *simEvent) {
	answered := s.h.Settle([]autobus.Settlement{{Lease: e.lease, Outcome: autobus.Outcome{Kind: autobus.Ack}}})
	s.apply(e, autobus.Ack)
	answered(nil)
}

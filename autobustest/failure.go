// SPDX-License-Identifier: Apache-2.0

package autobustest

import (
	"fmt"
	"time"

	"github.com/autobus-io/autobus"
)

// Failure is what goes wrong with a publish or a settlement: Refuse, LoseRequest, LoseAnswer or DelayAnswer.
type Failure struct {
	kind   kind
	reason autobus.Reason
	delay  time.Duration
	times  int // 0 = without end
}

type kind int

const (
	none kind = iota
	refuse
	loseRequest
	loseAnswer
	delay
)

// Refuse refuses for a reason, such as ReasonCapacity or ReasonQuota for an event, ReasonLeaseStale for a settlement.
// Nothing is written, or settled.
func Refuse(reason autobus.Reason) Failure { return Failure{kind: refuse, reason: reason} }

// LoseRequest makes the outcome of an event unknown, and the event is not written. Of a settlement nothing is settled,
// and the whole call of Settle fails with ReasonOutcomeUnknown.
func LoseRequest() Failure { return Failure{kind: loseRequest, reason: autobus.ReasonOutcomeUnknown} }

// LoseAnswer makes the outcome of an event unknown, though the event is written: sent again, it stands there twice, as
// can happen on the real bus. A settlement counts, and the whole call of Settle fails with ReasonOutcomeUnknown.
func LoseAnswer() Failure { return Failure{kind: loseAnswer, reason: autobus.ReasonOutcomeUnknown} }

// DelayAnswer writes the event, whose receipt comes after d. A settlement counts, and Settle returns after d or when
// its context ends.
func DelayAnswer(d time.Duration) Failure { return Failure{kind: delay, delay: d} }

// Times makes it happen at most n times; without it there is no end to it.
func (f Failure) Times(n int) Failure {
	f.times = n
	return f
}

func (f Failure) error() *autobus.Error {
	what := "the test says so"
	switch f.kind {
	case loseRequest:
		what = "the test lost the request"
	case loseAnswer:
		what = "the test lost the answer"
	default:
	}
	return autobus.NewError(f.reason, "%s", what)
}

func (f Failure) String() string {
	switch f.kind {
	case refuse:
		return fmt.Sprintf("Refuse(%s)", f.reason)
	case loseRequest:
		return "LoseRequest()"
	case loseAnswer:
		return "LoseAnswer()"
	default:
		return fmt.Sprintf("DelayAnswer(%s)", f.delay)
	}
}

// planned is a failure that waits for what it fits.
type planned struct {
	Failure
	event      func(*autobus.Event) bool                  // of a publish
	settlement func(*autobus.Event, autobus.Outcome) bool // of a settlement
	what       string
	happened   int
}

// FailPublish makes the publishing of events fail that match, nil = every event. A valid event is asked for just before
// it would be written: what is refused anyway, or is a duplicate, does not count. Of several failures planned the first
// that matches happens. stop ends it.
//
// match must neither change the event nor call the bus. A failure that never happens by the end of the test fails it,
// unless it was stopped.
func (b *Bus) FailPublish(match func(*autobus.Event) bool, f Failure) (stop func()) {
	if match == nil {
		match = func(*autobus.Event) bool { return true }
	}
	return b.plan(&planned{Failure: f, event: match, what: "FailPublish with " + f.String()})
}

// FailSettle does the same to settlements of leases that are good; nil = every one of them. Those that extend a lease
// are settlements too.
func (b *Bus) FailSettle(match func(*autobus.Event, autobus.Outcome) bool, f Failure) (stop func()) {
	if match == nil {
		match = func(*autobus.Event, autobus.Outcome) bool { return true }
	}
	return b.plan(&planned{Failure: f, settlement: match, what: "FailSettle with " + f.String()})
}

func (b *Bus) plan(p *planned) (stop func()) {
	b.lock()
	defer b.unlock()
	b.failures = append(b.failures, p)
	return func() {
		b.lock()
		defer b.unlock()
		p.times, p.happened = -1, 1
	}
}

// failureOf takes the failure that is planned for an event's publishing, or for its settlement with an outcome.
func (b *Bus) failureOf(e *autobus.Event, o *autobus.Outcome) Failure {
	for _, p := range b.failures {
		if p.times != 0 && p.happened >= p.times || (o == nil) != (p.event != nil) {
			continue
		}
		if o == nil && p.event(e) || o != nil && p.settlement(e, *o) {
			p.happened++
			return p.Failure
		}
	}
	return Failure{}
}

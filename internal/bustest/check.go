// SPDX-License-Identifier: Apache-2.0

package bustest

import (
	"fmt"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/kafka"
)

// Rule is a promise that a history can break.
type Rule string

// The rules.
const (
	Lost         Rule = "lost"         // a written event is not in the log at the place told, with its key and bytes
	Phantom      Rule = "phantom"      // the log has an event nobody sent, or whose every attempt was refused
	Duplicated   Rule = "duplicated"   // more copies than unknown attempts, plus one for the written ones
	Inconsistent Rule = "inconsistent" // an offset that holds different records, or is told for different events
	Regressed    Rule = "regressed"    // the end of a partition, or the epoch of a route or of its records, went back
	Altered      Rule = "altered"      // a copy has another key or other bytes than what was sent
	Early        Rule = "early"        // a scheduled event is in the log before it was due
	Reordered    Rule = "reordered"    // first copies of a stream's key stand in another order, or in two partitions

	Overtaken  Rule = "overtaken"  // deliveries of a key came in another order than the log's
	Missing    Rule = "missing"    // an event reached no final state in a subscription
	Repeated   Rule = "repeated"   // an event came again after it was done, oftener than the run explains
	Unwanted   Rule = "unwanted"   // delivered or dead-lettered, though the subscription does not have it
	Shared     Rule = "shared"     // two deliveries that have to wait for each other were live at once
	Fenced     Rule = "fenced"     // a fence did not grow
	Stale      Rule = "stale"      // a settlement counted whose lease was over, or was never given
	Miscounted Rule = "miscounted" // attempts went back, or an event was given up before they ran out

	Crossed Rule = "crossed" // a waiter got what was replied to another request
	Twice   Rule = "twice"   // a waiter got two final answers, or two replies of one responder
	Unfound Rule = "unfound" // who asked again for a reply that is in the log ended without it
)

// Fault is one broken promise.
type Fault struct {
	Rule   Rule
	ID     string // of the event
	Detail string
}

// String tells the fault in one line.
func (f Fault) String() string { return fmt.Sprintf("%s: event %s: %s", f.Rule, f.ID, f.Detail) }

// Report is the judgement of a history.
type Report struct {
	Faults []Fault

	// Attempts by outcome.
	Written, Refused, Unknown int

	// Events of which an attempt without an outcome certainly wrote a copy: they have more than their acknowledged one.
	Landed  int
	Copies  int // beyond the first, of all events
	Hops    int // of these, copies of scheduled events that no attempt explains
	Records int // of the log

	// Of all subscriptions. Done are those that were acked or skipped.
	Delivered, Done, Filtered, Dead, Dropped int

	Repeats int // deliveries and dead letters of what was done before

	Requests, Answered int // requests that somebody waited for, and waiters that came to an end
	Replies            int // to them in the log
}

type place struct {
	tp     kafka.TP
	offset int64
}

// event is what the attempts of one id amount to.
type event struct {
	sent             *Attempt // the first one that was not refused, else the first
	written, unknown int
	first            *recorded // its first copy in the log
	copies           int
}

// checker is one run of Check.
type checker struct {
	report Report
	events map[string]*event
	ids    []string        // in the order of their first attempt
	sent   map[string]bool // topics that were published to
	log    map[place]*entry
	order  []*entry // the same, as it was read
	ends   map[kafka.TP]int64
}

// Check judges the history, in time linear in its length but for sorting deliveries by their fences.
func (h *History) Check() Report {
	h.mu.Lock()
	defer h.mu.Unlock()
	c := checker{events: map[string]*event{}, sent: map[string]bool{}, log: map[place]*entry{},
		ends: map[kafka.TP]int64{}}
	for _, a := range h.attempts {
		c.attempt(a)
	}
	for _, read := range h.reads {
		c.read(read)
	}
	told := map[place]string{}
	for _, a := range h.attempts {
		c.acknowledged(a, told)
	}
	c.regressions(h)
	c.copies(h.Hops)
	c.sequence(h.attempts)
	c.deliveries(h)
	c.requests(h)
	return c.report
}

func (c *checker) fault(r Rule, id, format string, args ...any) {
	c.report.Faults = append(c.report.Faults, Fault{r, id, fmt.Sprintf(format, args...)})
}

func (c *checker) attempt(a *Attempt) {
	c.sent[a.topic] = true
	e := c.events[a.id]
	if e == nil {
		e = &event{sent: a}
		c.events[a.id] = e
		c.ids = append(c.ids, a.id)
	}
	if e.sent.status == autobus.Refused {
		e.sent = a
	}
	switch a.status {
	case autobus.Written:
		e.written++
		c.report.Written++
	case autobus.Refused:
		c.report.Refused++
	case autobus.Pending, autobus.Unknown:
		e.unknown++
		c.report.Unknown++
	}
}

// read takes one reader's records. What an earlier reader saw at an offset has to be there again.
func (c *checker) read(records []entry) {
	for i := range records {
		r := &records[i]
		p := r.place
		if before := c.log[p]; before != nil {
			if before.recorded != r.recorded {
				c.fault(Inconsistent, r.id, "%s has two records: the other is event %s", p, before.id)
			}
			continue
		}
		c.log[p] = r
		c.ends[p.tp] = max(c.ends[p.tp], p.offset+1)
		c.order = append(c.order, r)
		c.report.Records++
		if !c.sent[r.tp.Topic] {
			continue
		}
		e := c.events[r.id]
		if e == nil {
			c.fault(Phantom, r.id, "nobody sent it, it is at %s", p)
			continue
		}
		if e.written+e.unknown == 0 {
			c.fault(Phantom, r.id, "every attempt was refused, it is at %s", p)
		}
		if r.key != e.sent.key || r.value != e.sent.value || r.tp.Topic != e.sent.topic {
			c.fault(Altered, r.id, "the copy at %s has another topic, key or other bytes than what was sent", p)
		}
		if r.record.Time.Before(e.sent.due) {
			c.fault(Early, r.id, "it is at %s since %s, %s before it was due", p, r.record.Time, e.sent.due.Sub(r.record.Time))
		}
		e.copies++
		if e.first == nil || r.tp == e.first.tp && r.offset < e.first.offset {
			e.first = &r.recorded
		}
	}
}

func (c *checker) acknowledged(a *Attempt, told map[place]string) {
	if a.status != autobus.Written {
		return
	}
	if !a.due.IsZero() { // where it would be nobody knew
		if c.events[a.id].copies == 0 {
			c.fault(Lost, a.id, "it was acknowledged for %s, and the log does not have it", a.due)
		}
		return
	}
	p := place{kafka.TP{Topic: a.topic, Partition: a.partition}, a.offset}
	if other, ok := told[p]; ok && other != a.id {
		c.fault(Inconsistent, a.id, "its receipt tells %s, that of event %s too", p, other)
	}
	told[p] = a.id
	switch r := c.log[p]; {
	case r == nil:
		c.fault(Lost, a.id, "it was acknowledged at %s, where the log has nothing", p)
	case r.id != a.id:
		c.fault(Lost, a.id, "it was acknowledged at %s, where the log has event %s", p, r.id)
	case r.key != a.key || r.value != a.value:
		c.fault(Lost, a.id, "what was acknowledged at %s is not what the log has there", p)
	}
}

func (c *checker) copies(hops int) {
	for _, id := range c.ids {
		e := c.events[id]
		allowed := e.unknown + min(e.written, 1)
		if more := e.copies - allowed; more > 0 && allowed > 0 && !e.sent.due.IsZero() {
			allowed += min(more, hops-c.report.Hops)
			c.report.Hops += more
		}
		if e.copies > allowed && allowed > 0 {
			c.fault(Duplicated, id, "%d copies, at most %d are explained by its attempts", e.copies, allowed)
		}
		if e.copies > 1 {
			c.report.Copies += e.copies - 1
		}
		if e.unknown > 0 && e.copies > min(e.written, 1) {
			c.report.Landed++
		}
	}
}

// sequence compares the first copies of acknowledged events, per stream and key, with the order in which they were
// sent. An event that was refused at first counts from its next attempt on.
func (c *checker) sequence(attempts []*Attempt) {
	type line struct{ stream, topic, key string }
	last := map[line]*event{}
	for _, a := range attempts {
		e := c.events[a.id]
		if e.sent != a || e.written == 0 || e.first == nil || a.key == "" || !a.due.IsZero() {
			continue
		}
		l := line{a.stream, a.topic, a.key}
		before := last[l]
		last[l] = e
		switch {
		case before == nil:
		case before.first.tp != e.first.tp:
			c.fault(Reordered, a.id, "it is in partition %d, event %s of the same key in %d", e.first.tp.Partition,
				before.sent.id, before.first.tp.Partition)
		case before.first.offset > e.first.offset:
			c.fault(Reordered, a.id, "it is at offset %d, before event %s at %d, which was sent earlier", e.first.offset,
				before.sent.id, before.first.offset)
		}
	}
}

func (p place) String() string { return fmt.Sprintf("%s/%d@%d", p.tp.Topic, p.tp.Partition, p.offset) }

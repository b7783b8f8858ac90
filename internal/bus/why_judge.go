// SPDX-License-Identifier: Apache-2.0

package bus

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/autobus-io/autobus/internal/kafka"
)

// judgeHere finds what is wrong at this instance by itself, whether brokers answer or not.
func (q *inquiry) judgeHere() {
	here := "instance " + q.bus.cfg.Instance
	lost := map[string]bool{}
	for tp, s := range q.sightings.parts {
		where := place(s.typ, tp.Partition)
		if s.newer != nil {
			q.add(whyProblem, WhyUnreadable, where, "upgrade "+here, "stands because of what a newer version wrote: %v",
				s.newer)
		}
		lost[where] = s.lost
	}
	for _, l := range q.lag.Partitions {
		lost[place(l.Type, l.Partition)] = lost[place(l.Type, l.Partition)] || l.Lost
	}
	for where, is := range lost {
		if is {
			q.add(whyProblem, WhyLost, where, "autobus offsets reset "+q.name+" --to earliest moves all partitions, offsets "+
				"import this one alone; raise the type's retention",
				"stands: retention deleted events before they were read, or the topic was made anew")
		}
	}
	if c := q.sightings.commits; c.err != nil && time.Since(c.since) > 2*saveEvery {
		q.add(whyProblem, WhyCommits, here, "autobus doctor", "cannot commit positions, for %s: %v", age(c.since), c.err)
	}
	q.judgePause()
	if len(q.types) == 0 {
		q.add(whyProblem, WhyNoTypes, q.name, "autobus types list", "no type that exists matches %s",
			strings.Join(q.value.Policy.Types, ", "))
	}
	q.judgePush(here)
	if i := q.out.Instance; i != nil && i.Breaker != nil {
		q.add(whyProblem, WhyBreaker, here, "mend what the workers depend on; it goes on by itself",
			"most attempts fail, so it only probes, since %s: %s", age(i.Breaker.Since), i.Breaker.Reason)
	}
}

// judgePause tells who paused it.
func (q *inquiry) judgePause() {
	p := q.value.Paused
	if p == nil {
		return
	}
	why := ""
	if p.Why != "" {
		why = ": " + clipFailure(p.Why)
	}
	fix := "autobus subscription resume " + q.name
	if at := p.Stopped; at != nil {
		where := fmt.Sprintf("%s/%d/%d", q.types[at.Topic], at.Partition, at.Offset)
		q.add(whyProblem, WhyPaused, q.name, "autobus offsets skip "+q.name+" "+where+", or mend what fails; then "+fix,
			"is stopped, since %s, by the event at %s, which has no attempts left%s", age(p.Since), where, why)
		return
	}
	q.add(whyProblem, WhyPaused, q.name, fix, "is paused, since %s, by %s%s", age(p.Since), p.By, why)
}

// judgeFlow finds why nothing ends, where nothing is wrong by itself.
func (q *inquiry) judgeFlow() {
	here, s, w := "instance "+q.bus.cfg.Instance, &q.sightings, &q.out
	severity := whyWarning
	if w.Undone > 0 && !q.moved {
		severity = whyProblem
	}
	holds := len(s.parts) > 0
	switch {
	case len(w.Elsewhere) == 0 && s.sessions == 0 && s.detached == 0 && !q.moved:
		q.add(severity, WhyNoWorkers, q.name, "autobus consume -g "+q.name+", or start the service's workers",
			"no worker is connected, to any instance")
	case s.sessions > 0 && !holds && len(w.Elsewhere) == 0, holds && q.opening() > 0 && !q.moved:
		q.add(severity, WhyStarting, here, "ask again in some seconds; autobus doctor",
			"has %s, and its partitions are not open yet", some(s.sessions, "worker"))
	}
	if severity == whyProblem && q.problem() == nil {
		q.judgeWorkers(here)
	}
	if w.Parked > 0 && !q.found(WhyParked) {
		q.add(whyWarning, WhyParked, park(q.name), "autobus subscription describe "+q.name,
			"%s parked: failed, or after one of their key that did", some(int(w.Parked), "event"))
	}
	if a := q.bus.cfg.Quotas.Status(w.Owner); w.Owner != "" && a != nil && a.Connections > 0 && a.Open >= a.Connections {
		q.add(whyWarning, whyQuota, w.Owner, "close some, or raise its quota",
			"its owner has all %d connections of its quota open here: more workers are refused", a.Connections)
	}
	if q.found(WhyElsewhere) {
		return
	}
	for _, e := range w.Elsewhere {
		q.add(whyOK, WhyElsewhere, "instance "+e.Instance, e.next(q.name), "has %s of it", some(e.Partitions, "partition"))
	}
}

// judgeLetters tells of what was given up, and of what retention will take of it.
func (q *inquiry) judgeLetters(ctx context.Context) {
	if q.out.DeadLetters == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, whyRead)
	defer cancel()
	q.countLetters(ctx)
	if q.out.DeadLetters == 0 {
		return
	}
	q.add(whyWarning, whyDeadLetters, deadLetters(q.name), "autobus dlq stats "+q.name, "has %s",
		some(int(q.out.DeadLetters), "dead letter"))
	e, err := q.bus.expiring.lookAt(ctx, q.name, time.Now())
	if err != nil { // as it was some minutes ago
		e = q.bus.expiring.of(q.name)
	}
	if e.Count > 0 {
		q.add(whyWarning, whyExpiring, deadLetters(q.name), "autobus dlq stats "+q.name+
			", then redrive, export or drop them; or raise its retention.ms", "retention deletes %s that nobody decided about, "+
			"from %s on", some(int(e.Count), "dead letter"), e.From.Format(time.DateTime))
	}
}

// countLetters leaves out those that were redriven, dropped or edited. Where that cannot be known in time the number of
// records stands, which is never too small.
func (q *inquiry) countLetters(ctx context.Context) {
	f, have, err := q.bus.standing(ctx, q.name)
	if err != nil || len(f.jobs) == 0 {
		return
	}
	n := int64(0)
	if _, err = q.bus.eachLetter(ctx, q.name, have, func(l *DeadLetter) bool {
		if f.of(l) == "" {
			n++
		}
		return true
	}); err == nil {
		q.out.DeadLetters = n
	}
}

// judgeWorkers looks at who has what does not end.
func (q *inquiry) judgeWorkers(here string) {
	s, i := &q.sightings, q.out.Instance
	stuck := q.stuckElsewhere()
	switch {
	case i != nil && i.Ready > 0 && s.sessions > 0 && !s.room:
		q.add(whyProblem, WhyFull, here, "autobus subscription describe "+q.name+
			" shows window and ack wait; look into the workers, or add some",
			"%s with a window of %d in all hold %s and have no room; more that are ready: %d%s", some(s.sessions, "worker"),
			s.windows, some(s.held, "event"), i.Ready, q.since())
	case i != nil && i.Leased > 0:
		q.add(whyProblem, WhySlow, here, "look into the workers; what is not settled within its ack wait comes again",
			"workers have %s and settle none; behind them wait %d%s", some(i.Leased, "event"), i.Waiting, q.since())
	case s.burying > 0:
		q.add(whyProblem, WhyGrave, deadLetters(q.name), "autobus doctor", "%s cannot be written to it; the last one: %s",
			some(s.burying, "event"), clipFailure(s.buried))
	case s.holding > 0:
		q.add(whyProblem, WhyHeld, here, "autobus offsets retry "+q.name+" TYPE/PARTITION/OFFSET, or skip in its place",
			"%s without attempts left, and what comes after it of its key, until an operator acts",
			some(s.holding, "event")+" held")
	case i != nil && i.Parked > 0:
		q.add(whyProblem, WhyParked, park(q.name), "the oldest undone event says why; it comes again by itself",
			"all that is left at this instance is parked: %s that failed, or come after one of their key that did%s",
			some(i.Parked, "event"), q.again())
	case s.pausing > 0:
		q.add(whyProblem, WhyRetrying, here, "the oldest undone event says why; it comes again by itself",
			"%s failed and wait for the next attempt; behind them wait %d%s", some(s.pausing, "event"),
			i.Waiting-s.pausing, q.again())
	case len(stuck) > 0:
		for _, e := range stuck {
			q.add(whyProblem, WhyElsewhere, "instance "+e.Instance, e.next(q.name),
				"has %s with something undone, and commits no progress; it knows why", some(e.Partitions, "partition"))
		}
	default:
		q.add(whyProblem, WhyUnexplained, here, "the log of "+here+"; autobus doctor",
			"%s undone, nothing ends, and nothing here explains it", some(int(q.out.Undone), "event"))
	}
}

// stuckElsewhere are members with partitions that are behind.
func (q *inquiry) stuckElsewhere() (out []WhyPeer) {
	behind := map[string]bool{}
	for _, l := range q.lag.Partitions {
		behind[place(l.Type, l.Partition)] = l.Undone > 0
	}
	for _, e := range q.out.Elsewhere {
		n := 0
		for _, tp := range e.tps {
			if behind[place(q.types[tp.Topic], tp.Partition)] {
				n++
			}
		}
		if e.Partitions = n; n > 0 {
			out = append(out, e)
		}
	}
	return out
}

func (e *WhyPeer) next(subscription string) string {
	if e.Address == "" {
		return "it is a Kafka consumer of its own, in the group of the subscription: stop it"
	}
	return fmt.Sprintf("autobus why %s --server %s", subscription, e.Address)
}

func (q *inquiry) found(check string) bool {
	for _, f := range q.out.Findings {
		if f.Check == check {
			return true
		}
	}
	return false
}

func (q *inquiry) opening() (n int) {
	for _, s := range q.sightings.parts {
		if s.opening {
			n++
		}
	}
	return n
}

func (q *inquiry) since() string {
	if q.sightings.longest.IsZero() {
		return ""
	}
	return "; the oldest was handed out " + age(q.sightings.longest) + " ago"
}

func (q *inquiry) again() string {
	if q.sightings.next.IsZero() {
		return ""
	}
	return "; the first comes again in " + max(0, time.Until(q.sightings.next)).Round(time.Second).String()
}

// some counts things.
func some(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}

func age(t time.Time) string { return max(0, time.Since(t)).Round(time.Second).String() }

// behindElsewhere are the places where reading would go on in partitions that this instance does not hold.
func (q *inquiry) behindElsewhere() map[kafka.TP]int64 {
	out := map[kafka.TP]int64{}
	for topic, typ := range q.types {
		for _, l := range q.lag.Partitions {
			tp := kafka.TP{Topic: topic, Partition: l.Partition}
			if _, here := q.sightings.parts[tp]; l.Type == typ && !here && l.Behind > 0 && !l.Lost {
				out[tp] = l.Position
			}
		}
	}
	return out
}

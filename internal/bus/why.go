// SPDX-License-Identifier: Apache-2.0

package bus

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/control"
	"github.com/autobus-io/autobus/internal/kafka"
)

// How long an answer to why may take in all: less than the commands wait. Asked where brokers do not answer, it must
// still come.
const (
	whyBrokers = 2 * time.Second         // for the brokers to answer at all
	whyLag     = 5 * time.Second         // for commits, bounds and what is parked
	whyRead    = 2 * time.Second         // for the oldest undone events that are not in memory
	whyWatch   = 1500 * time.Millisecond // in which something ends, where it moves: more than between two commits
	whyLook    = 100 * time.Millisecond
)

// Severities of a WhyFinding, as those of the doctor.
const (
	whyOK      = "ok"
	whyWarning = "warning"
	whyProblem = "problem"
)

// Verdicts of Why, which are the checks of its findings too. Where there are several, the first of this list counts.
const (
	WhyKafka       = "kafka_unreachable"
	WhyNoLeader    = "no_leader"     // of a partition that it reads
	WhyUnreadable  = "unreadable"    // a newer version wrote what comes next
	WhyLost        = "position_lost" // retention overtook it
	WhyCommits     = "commits_failing"
	WhyPaused      = "paused"   // by an operator, or stopped by an event
	WhyNoTypes     = "no_types" // its patterns match nothing that exists
	WhyBreaker     = "breaker"
	WhyGrave       = "dead_letters_failing"
	WhyPush        = "push_blocked" // the endpoint takes no event, whichever
	WhyNoWorkers   = "no_workers"
	WhyStarting    = "starting" // partitions are on their way to this instance, or being opened
	WhyFull        = "workers_full"
	WhySlow        = "workers_slow" // they hold all that could be handed out
	WhyHeld        = "held"         // what is left waits for an operator
	WhyParked      = "key_parked"
	WhyRetrying    = "retrying"      // what is left waits for its next attempt
	WhyElsewhere   = "ask_elsewhere" // another instance has what does not move, and knows more
	WhyUnexplained = "unexplained"
	WhyOK          = "ok"
)

// Checks of findings that are no verdict.
const (
	whyDeadLetters = "dead_letters"
	whyExpiring    = "dead_letters_expire" // of them, those that retention takes soon
	whyQuota       = "quota"
)

// Why is why a subscription does not move, as far as one instance knows. Public: GET /v1/subscriptions/{name}/why
// answers with it.
type Why struct {
	Subscription string         `json:"subscription"`
	Verdict      string         `json:"verdict"` // ok, or the check of the first problem
	Summary      string         `json:"summary"` // the same, as a sentence
	Owner        string         `json:"owner,omitempty"`
	Answered     string         `json:"answered"`     // the instance that says so
	Behind       int64          `json:"behind"`       // events after the committed positions
	Undone       int64          `json:"undone"`       // events that are not done
	Parked       int64          `json:"parked"`       // those of them that are kept in park.<name>
	DeadLetters  int64          `json:"dead_letters"` // at most so many there are
	Instance     *InstanceGroup `json:"instance,omitempty"`
	Elsewhere    []WhyPeer      `json:"elsewhere"` // others that have partitions of it
	Oldest       *UndoneEvent   `json:"oldest,omitempty"`
	Findings     []WhyFinding   `json:"findings"`
}

// WhyFinding is one thing that was found, in the form of the doctor's.
type WhyFinding struct {
	Severity string `json:"severity"` // ok, warning or problem
	Check    string `json:"check"`
	Where    string `json:"where"`
	What     string `json:"what"`
	Fix      string `json:"fix,omitempty"` // the next command, or what to do
}

// WhyPeer is a member of the Kafka group beside the instance that answers.
type WhyPeer struct {
	Instance   string `json:"instance"` // its client id, where it is no instance of the bus
	Address    string `json:"address,omitempty"`
	Partitions int    `json:"partitions"`
	tps        []kafka.TP
}

// inquiry is one question.
type inquiry struct {
	bus   *Bus
	name  string
	value control.Subscription
	group *group // nil = this instance has nothing of it
	lag   Lag
	types map[string]string // topic -> type
	ends  map[kafka.TP]int64
	out   Why

	sightings sightings
	moved     bool
}

// Why tells why a subscription does not move. The grants are those of Describe; who may not receive its events is not
// told which one is the oldest by id and key. Where something is undone and nothing is wrong at first sight, it watches
// for 1.5 s at most whether anything ends.
func (b *Bus) Why(ctx context.Context, name string) (Why, error) {
	who, known := autobus.PrincipalOf(ctx)
	if !known {
		return Why{}, autobus.NewError(autobus.ReasonUnauthenticated, "nobody is known to ask")
	}
	rec, err := b.subscription(ctx, who, name)
	if err != nil {
		return Why{}, err
	}
	v, err := control.Decode[control.Subscription](rec)
	if err != nil {
		return Why{}, err
	}
	q := &inquiry{bus: b, name: name, value: v, types: b.topicsOf(v.Policy.Types), out: Why{Subscription: name,
		Owner: v.Policy.Owner, Answered: b.cfg.Instance, Elsewhere: []WhyPeer{}, Findings: []WhyFinding{}}}
	for _, g := range b.groups.all() {
		if g.name == name {
			q.group = g
		}
	}
	q.look()
	reached := q.askBrokers(ctx)
	q.judgeHere()
	if reached {
		if q.out.Undone > 0 && q.problem() == nil {
			q.watch(ctx)
		}
		q.judgeFlow()
		q.judgeLetters(ctx)
	}
	q.findOldest(ctx, reached, who.May(autobus.VerbPeek, name) ||
		who.May(autobus.VerbSubscribe, name) && mayReadAll(who, v.Policy.Types) == nil)
	q.conclude()
	return q.out, nil
}

func (q *inquiry) add(severity, check, where, fix, what string, args ...any) {
	q.out.Findings = append(q.out.Findings, WhyFinding{severity, check, where, fmt.Sprintf(what, args...), fix})
}

// problem is the first one that was found.
func (q *inquiry) problem() *WhyFinding {
	for i := range q.out.Findings {
		if q.out.Findings[i].Severity == whyProblem {
			return &q.out.Findings[i]
		}
	}
	return nil
}

// conclude orders the findings and puts the first problem into one sentence.
func (q *inquiry) conclude() {
	w := &q.out
	slices.SortStableFunc(w.Findings, func(a, b WhyFinding) int {
		return cmp.Or(cmp.Compare(a.rank(), b.rank()), cmp.Compare(a.Where, b.Where))
	})
	if p := q.problem(); p != nil {
		if w.Verdict, w.Summary = p.Check, p.What; p.Where != q.name {
			w.Summary = p.Where + " " + p.What
		}
		return
	}
	w.Verdict, w.Summary = WhyOK, "nothing is undone"
	if w.Undone > 0 {
		w.Summary = fmt.Sprintf("it moves; not done yet: %d", w.Undone)
	}
	w.Findings = slices.Insert(w.Findings, 0, WhyFinding{Severity: whyOK, Check: WhyOK, Where: q.name, What: w.Summary})
}

// rank orders findings: by severity, then as the verdicts.
func (f *WhyFinding) rank() int {
	severities := []string{whyProblem, whyWarning, whyOK}
	checks := []string{WhyKafka, WhyNoLeader, WhyUnreadable, WhyLost, WhyCommits, WhyNoTypes, WhyBreaker, WhyGrave,
		WhyPush, WhyNoWorkers, WhyStarting, WhyFull, WhySlow, WhyParked, WhyRetrying, WhyElsewhere, WhyUnexplained,
		whyExpiring, whyDeadLetters, whyQuota}
	return slices.Index(severities, f.Severity)*len(checks) + slices.Index(checks, f.Check)
}

func place(typ string, partition int32) string { return fmt.Sprintf("%s/%d", typ, partition) }

// SPDX-License-Identifier: Apache-2.0

package bustest

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/kafka"
)

// Target is what the conformance suite is run against: anything that carries events, and the log they end in.
type Target struct {
	Bus autobus.Bus
	Log *kafka.Log // the bus's own cluster: judges read it, foreign writers append to it

	// Read stands in for Log where there is none: all records of the topics, as ReadAll gives them. A topic that does not
	// exist has none.
	Read func(t testing.TB, topics ...string) []kafka.Record

	// As returns a bus on which this principal acts. nil: Bus takes the principal from the context, as in process.
	As func(t testing.TB, p autobus.Principal) autobus.Bus

	// Full makes the bus's storage full, or no longer: every publish is refused with ReasonStorageFull, which is
	// transient. nil: the target cannot.
	Full func(full bool)

	// Push puts other specs in force. nil: the target cannot.
	Push func(t testing.TB, specs map[string][]byte)

	// API makes a request to the HTTP API, at whichever instance, as this principal. nil: the target has none.
	API func(t testing.TB, p autobus.Principal, method, path string, body []byte) (status int, answer []byte)

	// Load is how many events each run of many workers takes. 0 = 1500.
	Load int
}

// Open starts a bus that serves the given specs (slash path to content) and returns when it takes events.
type Open func(t *testing.T, specs map[string][]byte) Target

// Features says what a target does not do, each with the reason. The zero value does everything.
type Features struct {
	NoDurability string // it does not refuse types whose topic is weaker than the bus promises
	NoFull       string // its storage cannot be made full by a test
	NoFilter     string // its tails take no filter
	NoCEL        string // it does not compile the filters of its subscriptions
	NoLog        string // there is no log beside it, which others read and write
	NoGroups     string // it has no named subscriptions
	NoPush       string // other specs cannot be put in force
	NoStream     string // it does not tie the batches of a Stream
	NoCreate     string // who brings a policy changes the subscription that is there
	NoSessions   string // it does not know its workers: leases outlive the end of a Subscribe, nobody hears of a revoke
	NoHome       string // a key's events may go to another session, though the first one is there and has room
	NoDetached   string // leases always end with their Subscribe
	NoResize     string // a session's window stays as it is
	NoByteWindow string // a session's window counts events alone
	NoVerdict    string // it tells that a settlement did not count, and not whether it was late or never could have
	NoBreaker    string // failing events run out of attempts, however many fail
	NoInbox      string // it opens no reply addresses
	NoAPI        string // nobody operates on its subscriptions
	NoSchedules  string // nothing is published later
	NoOwner      string // a settlement does not say whose lease it has to be
}

// everything is what the suite's usual principal may do.
var everything = autobus.Principal{Name: "conformance", Grants: []autobus.Grant{
	{Verb: autobus.VerbPublish, Pattern: "*"}, {Verb: autobus.VerbSubscribe, Pattern: "*"},
	{Verb: autobus.VerbManage, Pattern: "*"}, {Verb: autobus.VerbRequest, Pattern: "*"},
}}

// Exercise runs the conformance suite: what every bus must do, whatever lies below it and before it.
func Exercise(t *testing.T, open Open, f Features) {
	s := newSuite(t, open, f)
	t.Run("Schedules", s.schedules)
	t.Run("Record", s.record)
	t.Run("Key", s.key)
	t.Run("Order", s.order)
	t.Run("Outcome", s.outcome)
	t.Run("Predecessor", s.predecessor)
	t.Run("Duplicate", s.duplicate)
	t.Run("Limit", s.limit)
	t.Run("Durability", s.durability)
	t.Run("Tail", s.tail)
	t.Run("Grant", s.grant)
	if !lacks(t, f.NoGroups) {
		t.Run("Group", s.group)
		if !lacks(t, f.NoInbox) {
			t.Run("Request", s.request)
		}
	}
	t.Run("SchedulesEnd", s.schedulesEnd)
}

// ExerciseGroups runs what the suite says of durable subscriptions, for a target that differs in nothing else from one
// that passes the whole of it.
func ExerciseGroups(t *testing.T, open Open, f Features) { newSuite(t, open, f).group(t) }

func newSuite(t *testing.T, open Open, f Features) *suite {
	types := NewTypes(Prefix())
	return &suite{types: types, features: f, target: open(t, types.Specs())}
}

// suite is one run. Its parts share the target and the topics; keys and ids never repeat.
type suite struct {
	target   Target
	types    Types
	features Features
	count    atomic.Int64
	due      []scheduled
}

// lacks runs a part unless the target says why it does not do it.
func lacks(t *testing.T, why string) bool {
	if why != "" {
		t.Logf("not part of this target: %s", why)
	}
	return why != ""
}

// unique returns a new name, for a key or an id.
func (s *suite) unique(what string) string { return fmt.Sprintf("%s-%d", what, s.count.Add(1)) }

// event makes a good event of one of the suite's types with the given key.
func (s *suite) event(typ, key string) autobus.Event {
	data := map[string]any{"order": key, "n": s.count.Add(1)}
	if typ == s.types.Keyless {
		data["order"] = "none"
	}
	raw, err := json.Marshal(data)
	if err != nil {
		panic(err) // strings and integers
	}
	return autobus.Event{ID: s.unique("id"), Type: typ, Data: raw}
}

// bus returns the bus and the context in which p acts.
func (s *suite) bus(ctx context.Context, t testing.TB, p autobus.Principal) (autobus.Bus, context.Context) {
	if s.target.As != nil {
		return s.target.As(t, p), ctx
	}
	return s.target.Bus, autobus.WithPrincipal(ctx, p)
}

// publish sends events in one batch and waits for their receipts. An error of the batch as a whole fails the test.
func (s *suite) publish(t testing.TB, events ...autobus.Event) []autobus.Receipt {
	t.Helper()
	return s.send(t, &autobus.Batch{Events: events})
}

func (s *suite) send(t testing.TB, b *autobus.Batch) []autobus.Receipt {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), Patience)
	defer cancel()
	bus, ctx := s.bus(ctx, t, everything)
	if err := bus.Publish(ctx, b); err != nil {
		t.Fatalf("the whole batch was refused: %v", err)
	}
	return b.Wait(ctx)
}

// written fails the test unless all receipts say so.
func written(t testing.TB, rs []autobus.Receipt) {
	t.Helper()
	for i, r := range rs {
		if r.Status != autobus.Written {
			t.Fatalf("event %d is %s: %v", i, r.Status, r.Err)
		}
	}
}

// refused fails the test unless the receipt says so, for that reason.
func refused(t testing.TB, r autobus.Receipt, why autobus.Reason) {
	t.Helper()
	if r.Status != autobus.Refused || r.Err == nil || r.Err.Reason != why {
		t.Errorf("got %s (%v), want refused: %s", r.Status, r.Err, why)
	}
}

// log reads the whole topic of a type, in the order of partitions and offsets.
func (s *suite) log(t testing.TB, typ string) []kafka.Record {
	t.Helper()
	return s.read(t, typ)
}

func (s *suite) read(t testing.TB, topics ...string) []kafka.Record {
	t.Helper()
	if s.target.Read != nil {
		return s.target.Read(t, topics...)
	}
	return ReadAll(t, s.target.Log, topics...)
}

// copies returns the records of an id.
func (s *suite) copies(t testing.TB, e autobus.Event) []kafka.Record {
	t.Helper()
	return slices.DeleteFunc(s.log(t, e.Type), func(r kafka.Record) bool {
		id, _ := header(r, "ce_id")
		return id != e.ID
	})
}

// one returns the record of an event, which has to be the only one, at the place that the receipt tells.
func (s *suite) one(t testing.TB, e autobus.Event, r autobus.Receipt) kafka.Record {
	t.Helper()
	got := s.copies(t, e)
	if len(got) != 1 {
		t.Fatalf("event %s is %d times in the log, want once", e.ID, len(got))
	}
	if got[0].Partition != r.Partition || got[0].Offset != r.Offset {
		t.Errorf("event %s: the receipt says %d/%d, the log has it at %d/%d", e.ID, r.Partition, r.Offset,
			got[0].Partition, got[0].Offset)
	}
	return got[0]
}

// none fails the test if an event is in the log.
func (s *suite) none(t testing.TB, e autobus.Event) {
	t.Helper()
	if got := s.copies(t, e); len(got) > 0 {
		t.Errorf("refused event %s is in the log at %d/%d", e.ID, got[0].Partition, got[0].Offset)
	}
}

// header returns the value of a record's header and whether it has it, once.
func header(r kafka.Record, key string) (string, bool) {
	i := slices.IndexFunc(r.Headers, func(h kafka.Header) bool { return h.Key == key })
	if i < 0 {
		return "", false
	}
	return string(r.Headers[i].Value), true
}

// ReadAll reads topics from their first record to the end they had when the call began, in the order of topics,
// partitions and offsets.
func ReadAll(t testing.TB, l *kafka.Log, topics ...string) []kafka.Record {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	defer cancel()
	starts, err := l.Starts(ctx, topics...)
	if err != nil {
		t.Fatalf("where %v begin: %v", topics, err)
	}
	ends, err := l.Ends(ctx, topics...)
	if err != nil {
		t.Fatalf("where %v end: %v", topics, err)
	}
	open := map[kafka.TP]int64{}
	for tp, end := range ends {
		if starts[tp] < end {
			open[tp] = starts[tp]
		}
	}
	var out []kafka.Record
	if len(open) > 0 {
		reader, err := l.Read(open)
		if err != nil {
			t.Fatalf("read %v: %v", topics, err)
		}
		defer reader.Close()
		for len(open) > 0 {
			records, err := reader.Poll(ctx)
			if err != nil {
				t.Fatalf("read %v, %d partitions to go: %v", topics, len(open), err)
			}
			for _, r := range records {
				if r.Offset < ends[r.TP] {
					out = append(out, r)
				}
				if r.Offset >= ends[r.TP]-1 {
					delete(open, r.TP)
				}
			}
		}
	}
	slices.SortStableFunc(out, func(a, b kafka.Record) int {
		return cmp.Or(cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.Partition, b.Partition),
			cmp.Compare(a.Offset, b.Offset))
	})
	return out
}

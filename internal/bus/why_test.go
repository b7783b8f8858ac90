// SPDX-License-Identifier: Apache-2.0

package bus_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/bus"
)

// why asks for the subscription shop.
func (f *fixture) why(t *testing.T) bus.Why {
	t.Helper()
	w, err := f.Why(f.ctx, "shop")
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range w.Findings {
		if x.Severity == "problem" && x.Fix == "" {
			t.Errorf("no next step for %+v", x)
		}
	}
	return w
}

// awaitWhy asks until the verdict is the one.
func (f *fixture) awaitWhy(t *testing.T, verdict string) (w bus.Why) {
	t.Helper()
	limit := time.Now().Add(patience)
	for w = f.why(t); w.Verdict != verdict; w = f.why(t) {
		if time.Now().After(limit) {
			t.Fatalf("the verdict is %s, want %s: %+v", w.Verdict, verdict, w)
		}
	}
	return w
}

func finding(w bus.Why, check string) (f bus.WhyFinding) {
	for _, f = range w.Findings {
		if f.Check == check {
			return f
		}
	}
	return bus.WhyFinding{}
}

// slowly acks one event after the other, with a pause, until it is stopped.
func (w *worker) slowly() (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-ctx.Done():
				return
			case d := <-w.got:
				_ = w.f.Settle(w.f.ctx, []autobus.Settlement{{Lease: d.Lease, Outcome: autobus.Outcome{Kind: autobus.Ack}}})
			}
			select {
			case <-ctx.Done():
				return
			case <-time.After(10 * time.Millisecond):
			}
		}
	}()
	return func() { cancel(); <-done }
}

func TestWhyItMovesOrHasNothingToDo(t *testing.T) {
	f := open(t)
	f.put(t, "shop", earliest)
	if w := f.why(t); w.Verdict != bus.WhyOK || w.Summary != "nothing is undone" || w.Oldest != nil ||
		finding(w, bus.WhyNoWorkers).Severity != "warning" {
		t.Errorf("%+v", w)
	}
	f.orders(t, 1000, "a", "b", "c")
	w := f.worker(t, autobus.Subscription{Name: "shop", Window: &autobus.Window{Events: 1}})
	stop := w.slowly()
	got := f.awaitWhy(t, bus.WhyOK)
	stop()
	if got.Undone == 0 || !strings.HasPrefix(got.Summary, "it moves; ") || got.Oldest == nil || got.Oldest.ID == "" {
		t.Errorf("%+v", got)
	}
}

func TestWhyNobodyWorks(t *testing.T) {
	f := open(t)
	f.put(t, "shop", earliest)
	f.orders(t, 3, "a")
	w := f.why(t)
	o := w.Oldest
	if w.Verdict != bus.WhyNoWorkers || w.Undone != 3 || o == nil || o.State != "elsewhere" || o.Key != "a" ||
		o.ID == "" || o.Offset != 0 || o.Type != orders || o.Since.IsZero() {
		t.Errorf("%+v, oldest %+v", w, o)
	}
	// Who may only manage it is told all, but for the event.
	manager := as("manager", autobus.Grant{Verb: autobus.VerbManage, Pattern: "shop"})
	if w, err := f.Why(manager, "shop"); err != nil || w.Oldest == nil || w.Oldest.ID != "" || w.Oldest.Key != "" {
		t.Errorf("a manager is told %+v, %v", w.Oldest, err)
	}
	stranger := as("stranger", autobus.Grant{Verb: autobus.VerbManage, Pattern: "other"})
	if _, err := f.Why(stranger, "shop"); reasonOf(err) != autobus.ReasonForbidden {
		t.Errorf("a stranger is told %v", err)
	}
	if _, err := f.Why(f.ctx, "shopp"); reasonOf(err) != autobus.ReasonSubscriptionUnknown {
		t.Errorf("one that does not exist: %v", err)
	}
}

func TestWhyNoTypeMatches(t *testing.T) {
	f := open(t)
	p := earliest
	p.Types = []string{"later.*"}
	f.put(t, "shop", p)
	if w := f.why(t); w.Verdict != bus.WhyNoTypes {
		t.Errorf("%+v", w)
	}
}

func TestWhyWorkersAreFull(t *testing.T) {
	f := open(t)
	f.put(t, "shop", earliest)
	f.orders(t, 1, "a")
	w := f.worker(t, autobus.Subscription{Name: "shop", Window: &autobus.Window{Events: 2}})
	first := w.next(t)
	f.orders(t, 40, "a", "b", "c", "d", "e", "f", "g", "h")
	w.next(t)
	got := f.awaitWhy(t, bus.WhyFull)
	if o := got.Oldest; o.State != "leased" || o.Attempts != 1 || o.Next.Before(o.Since) || o.ID != first.ID {
		t.Errorf("%+v", o)
	}
	if !strings.Contains(got.Summary, "1 worker with a window of 2 in all hold 2 events") {
		t.Error(got.Summary)
	}
}

func TestWhyWorkersAreSlow(t *testing.T) {
	f := open(t)
	f.put(t, "shop", earliest)
	f.orders(t, 3, "a")
	w := f.worker(t, autobus.Subscription{Name: "shop"})
	d := w.next(t)
	got := f.awaitWhy(t, bus.WhySlow)
	if o := got.Oldest; o.ID != d.ID || o.Offset != d.Offset || o.Partition != d.Partition {
		t.Errorf("%+v", o)
	}
}

func TestWhyTheBreakerIsOpen(t *testing.T) {
	f := open(t)
	f.put(t, "shop", earliest)
	var keys []string
	for i := range 100 {
		keys = append(keys, fmt.Sprint("k", i))
	}
	w := f.worker(t, autobus.Subscription{Name: "shop", Window: &autobus.Window{Events: 10}})
	f.orders(t, 100, keys...)
	for f.stateOf(t, "shop") == "active" {
		w.settle(t, w.next(t), autobus.Outcome{Kind: autobus.Retry, Reason: "no database"})
	}
	if got := f.why(t); got.Verdict != bus.WhyBreaker || !strings.HasSuffix(got.Summary, ": no database") {
		t.Errorf("%+v", got)
	}
}

func TestWhyAKeyIsParked(t *testing.T) {
	f := open(t)
	f.SetMemory(time.Millisecond)
	f.put(t, "shop", earliest)
	f.orders(t, 3, "a")
	w := f.worker(t, autobus.Subscription{Name: "shop"})
	d := w.next(t)
	w.settle(t, d, again(time.Hour))
	got := f.awaitWhy(t, bus.WhyParked)
	o := got.Oldest
	if got.Parked != 3 || got.Undone != 3 || !o.Parked || o.State != "retrying" || o.LastError != "not now" ||
		o.Attempts != 1 || o.ID != d.ID || o.Key != "a" || time.Until(o.Next) < 50*time.Minute || o.Since.IsZero() {
		t.Errorf("%+v, oldest %+v", got, o)
	}
	// Others move: then it is a warning.
	f.orders(t, 1000, "b")
	stop := w.slowly()
	got = f.awaitWhy(t, bus.WhyOK)
	stop()
	if finding(got, bus.WhyParked).Severity != "warning" {
		t.Errorf("%+v", got.Findings)
	}
}

func TestWhyAnEventIsTriedAgain(t *testing.T) {
	f := open(t)
	f.put(t, "shop", earliest)
	f.orders(t, 2, "a")
	w := f.worker(t, autobus.Subscription{Name: "shop"})
	w.settle(t, w.next(t), again(50*time.Second)) // in memory
	got := f.awaitWhy(t, bus.WhyRetrying)
	if o := got.Oldest; o.State != "retrying" || o.LastError != "not now" || o.Parked {
		t.Errorf("%+v", o)
	}
}

func TestWhyThePositionIsLost(t *testing.T) {
	f := open(t)
	f.put(t, "shop", earliest)
	f.orders(t, 8, "a")
	ends, err := f.log.Ends(t.Context(), orders)
	if err != nil {
		t.Fatal(err)
	}
	c := f.client(t)
	for tp, end := range ends {
		if end > 0 {
			var o kadm.Offsets
			o.AddOffset(tp.Topic, tp.Partition, 3, -1)
			if _, err := kadm.NewClient(c).DeleteRecords(t.Context(), o); err != nil {
				t.Fatal(err)
			}
		}
	}
	if w := f.why(t); w.Verdict != bus.WhyLost { // by what is stored
		t.Errorf("%+v", w)
	}
	lost := make(chan autobus.PositionLost, 1)
	f.worker(t, autobus.Subscription{Name: "shop", Lost: func(l autobus.PositionLost) { lost <- l }})
	<-lost
	if w := f.why(t); w.Verdict != bus.WhyLost { // by who holds it
		t.Errorf("%+v", w)
	}
}

func TestWhyANewerVersionWroteIt(t *testing.T) {
	f := open(t)
	f.put(t, "shop", earliest)
	f.appendNewer(t, "a")
	f.worker(t, autobus.Subscription{Name: "shop"})
	w := f.awaitWhy(t, bus.WhyUnreadable)
	if !strings.Contains(w.Summary, `form "2"`) {
		t.Error(w.Summary)
	}
}

// whyOn is a bus on a cluster that can be made to fail.
func whyOn(t *testing.T) (*fixture, *kfake.Cluster) {
	t.Helper()
	c, err := kfake.NewCluster(kfake.NumBrokers(1))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return openOn(t, c.ListenAddrs()[0]), c
}

func TestWhyCommitsFail(t *testing.T) {
	f, c := whyOn(t)
	f.put(t, "shop", earliest)
	f.orders(t, 3, "a")
	w := f.worker(t, autobus.Subscription{Name: "shop"})
	d := w.next(t)
	c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.OffsetCommit}, Err: kerr.GroupAuthorizationFailed, Count: -1})
	w.ack(t, d)
	f.awaitWhy(t, bus.WhyCommits)
}

func TestWhyItStarts(t *testing.T) {
	f, c := whyOn(t)
	f.put(t, "shop", earliest)
	f.orders(t, 3, "a")
	c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.OffsetCommit}, Err: kerr.GroupAuthorizationFailed, Count: -1})
	opened := make(chan struct{})
	f.worker(t, autobus.Subscription{Name: "shop", Opened: func(autobus.Address) { close(opened) }})
	<-opened
	if w := f.why(t); w.Verdict != bus.WhyStarting {
		t.Errorf("%+v", w)
	}
	f.awaitWhy(t, bus.WhyCommits) // it has tried for long enough
}

func TestWhyDeadLettersCannotBeWritten(t *testing.T) {
	f, c := whyOn(t)
	f.put(t, "shop", earliest)
	f.orders(t, 2, "a")
	c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: "dlq.shop", Err: kerr.InvalidRecord, Count: -1})
	w := f.worker(t, autobus.Subscription{Name: "shop"})
	w.settle(t, w.next(t), autobus.Outcome{Kind: autobus.Reject, Reason: "never"})
	got := f.awaitWhy(t, bus.WhyGrave)
	if o := got.Oldest; o.State != "burying" || o.LastError != "never" || o.Attempts != 1 {
		t.Errorf("%+v", o)
	}
}

func TestWhyTheBrokersDoNotAnswer(t *testing.T) {
	f := open(t)
	f.put(t, "shop", earliest)
	f.orders(t, 3, "a")
	w := f.worker(t, autobus.Subscription{Name: "shop"})
	d := w.next(t)
	if err := f.broker.Close(); err != nil {
		t.Fatal(err)
	}
	got := f.why(t)
	if got.Verdict != bus.WhyKafka || got.Oldest == nil || got.Oldest.ID != d.ID || got.Instance == nil {
		t.Errorf("%+v", got)
	}
}

func TestWhyAnotherInstanceKnows(t *testing.T) {
	_, fs := newFleet(t, "a", "b")
	p := single(t, fs[0])
	fs[0].put(t, "shop", p)
	fs[0].things(t, "k", "k")
	w := fs[0].worker(t, autobus.Subscription{Name: "shop"})
	first := w.next(t)
	eventually(t, "b hears of the subscription", func() bool {
		_, err := fs[1].Why(fs[1].ctx, "shop")
		return err == nil
	})
	got := fs[1].awaitWhy(t, bus.WhyElsewhere)
	if e := got.Elsewhere; len(e) != 1 || e[0].Instance != "a" || e[0].Address != "a:1" || e[0].Partitions != 1 {
		t.Errorf("%+v", e)
	}
	if x := finding(got, bus.WhyElsewhere); x.Fix != "autobus why shop --server a:1" {
		t.Errorf("%+v", x)
	}
	if o := got.Oldest; o == nil || o.State != "elsewhere" || o.ID == "" {
		t.Errorf("%+v", o)
	}
	// The worker takes up its work: b sees that by the commits.
	fs[0].things(t, slices.Repeat([]string{"k"}, 300)...)
	stop := w.slowly()
	w.got <- first
	moving := fs[1].awaitWhy(t, bus.WhyOK)
	if x := finding(moving, bus.WhyElsewhere); x.Severity != "ok" || moving.Undone == 0 {
		t.Errorf("%+v", moving)
	}
	stop()
	if got := fs[0].why(t); got.Verdict != bus.WhySlow || len(got.Elsewhere) > 0 {
		t.Errorf("the owner says %+v", got)
	}
}

// A Kafka consumer that joined the group of a subscription takes its partitions.
func TestWhyAForeignConsumerHasIt(t *testing.T) {
	f := open(t)
	f.put(t, "shop", earliest)
	f.orders(t, 1, "a")
	c := f.client(t, kgo.ClientID("tool"), kgo.ConsumerGroup("shop"), kgo.ConsumeTopics(orders), kgo.DisableAutoCommit(),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := c.PollFetches(ctx).Err(); err != nil {
		t.Fatal(err)
	}
	got := f.awaitWhy(t, bus.WhyElsewhere)
	if e := got.Elsewhere; len(e) != 1 || e[0].Instance != "tool" || e[0].Address != "" {
		t.Errorf("%+v", e)
	}
}

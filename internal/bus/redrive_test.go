// SPDX-License-Identifier: Apache-2.0

package bus_test

import (
	"context"
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/bus"
	"github.com/autobus-io/autobus/internal/kafka"
)

var (
	all    = bus.JobRequest{}
	reject = autobus.Outcome{Kind: autobus.Reject, Reason: "no stock"}
)

func chosen(c bus.LetterChoice) bus.JobRequest { return bus.JobRequest{LetterChoice: c} }

func numbers(n ...int64) bus.JobRequest {
	return chosen(bus.LetterChoice{Numbers: append([]int64{}, n...)})
}

// finished waits until a job is over.
func (f *fixture) finished(t *testing.T, id string) (j bus.Job) {
	t.Helper()
	until(t, "the job does not end", func() bool {
		var err error
		if j, err = f.Job(f.ctx, id); err != nil {
			t.Fatal(err)
		}
		return j.State != bus.JobRunning
	})
	return j
}

func (f *fixture) redrive(t *testing.T, r bus.JobRequest) *bus.Job {
	t.Helper()
	_, j, err := f.Redrive(f.ctx, "shop", r, bus.Audit{Actor: "tester"})
	if err != nil {
		t.Fatal(err)
	}
	return j
}

// letters gives the numbers of the dead letters that are still there.
func (f *fixture) letters(t *testing.T) []int64 {
	t.Helper()
	page, err := f.DeadLetters(f.ctx, "shop", bus.LetterQuery{Limit: bus.LettersMost})
	if err != nil {
		t.Fatal(err)
	}
	out := []int64{}
	for _, l := range page.Letters {
		out = append(out, l.Number)
	}
	return out
}

// A letter comes back with its attempts counted on and as many more as the policy gives; given up again, it is a new
// letter, which can be redriven again.
func TestALetterIsRedriven(t *testing.T) {
	f := open(t)
	w := bury(t, f, 1)
	for round := range int64(3) {
		j := f.redrive(t, all)
		d := w.next(t)
		if d.Attempt != int(round)+2 || string(d.Key) != "k-0" || string(d.Data) != `{"id":"k-0","total":0}` ||
			d.Type != orders || d.Source != "/tester" {
			t.Errorf("round %d: %+v", round, d)
		}
		if j := f.finished(t, j.ID); j.Redriven != 1 || j.State != bus.JobDone || j.Count != 1 || j.Remaining != 0 ||
			j.Actor != "tester" {
			t.Errorf("round %d: %+v", round, j)
		}
		if round == 2 {
			w.ack(t, d)
			break
		}
		w.settle(t, d, reject)
		f.await(t, "dlq.shop", int(round)+2)
		if have := f.letters(t); !slices.Equal(have, []int64{round + 1}) {
			t.Errorf("round %d: the letters are %v", round, have)
		}
		l, err := f.DeadLetter(f.ctx, "shop", round+1)
		if err != nil || l.Redriven == nil || *l.Redriven != round || l.Attempts != int(round)+2 || l.Offset != d.Offset {
			t.Errorf("round %d: %+v, %v", round, l, err)
		}
	}
	if l, err := f.DeadLetter(f.ctx, "shop", 0); err != nil || l.Fate != "redriven" {
		t.Errorf("the first one: %+v, %v", l, err)
	}
	until(t, "something stays parked", func() bool { parked, _ := f.parked(t, "shop"); return parked == 0 })
	if g, err := f.DeadLetterGroups(f.ctx, "shop"); err != nil || g.Count != 0 || len(g.Groups) != 0 {
		t.Errorf("%+v, %v", g, err)
	}
}

// The policy's attempts begin anew, else a letter that is redriven would have one.
func TestARedrivenLetterHasAllItsAttempts(t *testing.T) {
	f := open(t)
	p := earliest
	p.Retry.MaxAttempts = 2
	f.put(t, "shop", p)
	w := f.worker(t, autobus.Subscription{Name: "shop"})
	f.orders(t, 1, "a")
	for attempt := 1; attempt <= 4; attempt++ {
		d := w.next(t)
		if d.Attempt != attempt {
			t.Errorf("attempt %d is told as %d", attempt, d.Attempt)
		}
		w.settle(t, d, autobus.Outcome{Kind: autobus.Retry})
		if attempt == 2 {
			f.await(t, "dlq.shop", 1)
			f.redrive(t, all)
		}
	}
	f.await(t, "dlq.shop", 2)
}

func TestLettersAreChosen(t *testing.T) {
	f := open(t)
	w := bury(t, f, 7)
	w.leave(t, nil) // nobody is there to redrive anything
	page, err := f.DeadLetters(f.ctx, "shop", bus.LetterQuery{})
	if err != nil {
		t.Fatal(err)
	}
	choose := func(c bus.LetterChoice) bus.JobRequest { return bus.JobRequest{LetterChoice: c, DryRun: true} }
	for name, c := range map[string]struct {
		r    bus.JobRequest
		want int64
	}{
		"all":                 {choose(bus.LetterChoice{}), 7},
		"numbers":             {choose(bus.LetterChoice{Numbers: []int64{5, 2, 2}}), 2},
		"ids":                 {choose(bus.LetterChoice{IDs: []string{page.Letters[3].ID}}), 1},
		"a fingerprint":       {choose(bus.LetterChoice{Fingerprint: page.Letters[2].Fingerprint}), 2},
		"a filter":            {choose(bus.LetterChoice{Filter: `data.id in ["k-1", "k-2"]`}), 2},
		"a filter that fails": {choose(bus.LetterChoice{Filter: `data.nowhere == 1`}), 0},
		"two of them": {choose(bus.LetterChoice{Filter: `data.id in ["k-1", "k-2"]`,
			Fingerprint: page.Letters[2].Fingerprint}), 1},
	} {
		for _, ask := range []func(context.Context, string, bus.JobRequest, bus.Audit) (bus.LetterPlan, *bus.Job, error){
			f.Redrive, f.Drop} {
			plan, j, err := ask(f.ctx, "shop", c.r, bus.Audit{})
			if err != nil || j != nil || plan.Count != c.want {
				t.Errorf("%s: %+v, %+v, %v", name, plan, j, err)
			}
			n := int64(0)
			for _, g := range plan.Groups {
				n += g.Count
			}
			if n != c.want {
				t.Errorf("%s: %d letters in its groups", name, n)
			}
		}
	}
	for name, c := range map[string]struct {
		name string
		r    bus.JobRequest
		want autobus.Reason
	}{
		"no such number":       {"shop", numbers(3, 99), autobus.ReasonDeadLetterUnknown},
		"no such id":           {"shop", chosen(bus.LetterChoice{IDs: []string{"x"}}), autobus.ReasonDeadLetterUnknown},
		"nothing chosen":       {"shop", chosen(bus.LetterChoice{Filter: "false"}), autobus.ReasonDeadLetterUnknown},
		"an empty list":        {"shop", numbers(), autobus.ReasonRequestInvalid},
		"too many":             {"shop", numbers(make([]int64, 1001)...), autobus.ReasonRequestInvalid},
		"no filter":            {"shop", chosen(bus.LetterChoice{Filter: "1 +"}), autobus.ReasonFilterInvalid},
		"a negative rate":      {"shop", bus.JobRequest{Rate: -1}, autobus.ReasonRequestInvalid},
		"no rate":              {"shop", bus.JobRequest{Rate: math.NaN()}, autobus.ReasonRequestInvalid},
		"unknown subscription": {"nobody", all, autobus.ReasonSubscriptionUnknown},
	} {
		if _, _, err := f.Redrive(f.ctx, c.name, c.r, bus.Audit{}); reasonOf(err) != c.want {
			t.Errorf("%s: %v", name, err)
		}
	}
	peeper := as("w", autobus.Grant{Verb: autobus.VerbPeek, Pattern: "*"})
	if _, _, err := f.Redrive(peeper, "shop", all, bus.Audit{}); reasonOf(err) != autobus.ReasonForbidden {
		t.Errorf("without the grant: %v", err)
	}
	_, _, err = f.Drop(context.Background(), "shop", all, bus.Audit{})
	if reasonOf(err) != autobus.ReasonUnauthenticated {
		t.Errorf("by nobody: %v", err)
	}
	if err := f.DeleteSubscription(f.ctx, "shop", bus.Audit{}); err != nil {
		t.Fatal(err)
	}
	if _, _, err := f.Redrive(f.ctx, "shop", all, bus.Audit{}); reasonOf(err) != autobus.ReasonSubscriptionUnknown {
		t.Errorf("of a deleted subscription: %v", err)
	}
	if jobs, err := f.Jobs(f.ctx, ""); err != nil || len(jobs) != 0 || len(f.letters(t)) != 7 {
		t.Errorf("something was changed: %+v, %v", jobs, err)
	}
	if _, j, err := f.Drop(f.ctx, "shop", numbers(1, 2), bus.Audit{}); err != nil || j.State != bus.JobDone ||
		!slices.Equal(f.letters(t), []int64{0, 3, 4, 5, 6}) {
		t.Errorf("letters that outlive their subscription are not dropped: %+v, %v", j, err)
	}
	if _, _, err := f.Drop(f.ctx, "shop", numbers(1), bus.Audit{}); reasonOf(err) != autobus.ReasonDeadLetterUnknown {
		t.Errorf("twice: %v", err)
	}
}

// Only the subscription that gave an event up gets it again, and what is behind it in the key waits.
func TestRedrivenLettersKeepTheOrderOfTheirKey(t *testing.T) {
	f := open(t)
	f.SetMemory(time.Millisecond)
	other := earliest
	f.put(t, "other", other)
	o := f.worker(t, autobus.Subscription{Name: "other"})
	f.put(t, "shop", earliest)
	w := f.worker(t, autobus.Subscription{Name: "shop"})
	f.orders(t, 5, "a")
	for range 5 {
		o.ack(t, o.next(t))
	}
	var offsets []int64
	for range 3 {
		d := w.next(t)
		offsets = append(offsets, d.Offset)
		w.settle(t, d, reject)
	}
	f.await(t, "dlq.shop", 3)
	d := w.next(t)
	w.settle(t, d, again(3*time.Second)) // the key is parked, the fifth event behind it
	until(t, "the key was not parked", func() bool { parked, _ := f.parked(t, "shop"); return parked == 2 })
	f.finished(t, f.redrive(t, all).ID)
	until(t, "the letters are not parked", func() bool { parked, _ := f.parked(t, "shop"); return parked == 5 })
	f.orders(t, 1, "a")
	// The head stays the head; of what waits, each stands where the source had it.
	want := []int64{d.Offset, offsets[0], offsets[1], offsets[2], d.Offset + 1, d.Offset + 2}
	for i, offset := range want {
		d := w.next(t)
		if d.Offset != offset {
			t.Errorf("%d: offset %d came, not %d", i, d.Offset, offset)
		}
		w.ack(t, d)
	}
	o.ack(t, o.next(t))
	select {
	case d := <-o.got:
		t.Errorf("the other subscription got offset %d again", d.Offset)
	default:
	}
}

// An operator skipped an event, gave it once more by a replay, and redrives what that left: the skip was of an earlier
// life. It neither brings down who redrives nor ends what was asked for.
func TestAnEventThatWasSkippedIsRedriven(t *testing.T) {
	f := open(t)
	f.put(t, "shop", earliest)
	w := f.worker(t, autobus.Subscription{Name: "shop"})
	from := f.since(t)
	f.orders(t, 1, "a")
	to := f.since(t)
	d := w.next(t)
	if _, err := f.SkipEvent(f.ctx, "shop", bus.EventAt{Type: orders, Partition: d.Partition, Offset: d.Offset},
		byOps); err != nil {
		t.Fatal(err)
	}
	f.undone(t, "shop", 0)
	f.replay(t, "shop", bus.Slice{From: from, To: to})
	w.settle(t, w.next(t), reject)
	f.await(t, "dlq.shop", 1)
	f.replayDone(t, "shop")
	if _, err := f.PauseSubscription(f.ctx, "shop", byOps); err != nil {
		t.Fatal(err)
	}
	if j := f.finished(t, f.redrive(t, all).ID); j.Redriven != 1 || j.Repeated != 0 {
		t.Errorf("%+v", j)
	}
	f.resume(t, "shop") // as any change of the record, it has the skips looked at
	if got := w.next(t); got.Offset != d.Offset || string(got.Key) != "a" {
		t.Errorf("%+v came", got)
	} else {
		w.ack(t, got)
	}
	f.undone(t, "shop", 0)
}

// However often the instance that works for a job is killed, each letter is redriven once.
func TestAKilledRedriveRepeatsNothing(t *testing.T) {
	const (
		letters = 72
		keys    = 12
	)
	for name, rate := range map[string]float64{"slow": 60, "at once": 0} {
		t.Run(name, func(t *testing.T) {
			f := open(t)
			f.SetLinger(time.Millisecond)
			f.put(t, "shop", earliest)
			c, err := kgo.NewClient(kgo.SeedBrokers(f.broker.Addr()))
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			w := f.worker(t, autobus.Subscription{Name: "shop", Window: &autobus.Window{Events: 1000}})
			var names []string
			for k := range keys {
				names = append(names, fmt.Sprint("k", k))
			}
			f.orders(t, letters, names...)
			for range letters {
				w.settle(t, w.next(t), reject)
			}
			f.await(t, "dlq.shop", letters)
			w.leave(t, nil)
			f.awaitGone(t, "shop")
			j := f.redrive(t, bus.JobRequest{Rate: rate})
			seen, last := map[string]int{}, map[string]int64{}
			take := func(d autobus.Delivery) {
				at := place(d)
				if seen[at]++; seen[at] == 1 && d.Offset < last[string(d.Key)] {
					t.Errorf("offset %d of %s came after %d", d.Offset, d.Key, last[string(d.Key)])
				}
				last[string(d.Key)] = max(last[string(d.Key)], d.Offset)
			}
			for kill := range 2 {
				life := &cable{}
				b, stop := f.instance(t, fmt.Sprint("i", kill), life.dial)
				w := b.worker(t, autobus.Subscription{Name: "shop", Window: &autobus.Window{Events: 1000}})
				for range 20 {
					d := w.next(t)
					take(d)
					w.ack(t, d)
				}
				life.cut()
				w.cancel(nil)
				stop(false)
				evict(t, c, "shop")
			}
			if now, err := f.Job(f.ctx, j.ID); err != nil || rate > 0 && now.State != bus.JobRunning {
				t.Errorf("the job was over before it was killed: %+v, %v", now, err)
			}
			w = f.worker(t, autobus.Subscription{Name: "shop", Window: &autobus.Window{Events: 1000}})
			for len(seen) < letters {
				d := w.next(t)
				take(d)
				w.ack(t, d)
			}
			if j := f.finished(t, j.ID); j.Redriven != letters || j.Repeated != 0 || len(j.Left) != 0 || j.Gone != 0 {
				t.Errorf("%+v", j)
			}
			copies, err := bus.RedrivenCopies(f.records(t, "park.shop"))
			if err != nil || len(copies) != letters {
				t.Errorf("%d letters have copies, %v", len(copies), err)
			}
			for number, n := range copies {
				if n != 1 {
					t.Errorf("letter %d was redriven %d times", number, n)
				}
			}
			if have := f.letters(t); len(have) != 0 {
				t.Errorf("the letters %v are still there", have)
			}
		})
	}
}

func TestAJobIsCanceled(t *testing.T) {
	f := open(t)
	w := bury(t, f, 4)
	j := f.redrive(t, bus.JobRequest{Rate: 0.001})
	w.ack(t, w.next(t)) // the first one is free
	until(t, "the first one is not noted", func() bool {
		now, err := f.Job(f.ctx, j.ID)
		return err == nil && now.Redriven == 1
	})
	if _, err := f.CancelJob(as("w", autobus.Grant{Verb: autobus.VerbPeek, Pattern: "*"}), j.ID,
		bus.Audit{}); reasonOf(err) != autobus.ReasonForbidden {
		t.Errorf("without the grant: %v", err)
	}
	got, err := f.CancelJob(f.ctx, j.ID, bus.Audit{})
	if err != nil || got.State != bus.JobCanceled || got.Redriven != 1 || got.Remaining != 0 {
		t.Errorf("%+v, %v", got, err)
	}
	if have := f.letters(t); len(have) != 3 {
		t.Errorf("the letters are %v", have)
	}
	if again, err := f.CancelJob(f.ctx, j.ID, bus.Audit{}); err != nil || again.State != bus.JobCanceled {
		t.Errorf("twice: %+v, %v", again, err)
	}
	for _, id := range []string{"", "x"} {
		if _, err := f.Job(f.ctx, id); reasonOf(err) != autobus.ReasonJobUnknown {
			t.Errorf("job %q: %v", id, err)
		}
	}
	if _, err := f.Job(as("nobody"), j.ID); reasonOf(err) != autobus.ReasonJobUnknown {
		t.Errorf("a job of others: %v", err)
	}
	if j := f.finished(t, f.redrive(t, all).ID); j.Redriven != 3 {
		t.Errorf("the rest: %+v", j)
	}
	for range 3 {
		w.ack(t, w.next(t))
	}
}

// A letter that retention took is gone from the job, and the job that chose it is forgotten with it.
func TestRetentionEndsJobs(t *testing.T) {
	f := open(t)
	w := bury(t, f, 2)
	f.finished(t, f.redrive(t, numbers(0)).ID)
	w.settle(t, w.next(t), reject) // number 2
	f.await(t, "dlq.shop", 3)
	f.cut(t, kafka.TP{Topic: "dlq.shop"}, 2)
	if have := f.letters(t); !slices.Equal(have, []int64{2}) {
		t.Errorf("the letters are %v", have)
	}
	f.finished(t, f.redrive(t, all).ID)
	w.ack(t, w.next(t))
	if jobs, err := f.Jobs(f.ctx, ""); err != nil || len(jobs) != 1 || jobs[0].Before != 3 {
		t.Errorf("%+v, %v", jobs, err)
	}
}

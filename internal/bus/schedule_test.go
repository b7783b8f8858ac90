// SPDX-License-Identifier: Apache-2.0

package bus_test

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/bus"
	"github.com/autobus-io/autobus/internal/kafka"
	"github.com/autobus-io/autobus/spec"
)

// later is an order that is to be published at a time.
func later(key, id string, at time.Time) autobus.Event {
	e := order(key, "1")
	e.ID = id
	e.SetExt(autobus.ExtDeliverAt, at.Format(time.RFC3339Nano))
	return e
}

// schedule publishes an event that has to be taken.
func (f *fixture) schedule(ctx context.Context, t *testing.T, e autobus.Event) autobus.Receipt {
	t.Helper()
	rc := f.publish(ctx, t, &autobus.Batch{Events: []autobus.Event{e}})[0]
	if rc.Status != autobus.Written || rc.Scheduled == nil {
		t.Fatalf("receipt %+v", rc)
	}
	return rc
}

func TestAScheduledEventIsPublishedWhenItIsDue(t *testing.T) {
	f := open(t)
	tail := f.worker(t, autobus.Subscription{Tail: []string{orders}, From: autobus.Start{Earliest: true}})
	at := time.Now().Add(1200 * time.Millisecond)
	e := later("a", "one", at)
	e.SetExt(autobus.ExtCorrelationID, "flow")
	rc := f.schedule(f.ctx, t, e)
	if got := rc.Scheduled.At; got.Before(at) || got.Sub(at) > time.Millisecond {
		t.Errorf("it is scheduled for %s, not %s", got, at)
	}
	list, err := f.ScheduleList(f.ctx, bus.ScheduleQuery{})
	if err != nil || len(list.Schedules) != 1 || list.Schedules[0].ID != rc.Scheduled.ID ||
		list.Schedules[0].EventID != "one" || list.Schedules[0].Key != "a" || list.Schedules[0].Owner != "tester" {
		t.Errorf("the list is %+v, %v", list, err)
	}
	d := tail.next(t)
	if time.Now().Before(at) {
		t.Errorf("it came %s early", time.Until(at))
	}
	if _, told := d.Ext(autobus.ExtDeliverAt); told || d.ID != "one" || string(d.Key) != "a" ||
		string(d.Data) != string(e.Data) || d.Source != "/tester" {
		t.Errorf("delivered %+v", d)
	}
	if flow, _ := d.Ext(autobus.ExtCorrelationID); flow != "flow" {
		t.Errorf("the flow is %q", flow)
	}
}

func TestAnEventIsScheduledOnce(t *testing.T) {
	f := open(t)
	at := time.Now().Add(time.Hour)
	first := f.schedule(f.ctx, t, later("a", "one", at))
	second := f.schedule(f.ctx, t, later("a", "one", at.Add(time.Minute))) // as delay has it, when it is sent again
	if !second.Duplicate || *second.Scheduled != *first.Scheduled {
		t.Errorf("again: %+v, at first %+v", second.Scheduled, first.Scheduled)
	}
	other := later("a", "one", at)
	other.Data = []byte(strings.Replace(string(other.Data), `1`, `2`, 1))
	rc := f.publish(f.ctx, t, &autobus.Batch{Events: []autobus.Event{other}})[0]
	if reason(rc) != autobus.ReasonIDConflict {
		t.Errorf("another event under the id: %+v", rc)
	}
	list, err := f.ScheduleList(f.ctx, bus.ScheduleQuery{Type: "orders.*"})
	if err != nil || len(list.Schedules) != 1 {
		t.Errorf("the list is %+v, %v", list, err)
	}
}

func TestTimesThatCannotBeKept(t *testing.T) {
	f := open(t)
	now := time.Now()
	for name, at := range map[string]string{
		"past":    now.Add(-time.Minute).Format(time.RFC3339),
		"century": now.AddDate(100, 0, 0).Format(time.RFC3339),
		"garbage": "tomorrow",
		"empty":   "",
		"no zone": "2026-01-31T15:04:05",
	} {
		e := order("a", "1")
		e.SetExt(autobus.ExtDeliverAt, at)
		rc := f.publish(f.ctx, t, &autobus.Batch{Events: []autobus.Event{e}})[0]
		if rc.Status != autobus.Refused || rc.Err.Reason != autobus.ReasonScheduleInvalid || rc.Err.Retriable() {
			t.Errorf("%s: %+v", name, rc)
		}
	}
	waits := later("a", "waits", now.Add(time.Hour))
	waits.SetExt(autobus.ExtReplyTo, "x")
	reply := later("a", "reply", now.Add(time.Hour))
	reply.Type += ".reply"
	for _, e := range []autobus.Event{waits, reply} {
		rc := f.publish(f.ctx, t, &autobus.Batch{Events: []autobus.Event{e}})[0]
		if reason(rc) != autobus.ReasonScheduleInvalid {
			t.Errorf("%s: %+v", e.ID, rc)
		}
	}
	list, err := f.ScheduleList(f.ctx, bus.ScheduleQuery{})
	if err != nil || len(list.Schedules) != 0 {
		t.Errorf("the list is %+v, %v", list, err)
	}
}

func TestACancelledEventIsNotPublished(t *testing.T) {
	t.Parallel() // it waits
	f := open(t)
	tail := f.worker(t, autobus.Subscription{Tail: []string{orders}, From: autobus.Start{Earliest: true}})
	at := time.Now().Add(8 * time.Second)
	gone := f.schedule(f.ctx, t, later("a", "gone", at)).Scheduled
	stays := f.schedule(f.ctx, t, later("a", "stays", at.Add(10*time.Millisecond))).Scheduled

	stranger := as("stranger", autobus.Grant{Verb: autobus.VerbPublish, Pattern: "*"})
	if err := f.CancelSchedule(stranger, gone.ID); reasonOf(err) != autobus.ReasonScheduleUnknown {
		t.Errorf("a stranger: %v", err)
	}
	if list, err := f.ScheduleList(stranger, bus.ScheduleQuery{}); err != nil || len(list.Schedules) != 0 {
		t.Errorf("a stranger sees %+v, %v", list, err)
	}
	if err := f.CancelSchedule(context.Background(), gone.ID); reasonOf(err) != autobus.ReasonUnauthenticated {
		t.Errorf("nobody: %v", err)
	}
	for _, id := range []string{"", "x", orders + "~", gone.ID + "A", strings.Replace(gone.ID, "placed", "paid", 1)} {
		if err := f.CancelSchedule(f.ctx, id); reasonOf(err) != autobus.ReasonScheduleUnknown {
			t.Errorf("id %q: %v", id, err)
		}
	}
	for range 2 {
		if err := f.CancelSchedule(f.ctx, gone.ID); err != nil {
			t.Fatal(err)
		}
	}
	list, err := f.ScheduleList(f.ctx, bus.ScheduleQuery{})
	if err != nil || len(list.Schedules) != 1 || list.Schedules[0].ID != stays.ID {
		t.Errorf("the list is %+v, %v", list, err)
	}
	if d := tail.next(t); d.ID != "stays" {
		t.Errorf("%s was published", d.ID)
	}
	if err := f.CancelSchedule(f.ctx, stays.ID); reasonOf(err) != autobus.ReasonScheduleDue {
		t.Errorf("too late: %v", err)
	}
	if err := f.CancelSchedule(f.ctx, gone.ID); err != nil {
		t.Errorf("once more, when it would have been due: %v", err)
	}
}

// TestATypeRetiredMeanwhile schedules an event whose type is gone when it is due.
// Whoever sends again what was cancelled is not told that it is written, for it would never be published.
func TestACancelledEventIsNotTakenAgain(t *testing.T) {
	f := open(t)
	at := time.Now().Add(time.Hour)
	first := f.schedule(f.ctx, t, later("a", "one", at))
	if err := f.CancelSchedule(f.ctx, first.Scheduled.ID); err != nil {
		t.Fatal(err)
	}
	other, stop := f.another(t) // which does not remember the id
	for name, i := range map[string]*fixture{"here": f, "at another instance": other} {
		if _, err := i.ScheduleList(i.ctx, bus.ScheduleQuery{}); err != nil { // reads what was cancelled up to now
			t.Fatal(err)
		}
		rc := i.publish(i.ctx, t, &autobus.Batch{Events: []autobus.Event{later("a", "one", at)}})[0]
		if reason(rc) != autobus.ReasonScheduleInvalid || !strings.Contains(rc.Err.Detail, "cancelled") {
			t.Errorf("%s: %+v", name, rc)
		}
		i.schedule(i.ctx, t, later("a", name, at)) // under another id it is taken
	}
	stop(true)
}

func TestATypeRetiredMeanwhile(t *testing.T) {
	var retired atomic.Bool
	f := open(t, func(c *bus.Config, _ *kafka.Config) {
		all := c.Snapshot
		none, err := spec.Parse(spec.Files{"note.yaml": []byte(noteSpec)})
		if err != nil {
			t.Fatal(err)
		}
		c.Snapshot = func() *spec.Snapshot {
			if retired.Load() {
				return none
			}
			return all()
		}
	})
	f.schedule(f.ctx, t, later("a", "one", time.Now().Add(time.Second)))
	retired.Store(true)
	if none, err := f.DeadLetters(f.ctx, bus.Schedules, bus.LetterQuery{}); err != nil || len(none.Letters) != 0 {
		t.Errorf("at first there are %+v, %v", none, err)
	}
	var letters bus.DeadLetters
	until(t, "there is no dead letter", func() bool {
		letters, _ = f.DeadLetters(f.ctx, bus.Schedules, bus.LetterQuery{Events: true})
		return len(letters.Letters) == 1
	})
	l := letters.Letters[0]
	if l.ID != "one" || l.Type != orders || l.Key != "a" || !strings.HasPrefix(l.Reason, "type_unknown") {
		t.Errorf("the letter is %+v", l)
	}
	this := bus.LetterChoice{Numbers: []int64{l.Number}}
	_, _, err := f.Redrive(f.ctx, bus.Schedules, bus.JobRequest{LetterChoice: this}, bus.Audit{})
	if e := autobus.AsError(err); e == nil || e.Reason != autobus.ReasonRequestInvalid ||
		!strings.Contains(e.Hint, "autobus publish --ndjson") {
		t.Errorf("a redrive: %v", err)
	}
}

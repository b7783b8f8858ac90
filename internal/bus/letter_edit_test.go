// SPDX-License-Identifier: Apache-2.0

package bus_test

import (
	"slices"
	"testing"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/bus"
	"github.com/autobus-io/autobus/internal/kafka"
)

func TestALetterIsEdited(t *testing.T) {
	f := open(t)
	w := bury(t, f, 2)
	other := "k-1"
	for name, c := range map[string]struct {
		number int64
		edit   bus.LetterEdit
		want   autobus.Reason
	}{
		"nothing":                {0, bus.LetterEdit{}, autobus.ReasonRequestInvalid},
		"invalid data":           {0, bus.LetterEdit{Data: []byte(`{"id":"k-0","total":"4"}`)}, autobus.ReasonDataInvalid},
		"no key":                 {0, bus.LetterEdit{Data: []byte(`{"total":4}`)}, autobus.ReasonKeyMissing},
		"a key against its spec": {0, bus.LetterEdit{Key: &other}, autobus.ReasonKeyMismatch},
		"no such letter":         {2, bus.LetterEdit{Key: &other}, autobus.ReasonDeadLetterUnknown},
	} {
		if _, err := f.EditLetter(f.ctx, "shop", c.number, c.edit, bus.Audit{}); reasonOf(err) != c.want {
			t.Errorf("%s: %v", name, err)
		}
	}
	peeper := as("w", autobus.Grant{Verb: autobus.VerbPeek, Pattern: "*"})
	edit := bus.LetterEdit{Data: []byte(`{"id":"k-9","total":4.5}`), Reason: "wrong article"}
	if _, err := f.EditLetter(peeper, "shop", 0, edit, bus.Audit{}); reasonOf(err) != autobus.ReasonForbidden {
		t.Errorf("without the grant: %v", err)
	}
	dry := edit
	dry.DryRun = true
	if l, err := f.EditLetter(f.ctx, "shop", 0, dry, bus.Audit{}); err != nil || l.Number != 0 || l.Key != "k-9" {
		t.Errorf("dry: %+v, %v", l, err)
	}
	if have := f.letters(t); !slices.Equal(have, []int64{0, 1}) {
		t.Fatalf("something was changed: %v", have)
	}
	l, err := f.EditLetter(f.ctx, "shop", 0, edit, bus.Audit{Actor: "tester"})
	if err != nil || l.Number != 2 || l.Edited == nil || *l.Edited != 0 || l.Key != "k-9" || l.Attempts != 1 {
		t.Fatalf("%+v, %v", l, err)
	}
	if have := f.letters(t); !slices.Equal(have, []int64{1, 2}) {
		t.Errorf("the letters are %v", have)
	}
	if old, err := f.DeadLetter(f.ctx, "shop", 0); err != nil || old.Fate != "edited" {
		t.Errorf("the one before: %+v, %v", old, err)
	}
	if _, err := f.EditLetter(f.ctx, "shop", 0, edit, bus.Audit{}); reasonOf(err) != autobus.ReasonDeadLetterUnknown {
		t.Errorf("twice: %v", err)
	}
	again := bus.LetterEdit{Data: []byte(`{"id":"k-9","total":5}`)}
	if l, err = f.EditLetter(f.ctx, "shop", 2, again, bus.Audit{}); err != nil || l.Number != 3 {
		t.Fatalf("an edited one: %+v, %v", l, err)
	}
	f.finished(t, f.redrive(t, numbers(3)).ID)
	d := w.next(t)
	if string(d.Data) != `{"id":"k-9","total":5}` || string(d.Key) != "k-9" || d.Offset != l.Offset {
		t.Errorf("%+v", d)
	}
	w.ack(t, d)
	jobs, err := f.Jobs(f.ctx, "shop")
	if err != nil || len(jobs) != 3 || jobs[2].Action != "edit" || jobs[2].Actor != "tester" ||
		jobs[2].Reason != "wrong article" || *jobs[2].Letter != 2 {
		t.Errorf("%+v, %v", jobs, err)
	}
}

// An edit that ended before it counted has left a letter that nobody is to see.
func TestAnEditThatDidNotComeAboutLeavesNothing(t *testing.T) {
	f := open(t)
	bury(t, f, 1)
	rec := f.records(t, "dlq.shop")[0]
	rec.Headers = append(rec.Headers, kafka.Header{Key: "autobus-dlq-edited", Value: []byte("0")})
	if _, err := f.log.Write(f.ctx, kafka.Record{TP: kafka.TP{Topic: "dlq.shop"}, Key: rec.Key, Value: rec.Value,
		Headers: rec.Headers}); err != nil {
		t.Fatal(err)
	}
	if have := f.letters(t); !slices.Equal(have, []int64{0}) {
		t.Errorf("the letters are %v", have)
	}
	if _, err := f.DeadLetter(f.ctx, "shop", 1); reasonOf(err) != autobus.ReasonDeadLetterUnknown {
		t.Errorf("it is told: %v", err)
	}
	if plan, _, err := f.Redrive(f.ctx, "shop", bus.JobRequest{DryRun: true}, bus.Audit{}); err != nil || plan.Count != 1 {
		t.Errorf("%+v, %v", plan, err)
	}
}

// What Spring and Connect set aside goes to the subscription, if it says where it comes from and that is read.
func TestLettersOfOthersAreRedriven(t *testing.T) {
	f := open(t)
	w := bury(t, f, 1)
	d := f.records(t, "dlq.shop")[0]
	f.finished(t, f.redrive(t, all).ID)
	first := w.next(t)
	w.ack(t, first)
	partition := string([]byte{0, 0, 0, byte(first.Partition)})
	for _, pairs := range [][]string{
		{"kafka_dlt-original-topic", orders, "kafka_dlt-original-partition", partition,
			"kafka_dlt-original-offset", "\x00\x00\x00\x00\x00\x00\x00\x09", "kafka_dlt-exception-message", "spring"},
		{"kafka_dlt-original-topic", orders, "kafka_dlt-exception-message", "no offset"},
		{"__connect.errors.topic", "elsewhere", "__connect.errors.partition", "0", "__connect.errors.offset", "1"},
		{"__connect.errors.topic", orders, "__connect.errors.partition", "99", "__connect.errors.offset", "1"},
		{"autobus-dlq-topic", orders, "autobus-dlq-partition", "0", "autobus-dlq-offset", "-1",
			"autobus-dlq-attempts", "-7", "autobus-dlq-redriven", "-9"},
	} {
		rec := kafka.Record{TP: kafka.TP{Topic: "dlq.shop"}, Key: []byte("s"), Value: []byte(`{"id":"s","total":1}`)}
		rec.Headers = append(rec.Headers, kafka.Header{Key: "ce_extra", Value: []byte("x")})
		for i := 0; i < len(pairs); i += 2 {
			rec.Headers = append(rec.Headers, kafka.Header{Key: pairs[i], Value: []byte(pairs[i+1])})
		}
		if _, err := f.log.Write(f.ctx, rec); err != nil {
			t.Fatal(err)
		}
	}
	plan, _, err := f.Redrive(f.ctx, "shop", bus.JobRequest{DryRun: true}, bus.Audit{})
	if err != nil || plan.Count != 1 || len(plan.Left) != 3 {
		t.Fatalf("%+v, %v", plan, err)
	}
	// Offset 9 is beyond what its source has: the job leaves the letter, which can still be looked at.
	if j := f.finished(t, f.redrive(t, all).ID); j.Redriven != 0 || !slices.Equal(j.Left, []int64{1}) || j.Gone != 0 {
		t.Errorf("%+v", j)
	}
	if have := f.letters(t); !slices.Equal(have, []int64{1, 2, 3, 4, 5}) {
		t.Errorf("the letters are %v", have)
	}
	if plan.Left[0].Count != 2 { // and the one that was made up
		t.Errorf("%+v", plan.Left)
	}
	for range 12 { // now it has that offset
		f.orders(t, 1, string(first.Key))
		w.ack(t, w.next(t))
	}
	if j := f.finished(t, f.redrive(t, numbers(1)).ID); j.Redriven != 1 || len(j.Left) != 0 {
		t.Errorf("%+v", j)
	}
	got := w.next(t)
	if string(got.Data) != `{"id":"s","total":1}` || string(got.Key) != "s" || got.Attempt != 1 || got.Offset != 9 ||
		got.Type != orders {
		t.Errorf("%+v", got)
	}
	for _, x := range got.Extensions {
		if x.Name != "extra" && x.Name != autobus.ExtPartitionKey {
			t.Errorf("it has %s = %q", x.Name, x.Value)
		}
	}
	w.ack(t, got)
	if len(d.Headers) == 0 {
		t.Error("the letter of the bus has no headers")
	}
}

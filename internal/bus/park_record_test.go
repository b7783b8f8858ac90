// SPDX-License-Identifier: Apache-2.0

package bus

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"github.com/autobus-io/autobus/internal/kafka"
)

// parkFacts are one record of each kind.
func parkFacts() []kafka.Record {
	src := source{kafka.TP{Topic: "orders.order.placed.v1", Partition: 11}, 42}
	at := time.UnixMilli(1_795_000_000_123)
	event := kafka.Record{TP: src.TP, Offset: 17, Time: at, Key: []byte("o-1"), Value: []byte(`{"id":"o-1"}`),
		Headers: []kafka.Header{{Key: "ce_id", Value: []byte("e-1")}, {Key: "ce_type", Value: []byte(src.Topic)}}}
	bare := kafka.Record{TP: src.TP, Offset: 18, Time: at}
	return []kafka.Record{
		claimRecord(src, 3),
		fact{kind: kindCopy, source: src, copyID: copyID{3, 17, 0, 0}, key: event.Key, attempt: 2, due: at.Add(time.Minute),
			first: at.Add(-time.Second)}.copyRecord(&event),
		fact{kind: kindCopy, source: src, copyID: copyID{3, 18, 1, 0}, attempt: 1}.copyRecord(&bare),
		endRecord(kindDone, src, copyID{3, 17, 0, 0}),
		endRecord(kindVoid, src, copyID{2, 18, 0, 0}),
		endRecord(kindVoid, src, copyID{by: 2, offset: ofClaim}),
	}
}

// letterFacts are those of an event that was redriven from dead letter 16.
func letterFacts() []kafka.Record {
	src := source{kafka.TP{Topic: "orders.order.placed.v1", Partition: 11}, 42}
	event := kafka.Record{TP: src.TP, Offset: 17, Time: time.UnixMilli(1_795_000_000_123), Key: []byte("o-1"),
		Value: []byte(`{"id":"o-1"}`)}
	of := copyID{3, 17, 0, 17}
	return []kafka.Record{
		fact{kind: kindCopy, source: src, copyID: of, key: event.Key, attempt: 9, spent: 8}.copyRecord(&event),
		endRecord(kindDone, src, of),
		endRecord(kindVoid, src, of),
	}
}

// heldFacts are those of an event that waits for an operator.
func heldFacts() []kafka.Record {
	src := source{kafka.TP{Topic: "orders.order.placed.v1", Partition: 11}, 42}
	event := kafka.Record{TP: src.TP, Offset: 17, Time: time.UnixMilli(1_795_000_000_123), Key: []byte("o-1"),
		Value: []byte(`{"id":"o-1"}`)}
	return []kafka.Record{fact{kind: kindCopy, source: src, copyID: copyID{3, 17, 0, 0}, key: event.Key, attempt: 8,
		held: 311, reason: "no such article"}.copyRecord(&event)}
}

// A golden file may be added, never changed: what is parked outlives builds.
func TestParkedRecordsStayReadable(t *testing.T) {
	parkGolden(t, "park.v1.txt", parkFacts())
	parkGolden(t, "park-letter.v1.txt", letterFacts())
	parkGolden(t, "park-held.v1.txt", heldFacts())
}

func parkGolden(t *testing.T, name string, records []kafka.Record) {
	t.Helper()
	var got bytes.Buffer
	for _, r := range records {
		fmt.Fprintf(&got, "%s %q null=%v", r.Key, r.Value, r.Value == nil)
		for _, h := range r.Headers {
			fmt.Fprintf(&got, " %s=%q", h.Key, h.Value)
		}
		got.WriteByte('\n')
	}
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, got.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got.Bytes(), want) {
		t.Errorf("the records are\n%s\nnot\n%s", got.Bytes(), want)
	}
}

func TestParkedRecordsComeBack(t *testing.T) {
	records := parkFacts()
	src := source{kafka.TP{Topic: "orders.order.placed.v1", Partition: 11}, 42}
	at := time.UnixMilli(1_795_000_000_123)
	want := []fact{
		{kind: kindClaim, copyID: copyID{3, ofClaim, 0, 0}},
		{kind: kindCopy, copyID: copyID{3, 17, 0, 0}, key: []byte("o-1"), attempt: 2,
			due: at.Add(time.Minute + time.Millisecond), first: at.Add(-time.Second)},
		{kind: kindCopy, copyID: copyID{3, 18, 1, 0}},
		{kind: kindDone, copyID: copyID{3, 17, 0, 0}},
		{kind: kindVoid, copyID: copyID{2, 18, 0, 0}},
		{kind: kindVoid, copyID: copyID{2, ofClaim, 0, 0}},
	}
	for i := range records {
		r := &records[i]
		r.Offset = int64(i)
		f, ok, err := parseFact(r)
		want[i].source, want[i].at, want[i].size, want[i].attempt = src, int64(i), r.Size(), max(1, want[i].attempt)
		if !ok || err != nil || !reflect.DeepEqual(f, want[i]) {
			t.Errorf("%d: %+v, %v, %v; want %+v", i, f, ok, err, want[i])
		}
	}
	for i, r := range letterFacts() {
		f, ok, err := parseFact(&r)
		if !ok || err != nil || f.copyID != (copyID{3, 17, 0, 17}) || f.source != src || i == 0 && f.spent != 8 {
			t.Errorf("of a letter: %+v, %v, %v", f, ok, err)
		}
	}
	for _, r := range heldFacts() {
		if f, ok, err := parseFact(&r); !ok || err != nil || f.held != 311 || f.reason != "no such article" {
			t.Errorf("of one that is held: %+v, %v, %v", f, ok, err)
		}
	}
	event := original(src, 17, &records[1])
	if string(event.Key) != "o-1" || string(event.Value) != `{"id":"o-1"}` || len(event.Headers) != 2 ||
		!event.Time.Equal(at) || event.TP != src.TP || event.Offset != 17 {
		t.Errorf("it came back as %+v", event)
	}
	if bare := original(src, 18, &records[2]); bare.Key != nil || bare.Value != nil || len(bare.Headers) != 0 {
		t.Errorf("it came back as %+v", bare)
	}
	for key, kind := range map[string]string{"a/1/2/3/4/5": "new", "a/1/2/3/4/5/6/7": kindCopy, "a/1/2/x": kindClaim,
		"a/1/2": kindCopy} {
		r := kafka.Record{Key: []byte(key), Headers: []kafka.Header{{Key: parkKind, Value: []byte(kind)}}}
		if _, ok, err := parseFact(&r); ok || err == nil {
			t.Errorf("%s was read", r.Key)
		}
	}
	if _, ok, err := parseFact(&kafka.Record{Key: []byte("somebody's")}); ok || err != nil {
		t.Errorf("a foreign record: %v, %v", ok, err)
	}
}

// An event that is redriven lives again: what was said of its former lives does not end it, and the shelf knows of it.
func TestAShelfKnowsTheLivesOfAnEvent(t *testing.T) {
	at := func(kind string, by uint32, letter, n int64) fact {
		return fact{kind: kind, copyID: copyID{by: by, offset: 5, n: n, letter: letter}}
	}
	claim := func(by uint32) fact { return fact{kind: kindClaim, copyID: copyID{by: by, offset: ofClaim}} }
	for name, c := range map[string]struct {
		facts []fact
		live  int64 // letter of the life that is live; -1 = none is
		lives int64
		stale int
	}{
		"redriven after its end":   {[]fact{at(kindCopy, 1, 0, 0), at(kindDone, 1, 0, 0), at(kindCopy, 1, 8, 0)}, 8, 8, 0},
		"the end comes late":       {[]fact{at(kindCopy, 1, 0, 0), at(kindCopy, 1, 8, 0), at(kindDone, 1, 0, 0)}, 8, 8, 0},
		"ended again":              {[]fact{at(kindDone, 1, 0, 0), at(kindCopy, 1, 8, 0), at(kindDone, 1, 8, 0)}, -1, 8, 0},
		"its copy was compacted":   {[]fact{at(kindDone, 1, 8, 0)}, -1, 8, 0},
		"a repeat":                 {[]fact{at(kindCopy, 1, 8, 0), at(kindDone, 1, 8, 0), at(kindCopy, 1, 8, 1)}, -1, 8, 1},
		"another attempt":          {[]fact{at(kindCopy, 1, 8, 0), at(kindCopy, 1, 8, 1)}, 8, 8, 1},
		"twice":                    {[]fact{at(kindDone, 1, 8, 0), at(kindCopy, 1, 9, 0)}, 9, 9, 0},
		"an earlier life too late": {[]fact{at(kindCopy, 1, 9, 0), at(kindCopy, 1, 8, 0)}, 9, 9, 1},
		"by one that was expelled": {[]fact{claim(1), claim(2), at(kindCopy, 1, 8, 0)}, -1, 0, 1},
		"and done by it":           {[]fact{claim(2), at(kindCopy, 1, 8, 0), at(kindDone, 1, 8, 0)}, -1, 8, 0},
	} {
		s := newShelf()
		for _, f := range c.facts {
			s.apply(f)
		}
		live := int64(-1)
		if f, ok := s.live[5]; ok {
			live = f.letter
		}
		if live != c.live || s.lives[5] != c.lives || len(s.stale) != c.stale {
			t.Errorf("%s: live %d, lives %d, stale %v", name, live, s.lives[5], s.stale)
		}
	}
}

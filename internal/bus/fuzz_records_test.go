// SPDX-License-Identifier: Apache-2.0

package bus

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/kafka"
)

// recordOf makes a record; headers is names and values in turn, separated by newlines.
func recordOf(key, value []byte, headers string) *kafka.Record {
	rec := &kafka.Record{TP: kafka.TP{Topic: "a.b.v1", Partition: 3}, Offset: 9, Key: key, Value: value,
		Time: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}
	parts := strings.Split(headers, "\n")
	for i := 0; i+1 < len(parts); i += 2 {
		rec.Headers = append(rec.Headers, kafka.Header{Key: parts[i], Value: []byte(parts[i+1])})
	}
	return rec
}

// FuzzLetter: whoever wrote among the dead letters, it is told as one, and its event can be brought back without what
// it was buried with.
func FuzzLetter(f *testing.F) {
	for _, headers := range []string{
		"ce_id\n1\nautobus-dlq-reason\nno such row 17\nautobus-dlq-attempts\n3\nautobus-dlq-topic\nx\nautobus-dlq-offset\n5",
		"kafka_dlt-exception-message\nboom\nkafka_dlt-original-partition\n\x00\x00\x00\x02\nkafka_dlt-original-topic\ny",
		"__connect.errors.topic\nz\n__connect.errors.partition\n-1\n__connect.errors.offset\n9223372036854775808",
		"autobus-dlq-redriven\n4\nautobus-dlq-edited\n-4\nautobus-dlq-first\n0000\nautobus-dlq-last\n2026-01-01T00:00:00Z",
	} {
		f.Add([]byte("k"), []byte(`{"n":1}`), strings.ReplaceAll(headers, "autobus-dlq-", lettersPrefix))
	}
	f.Fuzz(func(t *testing.T, key, value []byte, headers string) {
		rec := recordOf(key, value, headers)
		l := readLetter("main", rec)
		l.Event = autobus.AppendEvent(nil, &l.event)
		if y := max(l.First.Year(), l.Last.Year()); y > 9999 {
			return // cannot be written, and no build did
		}
		text, err := json.Marshal(&l)
		if err != nil || !utf8.Valid(text) {
			t.Errorf("it is told as %q, %v", text, err)
		}
		if l.ID == "" || l.Number != 9 || l.Partition < 0 || l.Offset < 0 || l.Fingerprint != fingerprint(l.Reason) {
			t.Errorf("the letter is %s", text)
		}
		for _, h := range l.unburied(rec).Headers {
			if strings.HasPrefix(h.Key, lettersPrefix) || strings.HasPrefix(h.Key, springPrefix) ||
				strings.HasPrefix(h.Key, connectPrefix) {
				t.Errorf("%s came back with the event", h.Key)
			}
		}
	})
}

// FuzzFact: a record of the park log is somebody else's, an error, or a fact; a copy gives its event back as it was.
func FuzzFact(f *testing.F) {
	s := source{kafka.TP{Topic: "a.b.v1", Partition: 3}, 2}
	event := recordOf([]byte("k"), []byte(`{"n":1}`), "ce_id\n1")
	for _, r := range []kafka.Record{
		claimRecord(s, 7),
		endRecord(kindDone, s, copyID{by: 7, offset: 9, n: 1}),
		copyOf(s, copyID{by: 7, offset: 9, n: 1, letter: 4}, &slot{record: *event, attempt: 2, spent: 1,
			copy: &copied{due: event.Time}, first: event.Time, held: 5, failure: "no"}),
	} {
		var parts []string
		for _, h := range r.Headers {
			parts = append(parts, h.Key, string(h.Value))
		}
		f.Add(r.Key, r.Value, strings.Join(parts, "\n"))
	}
	f.Add([]byte("a/1/2/3/4/5/6/7"), []byte("{}"), parkKind+"\n"+kindCopy)
	f.Add([]byte("a/1/2/3/x/5"), []byte("{}"), parkKind+"\n"+kindCopy+"\n"+parkNull+"\n")
	f.Fuzz(func(t *testing.T, key, value []byte, headers string) {
		rec := recordOf(key, value, headers)
		fact, ok, err := parseFact(rec)
		if !ok || err != nil {
			return
		}
		if fact.attempt < 1 {
			t.Errorf("the attempt to come is %d", fact.attempt)
		}
		if fact.kind != kindCopy {
			return
		}
		was := original(fact.source, fact.offset, rec)
		written := fact.copyRecord(&was)
		again, ok, err := parseFact(&written)
		if err != nil || !ok || again.copyID != fact.copyID || again.source != fact.source {
			t.Fatalf("%+v became %+v, %v", fact, again, err)
		}
		is := original(again.source, again.offset, &written)
		if string(is.Key) != string(was.Key) || (is.Key == nil) != (was.Key == nil) ||
			string(is.Value) != string(was.Value) || (is.Value == nil) != (was.Value == nil) ||
			len(is.Headers) != len(was.Headers) || !is.Time.Equal(was.Time) {
			t.Errorf("the event %+v became %+v", was, is)
		}
	})
}

// FuzzScheduleID: what is made up names nothing.
func FuzzScheduleID(f *testing.F) {
	e := &autobus.Event{ID: "1", Source: "/s", Type: "a.b.v1"}
	good := newScheduleID("main", "shop", e, time.UnixMilli(1_800_000_000_000))
	f.Add(good)
	f.Add("a.b.v1~" + strings.Repeat("A", len(good)-len("a.b.v1~")))
	f.Add("a.b.v1~")
	f.Fuzz(func(t *testing.T, text string) {
		if id, ok := parseScheduleID("main", text); ok && text != good {
			t.Errorf("%q names %+v", text, id)
		}
		if _, ok := parseScheduleID("other", text); ok {
			t.Errorf("%q is an id of another cluster", text)
		}
	})
}

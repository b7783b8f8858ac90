// SPDX-License-Identifier: Apache-2.0

package bus

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/control"
	"github.com/autobus-io/autobus/internal/kafka"
	"github.com/autobus-io/autobus/spec"
)

var update = flag.Bool("update", false, "write the golden files anew")

// stored is a record in a form that people can read in a golden file.
type stored struct {
	Topic     string
	Partition int32
	Time      time.Time
	Key       *string
	Value     *string
	Headers   []header
}

type header struct{ Key, Value string }

func store(r kafka.Record) stored {
	s := stored{Topic: r.Topic, Partition: r.Partition, Time: r.Time}
	if r.Key != nil {
		k := string(r.Key)
		s.Key = &k
	}
	if r.Value != nil {
		v := string(r.Value)
		s.Value = &v
	}
	for _, h := range r.Headers {
		s.Headers = append(s.Headers, header{h.Key, string(h.Value)})
	}
	return s
}

// The records of every release must be read by every later one: a golden file may be added, never changed.
func TestRecordsStayReadable(t *testing.T) {
	now := time.Date(2026, 11, 20, 12, 0, 0, 123456789, time.UTC)
	happened := time.Date(2026, 11, 20, 14, 59, 58, 500_000_000, time.FixedZone("", 3*3600))
	r := newRoute(control.Route{Type: "orders.order.placed.v1", Topic: "orders.order.placed.v1", Partitions: 12,
		Hash: kafka.Murmur2, Epoch: 3})
	for name, e := range map[string]autobus.Event{
		"full": {ID: "e-1", Source: "/checkout", Type: "orders.order.placed.v1", Subject: "o-1", Time: happened,
			ContentType: "application/json; charset=utf-8", DataSchema: "urn:x", Key: []byte("o-1"),
			Data: []byte("{ \"id\": \"o-1\" }\n"), Extensions: []autobus.Extension{
				{Name: "partitionkey", Value: "o-1"}, {Name: "correlationid", Value: "c"},
				{Name: "traceparent", Value: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"},
				{Name: "tracestate", Value: "a=b"}}},
		"least": {ID: "e-2", Source: "/s", Type: "orders.order.placed.v1", Time: happened, Key: []byte("k"),
			Data: []byte(`{}`)},
		"nodata": {ID: "e-3", Source: "/s", Type: "orders.order.placed.v1", Time: happened, Key: []byte("k")},
		"binary": {ID: "e-4", Source: "/s", Type: "orders.order.placed.v1", Time: happened, Key: []byte("k"),
			ContentType: "application/octet-stream", Data: []byte("\x01\x02")},
	} {
		t.Run(name, func(t *testing.T) {
			stamp := stamper{now: now, events: 1}
			rec := stamp.record(r, nil, &e)
			golden(t, "record-"+name+".v1.json", store(rec))
			back := decode("main", "orders.order.placed.v1", &rec)
			if !back.Time.Equal(e.Time) {
				t.Errorf("time %s came back as %s", e.Time, back.Time)
			}
			back.Time = e.Time
			if e.ContentType == "" && e.Data != nil {
				e.ContentType = "application/json"
			}
			if !reflect.DeepEqual(back, e) {
				t.Errorf("read back\n%+v, want\n%+v", back, e)
			}
		})
	}
}

// A record says which schema its data was checked by: to those who read CloudEvents by the URI of the schema, to Kafka
// clients that know schema registries by its GUID. What the client says of its own accord stays.
func TestRecordsSayTheirSchema(t *testing.T) {
	snapshot, err := spec.Parse(spec.Files{"a.yaml": []byte(`asyncapi: 3.1.0
info: {title: a, version: 1.2.0}
channels: {a: {address: orders.order.placed.v1, messages: {a: {$ref: '#/components/messages/a'}}}}
components: {messages: {a: {payload: {type: object, properties: {id: {type: string}}}}}}
`), "b.yaml": []byte(`asyncapi: 3.1.0
info: {title: b, version: 1.0.0}
channels: {b: {address: orders.scan.placed.v1, messages: {b: {contentType: image/png}}}}
`)})
	if err != nil {
		t.Fatal(err)
	}
	typ, _ := snapshot.Type("orders.order.placed.v1")
	opaque, _ := snapshot.Type("orders.scan.placed.v1")
	_, guid, _ := typ.PublishedSchema()
	r := newRoute(control.Route{Type: typ.Name, Topic: typ.Name, Partitions: 1, Hash: kafka.Murmur2, Epoch: 1})
	const uri, theirs = "urn:event:orders.order.placed.v1:1.2.0", "https://example.com/order.json"
	stamp := stamper{now: time.Now(), events: 4}
	for _, tc := range []struct {
		by               *spec.Type
		sent, uri, bytes string
	}{
		{typ, "", uri, "\x01" + string(guid[:])},
		{typ, theirs, theirs, "\x01" + string(guid[:])},
		{nil, theirs, theirs, ""},
		{nil, "", "", ""},
		{opaque, "", "", ""},
	} {
		e := autobus.Event{ID: "e", Source: "/s", Type: typ.Name, Time: stamp.now, DataSchema: tc.sent, Data: []byte("{}")}
		rec := stamp.record(r, tc.by, &e)
		got := map[string]string{}
		for _, h := range rec.Headers {
			got[h.Key] = string(h.Value)
		}
		if got["ce_dataschema"] != tc.uri || got["__value_schema_id"] != tc.bytes {
			t.Errorf("by %v, sent %q: headers %q", tc.by != nil, tc.sent, got)
		}
		if back := decode("main", typ.Name, &rec); back.DataSchema != tc.uri || len(back.Extensions) != 0 {
			t.Errorf("read back %+v", back)
		}
	}
}

// Dead letters are read by operators' programs for as long as the topics are kept.
func TestDeadLettersStayReadable(t *testing.T) {
	at := time.Date(2026, 11, 20, 12, 0, 0, 123456789, time.UTC)
	rec := kafka.Record{TP: kafka.TP{Topic: "orders.order.placed.v1", Partition: 3}, Offset: 17, Time: at,
		Key: []byte("o-1"), Value: []byte(`{"id": "o-1"}`), Headers: []kafka.Header{
			{Key: "ce_id", Value: []byte("e-1")}, {Key: "autobus-dlq-reason", Value: []byte("of an earlier life")}}}
	sl := &slot{record: rec, attempt: 8, failure: "no such customer", first: at.Add(time.Minute)}
	for name, bare := range map[string]bool{"deadletter": false, "deadletter-bare": true} {
		sl.bare = bare
		letter := deadLetter("dlq.shipping", sl, at.Add(time.Hour))
		golden(t, name+".v1.json", store(letter))
	}
}

// golden holds what is stored against its golden file. One may be added, never changed.
func golden(t *testing.T, name string, stored any) {
	t.Helper()
	got, err := json.MarshalIndent(stored, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, append(got, '\n'), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if string(got)+"\n" != string(want) {
		t.Errorf("this build writes\n%s\nthe golden file has\n%s", got, want)
	}
}

func TestAForeignRecordIsMarked(t *testing.T) {
	at := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	rec := kafka.Record{TP: kafka.TP{Topic: "t", Partition: 2}, Offset: 7, Time: at, Key: []byte("k"),
		Value: []byte("\xff not JSON"), Headers: []kafka.Header{{Key: "foo", Value: []byte("bar")},
			{Key: "ce_id", Value: []byte("half")}, {Key: "ce_time", Value: []byte("yesterday")}}}
	e := decode("main", "orders.order.placed.v1", &rec)
	if !e.Unspecified || e.ID != "t:2:7" || e.Type != "orders.order.placed.v1" || e.Source != "/kafka/main/t" ||
		!e.Time.Equal(at) || string(e.Data) != "\xff not JSON" {
		t.Errorf("%+v", e)
	}
	if k, _ := e.Ext(autobus.ExtPartitionKey); k != "k" {
		t.Errorf("the key is not kept: %q", k)
	}
	if e = decode("main", "x.y.v1", &kafka.Record{TP: kafka.TP{Topic: "t"}}); !e.Unspecified || e.Data != nil {
		t.Errorf("an empty record: %+v", e)
	}
}

// Whatever somebody else wrote, the event can be told to a client and read by it: one that cannot comes again and
// again, and nothing behind it.
func TestAForeignRecordCanBeTold(t *testing.T) {
	at := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	identified := []kafka.Header{{Key: "ce_id", Value: []byte("1")}, {Key: "ce_source", Value: []byte("/s")},
		{Key: "ce_type", Value: []byte("a.b.v1")}}
	timed := func(at string) kafka.Header { return kafka.Header{Key: "ce_time", Value: []byte(at)} }
	for name, c := range map[string]struct {
		written time.Time // by the producer's clock
		header  kafka.Header
		want    time.Time
	}{
		"a day's offset":       {at, timed("2026-11-20T12:00:00+24:00"), at.AddDate(0, 0, -1)},
		"an hour of minutes":   {at, timed("2026-11-20T12:00:00+00:60"), at.Add(-time.Hour)},
		"a decimal comma":      {at, timed("2026-11-20T12:00:01,5Z"), at.Add(1500 * time.Millisecond)},
		"a stamp in nanos":     {time.UnixMilli(at.UnixNano()), kafka.Header{}, time.Time{}},
		"a stamp before Kafka": {time.UnixMilli(-1 << 62), kafka.Header{}, time.Time{}},
		"an attribute data":    {at, kafka.Header{Key: "ce_data", Value: []byte("x")}, at},
	} {
		t.Run(name, func(t *testing.T) {
			rec := kafka.Record{TP: kafka.TP{Topic: "a.b.v1"}, Time: c.written, Value: []byte(`{}`), Headers: identified}
			if c.header.Key != "" {
				rec.Headers = append(slices.Clip(identified), c.header)
			}
			e := decode("main", "a.b.v1", &rec)
			told(t, &e)
			if !e.Time.Equal(c.want) {
				t.Errorf("the time is %v, want %v", e.Time, c.want)
			}
		})
	}
}

// An event is of the type whose topic it stands in, whatever a record that was copied there says: handlers are chosen
// by it, and type, partition and offset together name one place.
func TestARecordIsOfTheTypeOfItsTopic(t *testing.T) {
	rec := kafka.Record{TP: kafka.TP{Topic: "orders.order.retried.v1"}, Headers: []kafka.Header{
		{Key: "ce_id", Value: []byte("1")}, {Key: "ce_source", Value: []byte("/s")},
		{Key: "ce_type", Value: []byte("orders.order.placed.v1")}}}
	if e := decode("main", "orders.order.retried.v1", &rec); e.Type != "orders.order.retried.v1" || e.ID != "1" {
		t.Errorf("%+v", e)
	}
}

// told demands that an event stands in JSON and in headers as clients read them.
func told(t *testing.T, e *autobus.Event) {
	t.Helper()
	back, err := autobus.ParseEvent(autobus.AppendEvent(nil, e))
	if err != nil || back.ID != e.ID || back.Type != e.Type || !back.Time.Equal(e.Time) {
		t.Errorf("in JSON %+v comes back as %+v, %v", e, back, err)
	}
	var headers autobus.Event
	if e.Time.IsZero() {
		return
	}
	if err := headers.SetAttribute("time", e.Time.Format(time.RFC3339Nano)); err != nil {
		t.Errorf("as a header: %v", err)
	}
}

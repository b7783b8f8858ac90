// SPDX-License-Identifier: Apache-2.0

package bustest

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/autobus-io/autobus"
)

// uuid7 is the form of an id that the bus makes.
var uuid7 = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)

// record holds what stands in Kafka against the form that other readers rely on.
func (s *suite) record(t *testing.T) {
	t.Run("Full", func(t *testing.T) {
		key := s.unique("key")
		e := autobus.Event{
			ID: s.unique("id"), Source: "/shop/1", Type: s.types.Keyed, Subject: "a subject",
			Time: time.Date(2026, 11, 20, 10, 0, 0, 123456000, time.FixedZone("", 3*3600)),
			Data: fmt.Appendf(nil, `{"order":%q}`, key), ContentType: "application/json; charset=utf-8",
			Extensions: []autobus.Extension{
				{Name: autobus.ExtCorrelationID, Value: "flow-1"},
				{Name: "tenant", Value: "kz"},
				{Name: autobus.ExtTraceParent, Value: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"},
			},
		}
		before := time.Now().Add(-time.Second)
		rs := s.publish(t, e)
		written(t, rs)
		r := s.one(t, e, rs[0])
		for name, want := range map[string]string{
			"ce_specversion": "1.0", "ce_id": e.ID, "ce_source": "/shop/1", "ce_type": e.Type,
			"ce_subject": "a subject", "ce_time": "2026-11-20T10:00:00.123456+03:00", "ce_correlationid": "flow-1",
			"ce_tenant": "kz", "content-type": "application/json; charset=utf-8",
			"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
		} {
			if got, ok := header(r, name); !ok || got != want {
				t.Errorf("header %s: got %q, want %q", name, got, want)
			}
		}
		if _, ok := header(r, "autobus-epoch"); !ok && s.features.NoLog == "" {
			t.Error("the record does not tell its route's epoch")
		}
		if _, ok := header(r, "ce_traceparent"); ok {
			t.Error("traceparent has the prefix of an attribute")
		}
		if string(r.Key) != key || !bytes.Equal(r.Value, e.Data) {
			t.Errorf("key %q, value %s", r.Key, r.Value)
		}
		if r.Time.Before(before) || r.Time.After(time.Now().Add(time.Second)) {
			t.Errorf("the record's time is %s, want the gateway's clock", r.Time)
		}
		names := map[string]bool{}
		for _, h := range r.Headers {
			if names[h.Key] {
				t.Errorf("header %s stands there twice", h.Key)
			}
			names[h.Key] = true
		}
	})

	t.Run("Absent", func(t *testing.T) {
		b := &autobus.Batch{Events: []autobus.Event{{Type: s.types.Keyed, Data: []byte(`{"order":"absent"}`)}}}
		rs := s.send(t, b)
		written(t, rs)
		e := b.Events[0]
		if !uuid7.MatchString(e.ID) {
			t.Errorf("the id filled in is %q, want a UUIDv7", e.ID)
		}
		r := s.one(t, e, rs[0])
		if got, _ := header(r, "ce_source"); got != "/"+everything.Name {
			t.Errorf("ce_source is %q, want the principal's", got)
		}
		got, _ := header(r, "ce_time")
		if at, err := time.Parse(time.RFC3339Nano, got); err != nil || time.Since(at).Abs() > Patience {
			t.Errorf("ce_time is %q, want now", got)
		}
		if got, _ := header(r, "ce_dataschema"); !strings.HasPrefix(got, "urn:event:"+s.types.Keyed+":") {
			t.Errorf("ce_dataschema is %q, want the type's", got)
		}
		for _, name := range []string{"ce_subject", "traceparent"} {
			if v, ok := header(r, name); ok {
				t.Errorf("header %s = %q was never sent", name, v)
			}
		}
	})

	// What a JSON library would change on its way through: spaces, escapes, number forms, the order of fields.
	t.Run("Bytes", func(t *testing.T) {
		for _, extra := range []string{
			`1.0`, `1e2`, `-0`, `12345678901234567890123`, `0.10000000000000000555`, `"\u00e9\ud83d\ude00 é 😀 \/"`,
			"{\r\n\t\"lines\" : [ ] }", `"<script>&amp;"`, `"` + "\u2028" + `"`,
		} {
			e := s.event(s.types.Keyed, s.unique("key"))
			e.Data = []byte(` { "total":1.50 ,"extra": ` + extra + `,"order":"bytes" } `)
			if strings.Contains(extra, "lines") { // a field below extra is one that nobody declared
				e.Data = []byte("{\r\n\t\"lines\" : [ ] , \"order\":\"bytes\" }\n")
			}
			rs := s.publish(t, e)
			written(t, rs)
			if got := s.one(t, e, rs[0]).Value; !bytes.Equal(got, e.Data) {
				t.Errorf("sent %q, in the log %q", e.Data, got)
			}
		}
	})
}

// key holds keys and partitions against what Kafka's own clients do.
func (s *suite) key(t *testing.T) {
	t.Run("Murmur2", func(t *testing.T) {
		for key, hash := range javaMurmur2 {
			if got := murmur2([]byte(key)); got != hash {
				t.Fatalf("the suite's own murmur2 of %q is %d, Java's %d", key, got, hash)
			}
			e := s.event(s.types.Keyed, key)
			rs := s.publish(t, e)
			written(t, rs)
			if want := (hash & 0x7fffffff) % Partitions; s.one(t, e, rs[0]).Partition != want {
				t.Errorf("key %q is in partition %d, want %d", key, rs[0].Partition, want)
			}
		}
	})

	t.Run("Sarama", func(t *testing.T) {
		for i := range 24 {
			key := fmt.Sprintf("key-%d", i)
			h := fnv.New32a()
			h.Write([]byte(key))
			want := int32(h.Sum32()) % Partitions
			if want < 0 {
				want = -want
			}
			rs := s.publish(t, s.event(s.types.Sarama, key))
			written(t, rs)
			if rs[0].Partition != want {
				t.Errorf("key %q is in partition %d, want %d", key, rs[0].Partition, want)
			}
		}
	})

	t.Run("Forms", func(t *testing.T) {
		for _, c := range []struct{ typ, data, key string }{
			{s.types.Keyed, `{"order":"é/~1 \"x\""}`, `é/~1 "x"`},
			{s.types.Keyed, `{"order":"\u00e9"}`, `é`},
			{s.types.Keyed, `{"order":""}`, ``},
			{s.types.Number, `{"id":42}`, `42`},
			{s.types.Number, `{"id":-7}`, `-7`},
			{s.types.Number, `{"id":9007199254740993}`, `9007199254740993`},
		} {
			e := autobus.Event{ID: s.unique("id"), Type: c.typ, Data: []byte(c.data)}
			rs := s.publish(t, e)
			written(t, rs)
			r := s.one(t, e, rs[0])
			if r.Key == nil || string(r.Key) != c.key {
				t.Errorf("%s: key %q, want %q", c.data, r.Key, c.key)
			}
			if want := murmur2([]byte(c.key)) & 0x7fffffff % Partitions; r.Partition != want {
				t.Errorf("%s: partition %d, want %d", c.data, r.Partition, want)
			}
		}
	})

	t.Run("Faults", func(t *testing.T) {
		mismatch := s.event(s.types.Keyed, s.unique("key"))
		mismatch.Extensions = []autobus.Extension{{Name: autobus.ExtPartitionKey, Value: "another"}}
		for _, c := range []struct {
			e   autobus.Event
			why []autobus.Reason
		}{
			// A missing key is also a missing required field; which of the two is told is the spec's business.
			{autobus.Event{Type: s.types.Keyed, Data: []byte(`{"n":1}`)},
				[]autobus.Reason{autobus.ReasonKeyMissing, autobus.ReasonDataInvalid}},
			{mismatch, []autobus.Reason{autobus.ReasonKeyMismatch}},
		} {
			if c.e.ID == "" {
				c.e.ID = s.unique("id")
			}
			r := s.publish(t, c.e)[0]
			if r.Status != autobus.Refused || !slices.Contains(c.why, r.Err.Reason) {
				t.Errorf("%s: got %s (%v), want one of %v", c.e.Data, r.Status, r.Err, c.why)
			}
			s.none(t, c.e)
		}
		same := s.event(s.types.Keyed, "same")
		same.Extensions = []autobus.Extension{{Name: autobus.ExtPartitionKey, Value: "same"}}
		written(t, s.publish(t, same))
	})

	t.Run("Keyless", s.keyless)
}

// keyless checks that events without a key spread over the partitions, in runs and not one by one, and that
// partitionkey gives a key where the spec names none.
func (s *suite) keyless(t *testing.T) {
	used, turns, last := map[int32]bool{}, 0, int32(-1)
	const batches, size = 8, 1000
	for range batches {
		events := make([]autobus.Event, size)
		for i := range events {
			events[i] = s.event(s.types.Keyless, "")
		}
		rs := s.publish(t, events...)
		written(t, rs)
		for _, r := range rs {
			used[r.Partition] = true
			if r.Partition != last {
				turns, last = turns+1, r.Partition
			}
		}
	}
	if len(used) < 2 {
		t.Errorf("%d events without a key are all in one partition", batches*size)
	}
	if turns > batches*size/8 {
		t.Errorf("the partition changed %d times in %d events: batches stay empty", turns, batches*size)
	}
	for _, r := range s.log(t, s.types.Keyless) {
		if r.Key != nil {
			t.Fatalf("record %d/%d has the key %q, want none", r.Partition, r.Offset, r.Key)
		}
	}
	e := s.event(s.types.Keyless, "")
	e.Extensions = []autobus.Extension{{Name: autobus.ExtPartitionKey, Value: "foobar"}}
	rs := s.publish(t, e)
	written(t, rs)
	r := s.one(t, e, rs[0])
	if got, _ := header(r, "ce_partitionkey"); got != "foobar" || string(r.Key) != "foobar" {
		t.Errorf("key %q, ce_partitionkey %q", r.Key, got)
	}
	if want := javaMurmur2["foobar"] & 0x7fffffff % Partitions; r.Partition != want {
		t.Errorf("partition %d, want %d", r.Partition, want)
	}
}

// javaMurmur2 are the vectors of Kafka's own UtilsTest.
var javaMurmur2 = map[string]int32{
	"21": -973932308, "foobar": -790332482, "a-little-bit-long-string": -985981536,
	"a-little-bit-longer-string": -1486304829, "lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
	"abc": 479470107,
}

// murmur2 is written from Kafka's Java source and shares nothing with the bus, so that one can judge the other.
func murmur2(data []byte) int32 {
	const m = 0x5bd1e995
	h := uint32(0x9747b28c) ^ uint32(len(data))
	for ; len(data) >= 4; data = data[4:] {
		k := binary.LittleEndian.Uint32(data) * m
		h = h*m ^ (k^k>>24)*m
	}
	for i, b := range slices.Backward(data) {
		h ^= uint32(b) << (8 * i)
		if i == 0 {
			h *= m
		}
	}
	h = (h ^ h>>13) * m
	return int32(h ^ h>>15)
}

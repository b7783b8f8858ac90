// SPDX-License-Identifier: Apache-2.0

package wire_test

import (
	"bytes"
	"encoding/hex"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/wire"
)

var update = flag.Bool("update", false, "write the golden files")

func deliveries() []autobus.Delivery {
	at := time.Date(2026, 1, 31, 15, 4, 5, 123e6, time.FixedZone("", 3*3600))
	deadline := time.Date(2026, 1, 31, 12, 5, 0, 0, time.UTC)
	event := func(id, key, data string) autobus.Event {
		e := autobus.Event{ID: id, Source: "/shop", Type: "orders.order.placed.v1", Time: at,
			ContentType: "application/json"}
		if key != "" {
			e.Key = []byte(key)
		}
		if data != "" {
			e.Data = []byte(data)
		}
		return e
	}
	ds := []autobus.Delivery{
		{Event: event("e-1", "o-1", `{"total": 12.50}`), Offset: 17, Attempt: 1},
		{Event: event("e-2", "", ""), Offset: 19, Attempt: 3},
		{Event: event("orders:3:20", "\xff", "raw"), Offset: 20, Attempt: 1},
	}
	ds[0].Extensions = []autobus.Extension{{Name: "correlationid", Value: "c"}, {Name: "traceparent", Value: "00-1-2-01"}}
	ds[0].Subject, ds[0].DataSchema = "o-1", "/schemas/1"
	ds[2].Unspecified = true
	for i := range ds {
		ds[i].Partition, ds[i].Fence, ds[i].Deadline = 3, 1<<32|7, deadline
		ds[i].Lease = autobus.Lease("AbC-_9").At(ds[i].Offset)
	}
	return ds
}

func pointers(ds []autobus.Delivery) []*autobus.Delivery {
	ps := make([]*autobus.Delivery, len(ds))
	for i := range ds {
		ps[i] = &ds[i]
	}
	return ps
}

// TestFramesStayAsTheyAre holds the layout still: clients in other languages read it.
func TestFramesStayAsTheyAre(t *testing.T) {
	events := wire.AppendEvents(nil, "shipping", nil, pointers(deliveries()))
	e := deliveries()[0].Event
	e.Key = nil
	publish := wire.AppendRecord(wire.AppendHeader(nil,
		[]byte(`{"op":"publish","seq":7,"type":"orders.order.placed.v1","source":"/shop"}`)), 0, &e,
		&wire.Shared{Type: e.Type, Source: e.Source})
	published := wire.AppendHeader(nil,
		[]byte(`{"op":"published","seq":7,"results":[{"index":2,"status":"refused","error":{"reason":"data_invalid"}}]}`))
	for _, r := range []autobus.Receipt{
		{Status: autobus.Written, Partition: 3, Offset: 300}, {Status: autobus.Written, Duplicate: true, Offset: 1 << 40},
		{Status: autobus.Refused}, {Status: autobus.Unknown},
	} {
		published = wire.AppendReceipt(published, r)
	}
	ack := wire.AppendHeader(nil, []byte(`{"op":"ack","seq":9,"lease":"AbC-_9","outcome":"ack"}`))
	for before, offset := int64(0), int64(17); offset <= 20; before, offset = offset, offset+1 {
		ack = wire.AppendOffset(ack, before, offset)
	}
	for name, frame := range map[string][]byte{
		"events": events, "publish": publish, "published": published, "ack": ack,
	} {
		path := filepath.Join("testdata", name+".hex")
		if *update {
			if err := os.WriteFile(path, []byte(hex.Dump(frame)), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if hex.Dump(frame) != string(want) {
			t.Errorf("%s is now\n%s", name, hex.Dump(frame))
		}
	}
}

func TestDeliveriesComeBack(t *testing.T) {
	want := deliveries()
	got := read(t, wire.AppendEvents(nil, "shipping", nil, pointers(deliveries())))
	for i := range want {
		if got[i].Time.Format(time.RFC3339Nano) != want[i].Time.Format(time.RFC3339Nano) {
			t.Errorf("time %s, want %s", got[i].Time, want[i].Time)
		}
		got[i].Time, want[i].Time = time.Time{}, time.Time{}
		if !reflect.DeepEqual(got[i], want[i]) {
			t.Errorf("record %d\n got %+v\nwant %+v", i, got[i], want[i])
		}
	}
}

func read(t interface {
	Helper()
	Fatal(...any)
}, frame []byte) []autobus.Delivery {
	t.Helper()
	header, body, bad := wire.Split(frame)
	if bad != nil {
		t.Fatal(bad)
	}
	var h wire.Events
	if err := autobus.StrictJSON(header, &h); err != nil {
		t.Fatal(err)
	}
	ds, bad := h.Deliveries(body)
	if bad != nil {
		t.Fatal(bad)
	}
	return ds
}

func TestFramesKeepTheOrderOfEachPartition(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var ds []autobus.Delivery
		for i := range rapid.IntRange(0, 40).Draw(t, "events") {
			d := autobus.Delivery{Offset: int64(i), Partition: rapid.Int32Range(0, 2).Draw(t, "partition")}
			d.Data = make([]byte, rapid.IntRange(0, 300).Draw(t, "size"))
			d.Type = rapid.SampledFrom([]string{"a.b.v1", "c.d.v1"}).Draw(t, "type")
			d.Lease = rapid.SampledFrom([]autobus.Lease{"x", "y"}).Draw(t, "lease").At(d.Offset)
			ds = append(ds, d)
		}
		type log struct {
			typ       string
			partition int32
		}
		seen, last := 0, map[log]int64{}
		err := wire.Frames(ds, 500, func(part []*autobus.Delivery) error {
			bytes := 0
			for _, d := range part {
				lease, _, _ := d.Lease.Cut()
				first, _, _ := part[0].Lease.Cut()
				if d.Partition != part[0].Partition || lease != first || d.Type != part[0].Type {
					t.Fatalf("%+v and %+v are in one frame", part[0], d)
				}
				if before, ok := last[log{d.Type, d.Partition}]; ok && before > d.Offset {
					t.Fatalf("offset %d comes after %d", d.Offset, before)
				}
				last[log{d.Type, d.Partition}] = d.Offset
				bytes += d.Size()
				seen++
			}
			if len(part) > 1 && bytes > 500 {
				t.Fatalf("%d bytes in a frame", bytes)
			}
			return nil
		})
		if err != nil || seen != len(ds) {
			t.Fatalf("%d of %d, %v", seen, len(ds), err)
		}
	})
}

func TestAnEventThatIsWrongIsRefusedAlone(t *testing.T) {
	good := autobus.Event{ID: "1", Type: "a.b.v1"}
	frame := wire.AppendRecord(nil, 0, &good, &wire.Shared{})
	bad := good
	bad.Extensions = []autobus.Extension{{Name: "id", Value: "2"}}
	frame = wire.AppendRecord(frame, 1, &bad, &wire.Shared{})
	frame = wire.AppendRecord(frame, 2, &good, &wire.Shared{})
	r := wire.NewRecords(frame, wire.Shared{})
	for i, want := range []bool{false, true, false} {
		var e autobus.Event
		delta, refused, ok := r.Next(&e)
		if !ok || delta != int64(i) || (refused != nil) != want || e.ID != "1" {
			t.Errorf("record %d: %+v, refused %v, ok %v", i, e, refused, ok)
		}
	}
	var e autobus.Event
	if _, _, ok := r.Next(&e); ok || r.Err() != nil {
		t.Errorf("after the last one %v, %v", ok, r.Err())
	}
}

// TestEveryCutIsFound cuts a frame at every byte.
func TestEveryCutIsFound(t *testing.T) {
	e := deliveries()[0].Event
	frame := wire.AppendRecord(nil, 5, &e, &wire.Shared{})
	for n := 1; n < len(frame); n++ {
		r := wire.NewRecords(frame[:n], wire.Shared{})
		var got autobus.Event
		if _, _, ok := r.Next(&got); ok || r.Err() == nil || r.Err().Reason != autobus.ReasonFrameInvalid {
			t.Fatalf("cut at %d: ok %v, error %v", n, ok, r.Err())
		}
	}
	for _, frame := range [][]byte{nil, {0, 0, 0}, {0, 0, 0, 1}, {0xff, 0xff, 0xff, 0xff, '{', '}'}} {
		if _, _, err := wire.Split(frame); err == nil {
			t.Errorf("%x is a frame", frame)
		}
	}
}

func TestLeasesOfAFrame(t *testing.T) {
	for _, offset := range []int64{0, 7, 10, 1 << 62} {
		if frame, got, ok := autobus.Lease("l").At(offset).Cut(); !ok || frame != "l" || got != offset {
			t.Errorf("offset %d comes back as %s, %d, %v", offset, frame, got, ok)
		}
	}
	for _, l := range []autobus.Lease{
		"", "l", "l.", "l.-1", "l.-0", "l.+1", "l.01", "l.00", "l.1x", "l.99999999999999999999",
	} {
		if _, _, ok := l.Cut(); ok {
			t.Errorf("%q is taken", l)
		}
	}
}

func TestReceiptsAndOffsetsComeBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var want []autobus.Receipt
		var body []byte
		for range rapid.IntRange(0, 20).Draw(t, "receipts") {
			r := autobus.Receipt{Status: rapid.SampledFrom([]autobus.Status{autobus.Written, autobus.Refused,
				autobus.Unknown}).Draw(t, "status")}
			if r.Status == autobus.Written {
				r.Duplicate = rapid.Bool().Draw(t, "duplicate")
				r.Partition, r.Offset = rapid.Int32Min(0).Draw(t, "partition"), rapid.Int64Min(0).Draw(t, "offset")
			}
			want, body = append(want, r), wire.AppendReceipt(body, r)
		}
		var got []autobus.Receipt
		if err := wire.ReadReceipts(body, len(want), func(_ int, r autobus.Receipt) { got = append(got, r) }); err != nil {
			t.Fatal(err)
		}
		if len(want) > 0 && !reflect.DeepEqual(got, want) {
			t.Fatalf("%v comes back as %v", want, got)
		}
		if wire.ReadReceipts(append(body, 0), len(want), func(int, autobus.Receipt) {}) == nil ||
			wire.ReadReceipts(body, len(want)+1, func(int, autobus.Receipt) {}) == nil {
			t.Fatal("another number of receipts is taken")
		}
		offsets := rapid.SliceOf(rapid.Int64Min(0)).Draw(t, "offsets")
		body = nil
		var before int64
		for _, o := range offsets {
			body, before = wire.AppendOffset(body, before, o), o
		}
		i := 0
		err := wire.ReadOffsets(body, func(o int64) {
			if o != offsets[i] {
				t.Fatalf("offset %d, want %d", o, offsets[i])
			}
			i++
		})
		if err != nil || i != len(offsets) {
			t.Fatal(i, err)
		}
	})
}

// FuzzRecords reads anything: what it takes must come back the same from what it writes.
func FuzzRecords(f *testing.F) {
	for _, d := range deliveries() {
		f.Add(wire.AppendRecord(nil, 1, &d.Event, &wire.Shared{}))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		r := wire.NewRecords(body, wire.Shared{})
		for {
			var e, again autobus.Event
			delta, refused, ok := r.Next(&e)
			if !ok {
				return
			}
			if refused != nil {
				continue
			}
			var s wire.Shared
			second := wire.NewRecords(wire.AppendRecord(nil, delta, &e, &s), s)
			d, refused, ok := second.Next(&again)
			if !ok || refused != nil || d != delta || again.ID != e.ID || again.Type != e.Type ||
				!bytes.Equal(again.Data, e.Data) || !bytes.Equal(again.Key, e.Key) || !again.Time.Equal(e.Time) ||
				!reflect.DeepEqual(again.Extensions, e.Extensions) {
				t.Fatalf("%+v\ncomes back as\n%+v (%v, %v)", e, again, refused, second.Err())
			}
		}
	})
}

// FuzzFrame reads anything as a frame of any kind.
func FuzzFrame(f *testing.F) {
	f.Add(wire.AppendEvents(nil, "s", nil, pointers(deliveries())))
	f.Fuzz(func(_ *testing.T, frame []byte) {
		header, body, err := wire.Split(frame)
		if err != nil {
			return
		}
		var h wire.Events
		if autobus.StrictJSON(header, &h) == nil {
			_, _ = h.Deliveries(body)
		}
		_ = wire.ReadReceipts(body, 3, func(int, autobus.Receipt) {})
		_ = wire.ReadOffsets(body, func(int64) {})
	})
}

func BenchmarkRecord(b *testing.B) {
	e := deliveries()[0].Event
	e.Data = bytes.Repeat([]byte("x"), 1000)
	s := wire.Shared{Type: e.Type, Source: e.Source, ContentType: e.ContentType}
	b.ReportAllocs()
	var buf []byte
	for b.Loop() {
		buf = wire.AppendRecord(buf[:0], 3, &e, &s)
		r := wire.NewRecords(buf, s)
		var again autobus.Event
		if _, _, ok := r.Next(&again); !ok {
			b.Fatal(r.Err())
		}
	}
}

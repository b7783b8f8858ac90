// SPDX-License-Identifier: Apache-2.0

package ws

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/edge"
	"github.com/autobus-io/autobus/internal/wire"
)

var at = time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)

func keyed(id, key, data string) autobus.Event {
	return autobus.Event{ID: id, Source: "/s", Type: "a.b.v1", Time: at, Data: []byte(data),
		Extensions: []autobus.Extension{{Name: autobus.ExtPartitionKey, Value: key}}}
}

// records makes a body of events that share the type and the source.
func records(events ...autobus.Event) (body []byte) {
	for i := range events {
		body = wire.AppendRecord(body, int64(i), &events[i], &wire.Shared{Type: "a.b.v1", Source: "/s"})
	}
	return body
}

func receipts(t *testing.T, body []byte, n int) (out []autobus.Receipt) {
	t.Helper()
	if err := wire.ReadReceipts(body, n, func(_ int, r autobus.Receipt) { out = append(out, r) }); err != nil {
		t.Fatal(err)
	}
	return out
}

const publishShared = `{"op":"publish","seq":%d,"type":"a.b.v1","source":"/s"%s}`

func publishHeader(seq int, more string) string { return fmt.Sprintf(publishShared, seq, more) }

func TestPublishRecords(t *testing.T) {
	bus := &fakeBus{judge: func(e *autobus.Event) *autobus.Error {
		if e.ID == "bad" {
			return autobus.NewError(autobus.ReasonDataInvalid, "no")
		}
		return nil
	}}
	c := dial(t, serve(t, bus))
	c.sendBinary(publishHeader(7, ""), records(keyed("1", "k", "\xffraw"), keyed("2", "", "")))
	f, header, body := c.nextBinary()
	if header != `{"op":"published","seq":7}` || !f.is("published", 7) {
		t.Errorf("%s", header)
	}
	for i, r := range receipts(t, body, 2) {
		if r.Status != autobus.Written || r.Partition != 3 || r.Offset != int64(i) {
			t.Errorf("receipt %d: %+v", i, r)
		}
	}
	first, second := bus.log[0], bus.log[1]
	if first.ID != "1" || first.Type != "a.b.v1" || first.Source != "/s" || !first.Time.Equal(at) ||
		string(first.Key) != "k" || string(first.Data) != "\xffraw" || second.ID != "2" || second.Data == nil {
		t.Errorf("%+v\n%+v", first, second)
	}

	withKey := keyed("3", "k", "{}")
	withKey.Key = []byte("k")
	twice := keyed("4", "k", "{}")
	twice.Extensions = append(twice.Extensions, autobus.Extension{Name: "source", Value: "/other"})
	twice.Source = "/own"
	c.sendBinary(publishHeader(8, ""), records(keyed("5", "a", "{}"), withKey, keyed("bad", "b", "{}"), twice,
		keyed("6", "c", "{}")))
	f, _, body = c.nextBinary()
	want := []autobus.Status{autobus.Written, autobus.Refused, autobus.Refused, autobus.Refused, autobus.Written}
	for i, r := range receipts(t, body, len(want)) {
		if r.Status != want[i] {
			t.Errorf("receipt %d: %+v", i, r)
		}
	}
	var told []string
	for _, r := range f.Results {
		told = append(told, fmt.Sprint(r.Index, r.ID, r.Status, r.Error.Reason))
	}
	if !f.is("published", 8) || !slices.Equal(told, []string{"13refusedevent_invalid", "2badrefuseddata_invalid",
		"34refusedevent_invalid"}) {
		t.Errorf("%v", told)
	}
}

// TestWhatTheBusAddsIsTold: the id, source and time that it filled in, and hints, which stand in no receipt.
func TestWhatTheBusAddsIsTold(t *testing.T) {
	bus := &fakeBus{before: func(b *autobus.Batch) error {
		for i := range b.Events {
			if e := &b.Events[i]; e.Time.IsZero() {
				e.Time = at
			}
			if e := &b.Events[i]; e.ID == "" {
				e.ID = "new"
			}
		}
		return nil
	}}
	bus.settled = func(b *autobus.Batch, i int, _ func()) {
		r := autobus.Receipt{Status: autobus.Written}
		switch b.Events[i].ID {
		case "hinted":
			r.Hint = "add a spec"
		case "known":
			r.Duplicate = true
		}
		b.Resolve(i, r)
	}
	c := dial(t, serve(t, bus))
	timeless := keyed("timeless", "k", "{}")
	timeless.Time = time.Time{}
	c.sendBinary(publishHeader(1, ""), records(keyed("plain", "k", "{}"), keyed("", "k", "{}"), timeless,
		keyed("hinted", "k", "{}"), keyed("known", "k", "{}")))
	_, header, body := c.nextBinary()
	want := `{"op":"published","seq":1,"time":"2026-01-31T12:00:00Z","results":[` +
		`{"index":1,"id":"new","status":"written","type":"a.b.v1","partition":0,"offset":0},` +
		`{"index":3,"id":"hinted","status":"written","type":"a.b.v1","partition":0,"offset":0,"hint":"add a spec"}]}`
	if header != want {
		t.Errorf("%s\nwant %s", header, want)
	}
	if rs := receipts(t, body, 5); !rs[4].Duplicate || rs[3].Duplicate {
		t.Errorf("%+v", rs)
	}
}

func TestBinaryFramesThatAreRefused(t *testing.T) {
	bus := &fakeBus{settle: func(_ context.Context, ss []autobus.Settlement) error {
		t.Errorf("%v was settled", ss)
		return nil
	}}
	c := dial(t, serve(t, bus))
	good := records(keyed("1", "k", "{}"))
	many := bytes.Repeat(good, autobus.MaxBatchEvents+1)
	offsets := bytes.Repeat([]byte{2}, edge.MaxSettlements+1)
	frame := func(header string, body []byte) []byte {
		return append(wire.AppendHeader(nil, []byte(header)), body...)
	}
	huge := binary.AppendVarint(binary.AppendVarint([]byte{0, 0, 0, 1, 1}, 1<<40), 0)
	for i, bad := range []struct {
		raw    []byte
		seq    int64
		reason autobus.Reason
	}{
		{nil, 0, autobus.ReasonFrameInvalid},
		{[]byte("{}"), 0, autobus.ReasonFrameInvalid},
		{[]byte{0xff, 0xff, 0xff, 0xff}, 0, autobus.ReasonFrameInvalid},
		{[]byte{0, 0, 0, 3, '{', '}'}, 0, autobus.ReasonFrameInvalid},
		{[]byte(`{"op":"publish","seq":1}`), 0, autobus.ReasonFrameInvalid}, // text in a binary frame
		{frame("", nil), 0, autobus.ReasonFrameInvalid},
		{frame("[]", nil), 0, autobus.ReasonFrameInvalid},
		{frame(`{"op":"dance","seq":2}`, nil), 2, autobus.ReasonFrameInvalid},
		{frame(`{"op":"publish"}`, good), 0, autobus.ReasonFrameInvalid},
		{frame(publishHeader(3, `,"events":[]`), good), 3, autobus.ReasonFrameInvalid},
		{frame(publishHeader(3, `,"partition":1`), good), 3, autobus.ReasonFrameInvalid},
		{frame(publishHeader(3, `,"mode":"atomic"`), good), 3, autobus.ReasonModeInvalid},
		{frame(publishHeader(3, `,"stream":-1`), good), 3, autobus.ReasonFrameInvalid},
		{frame(`{"op":"publish","seq":3,"type":7}`, good), 3, autobus.ReasonFrameInvalid},
		{frame(publishHeader(4, ""), good[:len(good)-1]), 4, autobus.ReasonFrameInvalid},
		{frame(publishHeader(4, ""), append(slices.Clone(good), 1)), 4, autobus.ReasonFrameInvalid},
		{frame(publishHeader(4, ""), append(slices.Clone(good), 0)), 4, autobus.ReasonFrameInvalid},
		{frame(publishHeader(4, ""), append(slices.Clone(good), 0xff)), 4, autobus.ReasonFrameInvalid},
		{frame(publishHeader(4, ""), append(binary.AppendVarint(nil, int64(len(huge))), huge...)), 4,
			autobus.ReasonFrameInvalid},
		{frame(publishHeader(4, ""), many), 4, autobus.ReasonBatchTooLarge},
		{frame(`{"op":"ack","seq":5,"results":[]}`, nil), 5, autobus.ReasonFrameInvalid},
		{frame(`{"op":"ack","seq":5,"outcome":"ack"}`, []byte{2}), 5, autobus.ReasonFrameInvalid},
		{frame(`{"op":"ack","seq":5,"lease":"","outcome":"ack"}`, []byte{2}), 5, autobus.ReasonFrameInvalid},
		{frame(`{"op":"ack","seq":5,"lease":"l","outcome":"ack"}`, []byte{1}), 5, autobus.ReasonFrameInvalid},
		{frame(`{"op":"ack","seq":5,"lease":"l","outcome":"ack"}`, []byte{0xff}), 5, autobus.ReasonFrameInvalid},
		{frame(`{"op":"ack","seq":5,"lease":"l","outcome":"nack"}`, []byte{2}), 5, autobus.ReasonOutcomeInvalid},
		{frame(`{"op":"ack","lease":"l","outcome":"ack","delay":"1s"}`, []byte{2}), 0, autobus.ReasonOutcomeInvalid},
		{frame(`{"op":"ack","seq":5,"lease":"l","outcome":"ack"}`, offsets), 5, autobus.ReasonBatchTooLarge},
		{frame(`{"op":"unsubscribe","seq":6,"subscription":"x"}`, nil), 6, autobus.ReasonFrameInvalid},
		{frame(`{"op":"tail","seq":6,"types":["a.*"]}`, good), 6, autobus.ReasonFrameInvalid},
		{frame(`{"op":"forget","stream":1}`, good), 0, autobus.ReasonFrameInvalid},
	} {
		c.sendRaw(bad.raw)
		if f := c.next(); !f.fails(bad.seq, bad.reason) {
			t.Errorf("frame %d, %.80q is answered %s", i, bad.raw, f)
		}
	}
	c.alive()
	if ids := bus.ids(); len(ids) > 0 {
		t.Errorf("%d events were published", len(ids))
	}
	c.sendBinary(publishHeader(9, ""), nil)
	if f, _, body := c.nextBinary(); !f.is("published", 9) || len(body) > 0 {
		t.Errorf("no events: %s, %q", f, body)
	}
}

func TestTextAndBinaryFramesOfOneConnection(t *testing.T) {
	bus := &fakeBus{judge: func(e *autobus.Event) *autobus.Error {
		if e.ID == "bad" {
			return autobus.NewError(autobus.ReasonCapacity, "full")
		}
		return nil
	}}
	c := dial(t, serve(t, bus))
	c.send(publishFrame(1, event("bad", "k")))
	if f := c.next(); f.Results[0].Error.Reason != autobus.ReasonCapacity {
		t.Errorf("%s", f)
	}
	// A binary frame belongs to the same stream, and names one as text frames do.
	c.sendBinary(publishHeader(2, ""), records(keyed("2", "k", "{}")))
	if f, _, _ := c.nextBinary(); f.Results[0].Error.Reason != autobus.ReasonPredecessorFailed {
		t.Errorf("%s", f)
	}
	c.sendBinary(publishHeader(3, `,"stream":1,"mode":"ordered"`), records(keyed("3", "k", "{}")))
	if f, _, _ := c.nextBinary(); f.Results != nil {
		t.Errorf("%s", f)
	}
	c.send(publishFrame(4, event("4", "other")))
	if f := c.next(); !f.is("published", 4) || f.Results[0].Status != "written" {
		t.Errorf("%s", f)
	}
}

// TestDataOutlivesTheBufferItCameIn: the next frame is read into it while the bus still has the data.
func TestDataOutlivesTheBufferItCameIn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus, release := stuck()
		c := dial(t, bubble(t, bus))
		const n = 20
		for i := range n {
			data := strings.Repeat(string(rune('a'+i)), 1000)
			c.sendBinary(publishHeader(i, ""), records(keyed(data[:5], "k", data)))
		}
		synctest.Wait()
		for i, e := range bus.log {
			want := strings.Repeat(string(rune('a'+i)), 1000)
			if string(e.Data) != want || e.ID != want[:5] {
				t.Errorf("event %d is now %.10s", i, e.Data)
			}
		}
		close(release)
		for range n {
			c.nextBinary()
		}
		if len(bus.log) != n {
			t.Errorf("%d events", len(bus.log))
		}
	})
}

func TestAnOutcomeOfARecordThatDoesNotComeIsUnknown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus, release := stuck()
		c := dial(t, bubble(t, bus))
		began := time.Now()
		for i := range 2 {
			c.sendBinary(publishHeader(i, ""), records(keyed("1", "k", "{}"), keyed("2", "j", "{}")))
			time.Sleep(time.Second)
		}
		for i := range 2 {
			f, _, body := c.nextBinary()
			rs := receipts(t, body, 2)
			if rs[0].Status != autobus.Unknown || rs[1].Status != autobus.Unknown || len(f.Results) != 2 ||
				f.Results[1].Error.Reason != autobus.ReasonOutcomeUnknown ||
				time.Since(began) != publishTime+time.Duration(i)*time.Second {
				t.Errorf("after %s: %s", time.Since(began), f)
			}
		}
		close(release)
		synctest.Wait() // what comes now is answered no more
		c.alive()
	})
}

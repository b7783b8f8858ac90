// SPDX-License-Identifier: Apache-2.0

package ws

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/wire"
)

func offsetsBody(offsets ...int64) (body []byte) {
	var before int64
	for _, o := range offsets {
		body, before = wire.AppendOffset(body, before, o), o
	}
	return body
}

func TestAckOffsets(t *testing.T) {
	var seen []autobus.Settlement
	c := dial(t, serve(t, &fakeBus{settle: judge(&seen)}))
	c.sendBinary(`{"op":"ack","seq":1,"lease":"l","outcome":"retry","delay":"10m","reason":"because"}`,
		offsetsBody(17, 19, 3))
	f, header, body := c.nextBinary()
	if header != `{"op":"acked","seq":1}` || !f.is("acked", 1) || len(body) > 0 {
		t.Errorf("%s, %q", header, body)
	}
	want := autobus.Outcome{Kind: autobus.Retry, Delay: 10 * time.Minute, Reason: "because"}
	for i, lease := range []autobus.Lease{"l.17", "l.19", "l.3"} {
		if seen[i].Lease != lease || seen[i].Outcome != want || seen[i].Subscription != "" {
			t.Errorf("settlement %d: %+v", i, seen[i])
		}
	}
	c.sendBinary(`{"op":"ack","seq":2,"lease":"s","outcome":"ack"}`, offsetsBody(5, 0))
	f, _, _ = c.nextBinary()
	var told []string
	for _, r := range f.Results {
		told = append(told, fmt.Sprint(r.Index, " ", r.Lease, " ", r.Status))
	}
	if !f.is("acked", 2) || !slices.Equal(told, []string{"0 s.5 stale", "1 s.0 stale"}) {
		t.Errorf("%v", told)
	}
	// Without a seq it is answered as ever.
	c.sendBinary(`{"op":"ack","lease":"l","outcome":"ack"}`, offsetsBody(20))
	c.sendBinary(`{"op":"ack","lease":"s","outcome":"ack"}`, offsetsBody(6))
	if f := c.next(); !f.is("stale", 0) || !slices.Equal(f.Leases, []string{"s.6"}) {
		t.Errorf("%s", f)
	}
	c.sendBinary(`{"op":"ack","seq":3,"lease":"l","outcome":"skip"}`, nil)
	if f, _, _ := c.nextBinary(); !f.is("acked", 3) || f.Results != nil {
		t.Errorf("%s", f)
	}
}

func TestAcksOfOffsetsThatTheBusDoesNotTake(t *testing.T) {
	c := dial(t, serve(t, &fakeBus{settle: func(context.Context, []autobus.Settlement) error {
		return autobus.NewError(autobus.ReasonClusterUnreachable, "gone")
	}}))
	c.sendBinary(`{"op":"ack","seq":1,"lease":"l","outcome":"ack"}`, offsetsBody(1))
	if f := c.next(); !f.fails(1, autobus.ReasonClusterUnreachable) {
		t.Errorf("%s", f)
	}
	c.sendBinary(`{"op":"ack","lease":"l","outcome":"ack"}`, offsetsBody(1, 2))
	if f := c.next(); !f.fails(0, autobus.ReasonClusterUnreachable) || !slices.Equal(f.Leases, []string{"l.1", "l.2"}) {
		t.Errorf("%s", f)
	}
}

func TestASubscriptionThatABinaryFrameOpened(t *testing.T) {
	bus, calls := groups()
	c := dial(t, serve(t, bus))
	c.sendBinary(`{"op":"subscribe","seq":8,"subscription":"x","window":{"events":5}}`, nil)
	if f := c.next(); !f.is("subscribed", 8) {
		t.Fatal(f)
	}
	o := <-calls
	deadline := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	var ds []autobus.Delivery
	for i := range 4 {
		d := autobus.Delivery{Event: keyed(fmt.Sprint(i), "k", "\x00data"), Partition: int32(i / 2), Offset: int64(10 * i),
			Attempt: 1 + i%2, Fence: 7, Deadline: deadline}
		d.Lease = autobus.Lease(fmt.Sprint("l", d.Partition)).At(d.Offset)
		d.Key = []byte("k")
		ds = append(ds, d)
	}
	o.hand(o.ctx, ds)
	for partition := range 2 {
		_, header, body := c.nextBinary()
		var h wire.Events
		if err := autobus.StrictJSON([]byte(header), &h); err != nil {
			t.Fatal(err)
		}
		got, bad := h.Deliveries(body)
		if bad != nil || h.Op != "events" || h.Subscription != "x" || h.Seq != nil || len(got) != 2 {
			t.Fatalf("%s: %v", header, bad)
		}
		for i, d := range got {
			want := ds[2*partition+i]
			if d.Lease != want.Lease || d.Offset != want.Offset || d.Partition != want.Partition || d.Fence != 7 ||
				d.Attempt != want.Attempt || !d.Deadline.Equal(deadline) || d.ID != want.ID || string(d.Key) != "k" ||
				string(d.Data) != "\x00data" {
				t.Errorf("got %+v, want %+v", d, want)
			}
		}
	}
	// Everything else about it is text.
	o.Revoke([]autobus.Lease{"l0.0"})
	if f := c.next(); f.Op != "revoke" || f.Leases[0] != "l0.0" {
		t.Errorf("%s", f)
	}
	c.sendBinary(`{"op":"window","subscription":"x","window":{"events":3}}`, nil)
	if w := <-o.Resize; w.Events != 3 {
		t.Errorf("%+v", w)
	}
	c.sendBinary(`{"op":"unsubscribe","seq":9,"subscription":"x"}`, nil)
	if f := c.next(); !f.is("unsubscribed", 9) {
		t.Errorf("%s", f)
	}
	c.sendBinary(`{"op":"tail","seq":10,"types":["a.*"]}`, nil)
	if f := c.next(); !f.is("subscribed", 10) {
		t.Errorf("%s", f)
	}
	o = <-calls
	o.hand(o.ctx, []autobus.Delivery{{Event: keyed("t", "k", "{}"), Partition: 2, Offset: 9}})
	want := `{"op":"events","seq":10,"type":"a.b.v1","source":"/s","partition":2,"base_offset":9}`
	if _, header, _ := c.nextBinary(); header != want {
		t.Errorf("%s, want %s", header, want)
	}
}

// FuzzBinary has anything done as a binary frame: it publishes all that can be read of it, or nothing.
func FuzzBinary(f *testing.F) {
	for _, h := range []string{publishHeader(1, `,"mode":"ordered","stream":5`), `{"op":"tail","seq":1,"types":["a.*"]}`,
		`{"op":"subscribe","seq":1,"subscription":"x","create":{"types":["a.*"]}}`, `{"op":"auth","token":"x"}`} {
		f.Add(wire.AppendHeader(nil, []byte(h)))
		f.Add(append(wire.AppendHeader(nil, []byte(h)), records(keyed("1", "k", "{}"), keyed("2", "k", ""))...))
	}
	f.Add(append(wire.AppendHeader(nil, []byte(`{"op":"ack","seq":1,"lease":"l","outcome":"retry","delay":"1s"}`)),
		offsetsBody(1, 2, 1)...))
	f.Fuzz(func(t *testing.T, raw []byte) {
		c := fuzzed(t, raw, func(c *conn) {
			c.frames = true
			c.readBinary(raw)
		})
		for m, _, ok := c.out.next(); ok; m, _, ok = c.out.next() {
			answer := m.frame
			if m.answer != nil {
				answer = c.appendPublished(nil, m.answer)
				_, body, bad := wire.Split(answer)
				if bad == nil {
					bad = wire.ReadReceipts(body, m.answer.parcel.Len(), func(int, autobus.Receipt) {})
				}
				if bad != nil {
					t.Errorf("%q: %v", answer, bad)
				}
			}
			if len(answer) == 0 || m.kind == websocket.MessageText && answer[0] != '{' {
				t.Errorf("the answer is %q", answer)
			}
		}
	})
}

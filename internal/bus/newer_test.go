// SPDX-License-Identifier: Apache-2.0

package bus_test

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/bus"
	"github.com/autobus-io/autobus/internal/control"
	"github.com/autobus-io/autobus/internal/kafka"
)

// These tests are an instance of this version beside one of the next, which has written what this one cannot read.

// newer writes a control record of the version to come in place of the one in force.
func (f *fixture) newer(t *testing.T, kind, name string) {
	t.Helper()
	current, _ := f.control.Get(kind, name)
	if _, err := f.control.Change(t.Context(), control.Record{Version: control.Version + 1, Kind: kind, Name: name,
		Prev: current.Offset, Value: json.RawMessage(`{"of": "the future"}`)}); err != nil {
		t.Fatal(err)
	}
}

func TestATypeWithANewerRouteIsRefusedAlone(t *testing.T) {
	f := open(t)
	note := autobus.Event{Type: notes, Data: []byte(`{}`), Key: []byte("n")}
	f.one(t, note)
	f.orders(t, 1, "a")
	both := earliest
	both.Types = []string{orders, notes}
	f.put(t, "both", both)
	w := f.worker(t, autobus.Subscription{Name: "both"})
	first := []autobus.Delivery{w.next(t), w.next(t)}
	for _, d := range first {
		w.ack(t, d)
	}

	f.newer(t, control.KindRoute, notes)
	if rc := f.one(t, note); rc.Status != autobus.Refused || reason(rc) != autobus.ReasonTypeUnreadable ||
		!rc.Err.Retriable() {
		t.Errorf("a publish: %+v", rc)
	}
	if err := f.Subscribe(f.ctx, autobus.Subscription{Tail: []string{notes}}, nil); reasonOf(err) !=
		autobus.ReasonTypeUnreadable {
		t.Errorf("a tail: %v", err)
	}
	_, err := f.PutSubscription(f.ctx, "new", autobus.Policy{Types: []string{"notes.*"}}, bus.Audit{})
	if reasonOf(err) != autobus.ReasonTypeUnreadable {
		t.Errorf("a new subscription: %v", err)
	}
	// The other type goes on: for publishers, tails and the subscription that has both.
	tail, _ := f.tail(f.ctx, t, autobus.Subscription{Tail: []string{"*"}})
	if rc := f.one(t, order("b", "1")); rc.Status != autobus.Written {
		t.Errorf("the other type: %+v", rc)
	}
	if d := <-tail; d.Type != orders {
		t.Errorf("a tail of all got %+v", d.Event)
	}
	d := w.next(t)
	if d.Type != orders || string(d.Key) != "b" {
		t.Errorf("the subscription got %+v", d.Event)
	}
	w.ack(t, d)
	if st := f.status(notes); st.Refused != autobus.ReasonTypeUnreadable || st.Detail == "" {
		t.Errorf("status %+v", st)
	}
	if names := f.control.Newer(); len(names) != 1 || names[0].Name != notes {
		t.Errorf("newer: %+v", names)
	}
}

func TestANewerSubscriptionIsRefusedAlone(t *testing.T) {
	f := open(t)
	f.orders(t, 2, "a")
	f.put(t, "shop", earliest)
	f.put(t, "other", earliest)
	w, other := f.worker(t, autobus.Subscription{Name: "shop"}), f.worker(t, autobus.Subscription{Name: "other"})
	w.next(t)
	f.newer(t, control.KindSubscription, "shop")
	<-w.ended
	if reasonOf(w.err) != autobus.ReasonTypeUnreadable {
		t.Errorf("the session ended with %v", w.err)
	}
	if err := f.Subscribe(f.ctx, autobus.Subscription{Name: "shop"}, nil); reasonOf(err) != autobus.ReasonTypeUnreadable {
		t.Errorf("another session: %v", err)
	}
	if _, err := f.PutSubscription(f.ctx, "shop", earliest, bus.Audit{}); reasonOf(err) != autobus.ReasonTypeUnreadable {
		t.Errorf("it was made anew: %v", err)
	}
	if d := other.next(t); string(d.Key) != "a" {
		t.Errorf("%+v", d)
	}
	list, err := f.Subscriptions(f.ctx)
	if err != nil || len(list) != 2 || list[1].Name != "shop" || list[1].State != "unreadable" {
		t.Errorf("%+v, %v", list, err)
	}
}

func TestANewerManifestMakesNoTypeUnknown(t *testing.T) {
	newer := autobus.NewError(autobus.ReasonTypeUnreadable, "the manifest has version 2")
	f := open(t, func(c *bus.Config, _ *kafka.Config) { c.Unreadable = func() *autobus.Error { return newer } })
	if rc := f.one(t, autobus.Event{Type: "orders.order.paid.v1", Data: []byte(`{}`)}); reason(rc) !=
		autobus.ReasonTypeUnreadable || !strings.Contains(rc.Err.Detail, "version 2") {
		t.Errorf("%+v", rc)
	}
	if rc := f.one(t, order("a", "1")); rc.Status != autobus.Written {
		t.Errorf("a type that is known: %+v", rc)
	}
}

// commitNewer commits a position as a version to come might.
func (f *fixture) commitNewer(t *testing.T, group string, tp kafka.TP, at int64) {
	t.Helper()
	body := []byte("\x02 of the future")
	body = binary.BigEndian.AppendUint32(body, crc32.Checksum(body, crc32.MakeTable(crc32.Castagnoli)))
	c, err := kgo.NewClient(kgo.SeedBrokers(f.broker.Addr()))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	offsets := kadm.Offsets{}
	offsets.Add(kadm.Offset{Topic: tp.Topic, Partition: tp.Partition, At: at, LeaderEpoch: -1,
		Metadata: base64.RawStdEncoding.EncodeToString(body)})
	if err := kadm.NewClient(c).CommitAllOffsets(t.Context(), group, offsets); err != nil {
		t.Fatal(err)
	}
}

// keyOf gives a key of a partition of orders.
func keyOf(partition int32) string {
	for i := 0; ; i++ {
		if k := fmt.Sprint("k", i); kafka.PartitionOf(kafka.Murmur2, []byte(k), 4) == partition {
			return k
		}
	}
}

func TestAPartitionWithANewerPositionStandsAlone(t *testing.T) {
	f := open(t)
	f.SetLinger(time.Millisecond)
	stands, goes := keyOf(1), keyOf(2)
	f.orders(t, 8, stands, goes)
	f.put(t, "shop", earliest)
	tp := kafka.TP{Topic: orders, Partition: 1}
	f.commitNewer(t, "shop", tp, 2)
	w := f.worker(t, autobus.Subscription{Name: "shop"})
	for range 4 {
		d := w.next(t)
		if string(d.Key) != goes {
			t.Fatalf("partition %d, offset %d was delivered", d.Partition, d.Offset)
		}
		w.ack(t, d)
	}
	st := f.Status().Unreadable
	if len(st) != 1 || st[0].Kind != "partition" || st[0].Name != "shop "+orders+"/1" || st[0].Subscription != "shop" ||
		!strings.Contains(st[0].Detail, "newer version") {
		t.Errorf("status %+v", st)
	}
	info, err := f.Describe(f.ctx, "shop")
	if err != nil || info.Instance == nil || !slices.ContainsFunc(info.Instance.Partitions,
		func(p bus.InstancePartition) bool { return p.Partition == 1 && p.Unreadable }) {
		t.Errorf("%+v, %v", info.Instance, err)
	}
	// What the newer version committed is still there for it.
	w.leave(t, nil)
	f.awaitGone(t, "shop")
	commits, err := f.log.Committed(t.Context(), "shop")
	if err != nil || commits[tp].Offset != 2 {
		t.Errorf("committed %+v, %v", commits[tp], err)
	}
}

// appendNewer writes an event in a form to come.
func (f *fixture) appendNewer(t *testing.T, key string) (at int64) {
	t.Helper()
	partition := kafka.PartitionOf(kafka.Murmur2, []byte(key), 4)
	at, err := f.log.Write(t.Context(), kafka.Record{TP: kafka.TP{Topic: orders, Partition: partition}, Key: []byte(key),
		Value: []byte("\x00 of the future"), Time: time.Now(), Headers: []kafka.Header{
			{Key: "ce_id", Value: []byte("1")}, {Key: "autobus-form", Value: []byte("2")}}})
	if err != nil {
		t.Fatal(err)
	}
	return at
}

func TestAnEventOfANewerFormHoldsUpItsPartitionAlone(t *testing.T) {
	f := open(t)
	f.SetLinger(time.Millisecond)
	stands, goes := keyOf(1), keyOf(2)
	f.orders(t, 2, stands)
	at := f.appendNewer(t, stands)
	f.orders(t, 2, stands)
	f.orders(t, 3, goes)
	f.put(t, "shop", earliest)
	w := f.worker(t, autobus.Subscription{Name: "shop"})
	for range 5 {
		d := w.next(t)
		if string(d.Key) == stands && d.Offset >= at {
			t.Fatalf("offset %d was delivered, and %d was not", d.Offset, at)
		}
		w.ack(t, d)
	}
	if st := f.Status().Unreadable; len(st) != 1 || !strings.Contains(st[0].Detail, `form "2"`) {
		t.Errorf("status %+v", st)
	}
	w.leave(t, nil)
	f.awaitGone(t, "shop")
	commits, err := f.log.Committed(t.Context(), "shop")
	if tp := (kafka.TP{Topic: orders, Partition: 1}); err != nil || commits[tp].Offset != at {
		t.Errorf("committed %+v, %v; want offset %d", commits[tp], err, at)
	}

	// A tail ends before it, with the reason.
	var got []int64
	tail, ended := f.tail(f.ctx, t, autobus.Subscription{Tail: []string{orders}, From: autobus.Start{Earliest: true},
		Filter: fmt.Sprintf("key == %q", stands)})
	if err := <-ended; reasonOf(err) != autobus.ReasonTypeUnreadable {
		t.Errorf("the tail ended with %v", err)
	}
	for len(tail) > 0 {
		got = append(got, (<-tail).Offset)
	}
	if len(got) > 0 && got[len(got)-1] >= at {
		t.Errorf("the tail got %v", got)
	}
}

func TestALeaseOfANewerVersionIsNotCalledForged(t *testing.T) {
	f := open(t)
	f.orders(t, 1, "a")
	f.put(t, "shop", earliest)
	w := f.worker(t, autobus.Subscription{Name: "shop"})
	d := w.next(t)
	frame, offset, _ := d.Lease.Cut()
	raw, err := base64.RawURLEncoding.DecodeString(string(frame))
	if err != nil {
		t.Fatal(err)
	}
	for version, want := range map[byte]autobus.Reason{3: autobus.ReasonLeaseUnreadable, 5: autobus.ReasonLeaseUnreadable,
		1: autobus.ReasonLeaseUnknown, 6: autobus.ReasonLeaseUnknown} {
		raw[0] = version
		lease := autobus.Lease(base64.RawURLEncoding.EncodeToString(raw)).At(offset)
		if err := f.settle(t, lease, autobus.Outcome{Kind: autobus.Ack}); err == nil || err.Reason != want {
			t.Errorf("version %d: %v, want %s", version, err, want)
		}
	}
	w.ack(t, d)
}

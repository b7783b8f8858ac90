// SPDX-License-Identifier: Apache-2.0

package bus_test

import (
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/kafka"
)

// Retention deletes what a subscription has not read: the partition stands and says so, the others go on, and nothing
// jumps.
func TestALostPositionIsToldAndNothingJumps(t *testing.T) {
	f := open(t)
	f.orders(t, 40, "a", "b", "c", "d", "e", "f", "g", "h")
	f.put(t, "shop", earliest)
	ends, err := f.log.Ends(t.Context(), orders)
	if err != nil {
		t.Fatal(err)
	}
	var cut kafka.TP
	rest := 0
	for tp, end := range ends {
		if end > ends[cut] {
			cut = tp
		}
		rest += int(end)
	}
	rest -= int(ends[cut])
	f.cut(t, cut, 3)
	lost := make(chan autobus.PositionLost, 1)
	w := f.worker(t, autobus.Subscription{Name: "shop", Lost: func(l autobus.PositionLost) { lost <- l }})
	want := autobus.PositionLost{Type: orders, Partition: cut.Partition, From: 0, To: 3}
	if got := <-lost; got != want {
		t.Errorf("told %+v, want %+v", got, want)
	}
	for range rest {
		d := w.next(t)
		if d.Partition == cut.Partition {
			t.Fatalf("offset %d of the lost partition came", d.Offset)
		}
		w.ack(t, d)
	}
	late := make(chan autobus.PositionLost, 1)
	f.worker(t, autobus.Subscription{Name: "shop", Lost: func(l autobus.PositionLost) { late <- l }})
	if got := <-late; got != want {
		t.Errorf("who comes later is told %+v, want %+v", got, want)
	}
}

// Kafka forgets what a group committed when nobody uses it for long. The copy in the state log does not.
func TestThePositionOutlivesTheCommit(t *testing.T) {
	f := open(t)
	f.SetLinger(time.Millisecond)
	f.orders(t, 5, "a")
	f.put(t, "shop", earliest)
	w := f.worker(t, autobus.Subscription{Name: "shop"})
	var last autobus.Delivery
	for range 3 {
		last = w.next(t)
		w.ack(t, last)
	}
	w.leave(t, nil)
	f.awaitGone(t, "shop")
	if err := f.log.DeleteGroup(t.Context(), "shop"); err != nil {
		t.Fatal(err)
	}
	w = f.worker(t, autobus.Subscription{Name: "shop"})
	if d := w.next(t); d.Offset != last.Offset+1 || d.Fence>>32 != last.Fence>>32+1 {
		t.Errorf("it goes on with %+v after %+v", d, last)
	}
}

// A dead letter that cannot be written is tried again; until it is written its key waits and the others go on.
func TestADeadLetterIsTriedUntilItIsWritten(t *testing.T) {
	c, err := kfake.NewCluster(kfake.NumBrokers(1))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	f := openOn(t, c.ListenAddrs()[0])
	f.orders(t, 4, "a", "b")
	f.put(t, "shop", earliest)
	// The brokers refuse it for good, so the client gives up and the bus has to come again.
	fault := c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: "dlq.shop", Err: kerr.InvalidRecord, Count: 2})
	w := f.worker(t, autobus.Subscription{Name: "shop"})
	got := map[string]autobus.Delivery{}
	for range 2 {
		d := w.next(t)
		got[string(d.Key)] = d
	}
	w.settle(t, got["a"], autobus.Outcome{Kind: autobus.Reject, Reason: "never"})
	w.ack(t, got["b"])
	if d := w.next(t); string(d.Key) != "b" {
		t.Errorf("%s came before the letter was written", d.Key)
	} else {
		w.ack(t, d)
	}
	if err := fault.Wait(t.Context(), 2); err != nil {
		t.Fatal(err)
	}
	if d := w.next(t); string(d.Key) != "a" {
		t.Errorf("%s came", d.Key)
	}
	if dead := f.records(t, "dlq.shop"); len(dead) != 1 {
		t.Errorf("%d dead letters", len(dead))
	}
}

// cut moves the start of a partition, as retention does.
func (f *fixture) cut(t *testing.T, tp kafka.TP, before int64) {
	t.Helper()
	c, err := kgo.NewClient(kgo.SeedBrokers(f.broker.Addr()))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	var o kadm.Offsets
	o.AddOffset(tp.Topic, tp.Partition, before, -1)
	if _, err := kadm.NewClient(c).DeleteRecords(t.Context(), o); err != nil {
		t.Fatal(err)
	}
}

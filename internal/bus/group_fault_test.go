// SPDX-License-Identifier: Apache-2.0

package bus_test

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/bus"
	"github.com/autobus-io/autobus/internal/control"
	"github.com/autobus-io/autobus/internal/kafka"
	"github.com/autobus-io/autobus/spec"
)

// another starts a second instance on the same broker. stop ends it with all it has.
func (f *fixture) another(t *testing.T) (b *fixture, stop func(drain bool)) {
	t.Helper()
	return f.instance(t, "other", nil)
}

// instance starts an instance of a name that reaches the broker by dial.
func (f *fixture) instance(t *testing.T, name string, dial func(context.Context, string, string) (net.Conn, error)) (
	b *fixture, stop func(drain bool)) {
	t.Helper()
	snapshot, err := spec.Parse(spec.Files{"order.yaml": []byte(orderSpec), "note.yaml": []byte(noteSpec)})
	if err != nil {
		t.Fatal(err)
	}
	logger := slog.New(slog.DiscardHandler)
	b = &fixture{broker: f.broker, ctx: f.ctx}
	if b.log, err = kafka.Open(t.Context(), kafka.Config{Name: "main", Brokers: []string{f.broker.Addr()},
		Logger: logger, Dial: dial}); err != nil {
		t.Fatal(err)
	}
	if b.control, err = control.Open(t.Context(), b.log, logger); err != nil {
		t.Fatal(err)
	}
	if b.state, err = control.OpenState(t.Context(), b.log, logger); err != nil {
		t.Fatal(err)
	}
	b.Bus = bus.New(bus.Config{Embedded: true, Logger: logger, Snapshot: func() *spec.Snapshot { return snapshot },
		Log: b.log, Control: b.control, State: b.state, Instance: name})
	ctx, cancel := context.WithCancel(context.Background())
	parts := []func(context.Context) error{b.control.Run, b.state.Run, b.Run}
	done := make(chan error, len(parts))
	for _, run := range parts {
		go func() { done <- run(ctx) }()
	}
	stopped := false
	stop = func(drain bool) {
		if stopped {
			return
		}
		stopped = true
		if drain {
			b.DrainDeliveries(t.Context())
		}
		cancel()
		for range parts {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
		ended, end := context.WithCancel(context.Background())
		end()
		_ = b.log.Close(ended) // one that is cut off cannot flush
	}
	t.Cleanup(func() { stop(false) })
	return b, stop
}

func TestPartitionsMoveWithTheirPositions(t *testing.T) {
	f := open(t)
	f.orders(t, 40, "a", "b", "c", "d", "e", "f", "g", "h")
	f.put(t, "shop", earliest)
	seen := map[string]int{}
	w := f.worker(t, autobus.Subscription{Name: "shop"})
	for range 10 {
		d := w.next(t)
		seen[fmt.Sprint(d.Partition, "/", d.Offset)]++
		w.ack(t, d)
	}
	other, stop := f.another(t)
	x := other.worker(t, autobus.Subscription{Name: "shop"})
	f.orders(t, 40, "a", "b", "c", "d", "e", "f", "g", "h")
	deadline := time.After(patience)
	both := 0
	for len(seen) < 80 {
		var d autobus.Delivery
		from := w
		select {
		case d = <-w.got:
		case d = <-x.got:
			from = x
			both++
		case <-deadline:
			t.Fatalf("%d of 80 events came", len(seen))
		}
		if err := from.f.settle(t, d.Lease, autobus.Outcome{Kind: autobus.Ack}); err == nil {
			seen[fmt.Sprint(d.Partition, "/", d.Offset)]++
		}
	}
	for at, n := range seen {
		if n > 1 {
			t.Errorf("%s was acked %d times", at, n)
		}
	}
	if both == 0 {
		t.Log("the second instance got no partition in time") // the first may have been done before the rebalance
	}
	stop(true)
}

func TestWhatSomebodyElseCommittedDoesNotCount(t *testing.T) {
	for name, metadata := range map[string]string{
		"garbage": "\x00\xff not ours", "none": "", "oversized": strings.Repeat("A", 4000),
	} {
		t.Run(name, func(t *testing.T) {
			reg := prometheus.NewRegistry()
			f := open(t, func(b *bus.Config, _ *kafka.Config) { b.Metrics = reg })
			f.SetLinger(time.Millisecond)
			f.orders(t, 8, "a")
			f.put(t, "shop", earliest)
			w := f.worker(t, autobus.Subscription{Name: "shop"})
			for range 3 {
				w.ack(t, w.next(t))
			}
			held := w.next(t)
			w.leave(t, nil)
			f.awaitGone(t, "shop")

			// Someone moves the position beyond what is done.
			c, err := kgo.NewClient(kgo.SeedBrokers(f.broker.Addr()))
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			offsets := kadm.Offsets{}
			offsets.Add(kadm.Offset{Topic: orders, Partition: held.Partition, At: 7, LeaderEpoch: -1, Metadata: metadata})
			if err := kadm.NewClient(c).CommitAllOffsets(t.Context(), "shop", offsets); err != nil {
				t.Fatal(err)
			}
			w = f.worker(t, autobus.Subscription{Name: "shop"})
			d := w.next(t)
			if d.Offset > held.Offset {
				t.Errorf("it goes on at %d, and %d was not acked", d.Offset, held.Offset)
			}
			if n := counted(t, reg, "autobus_positions_unreadable_total"); n != 1 {
				t.Errorf("the alarm was raised %v times", n)
			}
			for d.Offset < 7 {
				w.ack(t, d)
				d = w.next(t)
			}
			w.ack(t, d)
		})
	}
}

// counted is the value of a counter without labels.
func counted(t *testing.T, reg *prometheus.Registry, name string) float64 {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			m := f.GetMetric()[0] // of the two it has one
			return m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	t.Fatalf("there is no %s", name)
	return 0
}

// awaitGone waits until the group has no members.
func (f *fixture) awaitGone(t *testing.T, group string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for {
		g, err := f.log.DescribeGroup(ctx, group)
		if err != nil {
			t.Fatal(err)
		}
		if len(g.Members) == 0 {
			return
		}
	}
}

func TestABlockedKeyDoesNotStopTheOthersWithinTheSpan(t *testing.T) {
	f := open(t)
	p := earliest
	p.Types = []string{notes}
	f.put(t, "shop", p)
	const n = 6000
	one := func(key string) autobus.Event {
		return autobus.Event{Type: notes, Data: []byte(`{}`), Extensions: []autobus.Extension{{Name: "partitionkey",
			Value: key}}}
	}
	// All in one partition, the first one's key once more at the end.
	b := &autobus.Batch{Events: []autobus.Event{one("k")}}
	for len(b.Events) < 1000 {
		b.Events = append(b.Events, one("k"))
	}
	b.Events[0].Data = []byte(`{"text":"first"}`)
	for i := 1; i < 1000; i++ {
		b.Events[i].Extensions = nil // laneless; sticky partitions, so spread them over the topic
	}
	f.publish(f.ctx, t, b)
	for range n/1000 - 1 {
		more := &autobus.Batch{}
		for range 1000 {
			more.Events = append(more.Events, autobus.Event{Type: notes, Data: []byte(`{}`)})
		}
		f.publish(f.ctx, t, more)
	}
	w := f.worker(t, autobus.Subscription{Name: "shop", Window: &autobus.Window{Events: 500}})
	var blocked *autobus.Delivery
	for done := 0; done < n-1; {
		d := w.next(t)
		if string(d.Key) == "k" {
			if blocked != nil {
				t.Fatal("the event of the blocked key came twice")
			}
			blocked = &d
			continue
		}
		w.ack(t, d)
		done++
		if done == n/2 && blocked != nil {
			w.settle(t, *blocked, autobus.Outcome{Kind: autobus.Extend})
		}
	}
	w.ack(t, *blocked)
}

func TestDrainHandsEverythingBack(t *testing.T) {
	f := open(t)
	f.orders(t, 20, "a", "b", "c", "d")
	f.put(t, "shop", earliest)
	other, stop := f.another(t)
	told := make(chan time.Time, 1)
	w := other.worker(t, autobus.Subscription{Name: "shop", Draining: func(at time.Time) { told <- at }})
	acked := map[string]bool{}
	at := func(d autobus.Delivery) string { return fmt.Sprint(d.Partition, "/", d.Offset) }
	d1, d2 := w.next(t), w.next(t)
	w.ack(t, d1)
	acked[at(d1)] = true
	drained := make(chan struct{})
	go func() { defer close(drained); other.DrainDeliveries(t.Context()) }()
	<-told
	w.ack(t, d2) // while it drains
	acked[at(d2)] = true
	for len(w.got) > 0 {
		d := <-w.got
		w.ack(t, d)
		acked[at(d)] = true
	}
	<-drained
	if <-w.ended; reasonOf(w.err) != autobus.ReasonShuttingDown {
		t.Errorf("the session ended with %v", w.err)
	}
	stop(true)
	x := f.worker(t, autobus.Subscription{Name: "shop"})
	for range 20 - len(acked) {
		d := x.next(t)
		if acked[at(d)] {
			t.Errorf("%s was acked and comes again", at(d))
		}
		x.ack(t, d)
	}
}

// While positions cannot be committed, deliveries go on; what was acked meanwhile is committed when that works again.
func TestDeliveriesGoOnWhileCommitsFail(t *testing.T) {
	c, err := kfake.NewCluster(kfake.NumBrokers(1))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	f := openOn(t, c.ListenAddrs()[0])
	f.orders(t, 2, "a")
	f.put(t, "shop", earliest)
	w := f.worker(t, autobus.Subscription{Name: "shop"})
	w.ack(t, w.next(t)) // the partition is open
	fault := c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.OffsetCommit}, Err: kerr.NotEnoughReplicas, Count: -1})
	d := w.next(t)
	w.ack(t, d)
	for n := range 3 {
		f.orders(t, 10, "a", "b", "c")
		for range 10 {
			w.ack(t, w.next(t))
		}
		if err := fault.Wait(t.Context(), n+1); err != nil { // a commit failed meanwhile
			t.Fatal(err)
		}
	}
	fault.Remove()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for {
		commits, err := f.log.Committed(ctx, "shop")
		if err != nil {
			t.Fatal(err)
		}
		total := int64(0)
		for _, c := range commits {
			total += c.Offset
		}
		if total == 32 {
			return
		}
	}
}

// An error of one partition is tried again, and the others go on meanwhile.
func TestAPartitionThatCannotBeReadIsTriedAgain(t *testing.T) {
	c, err := kfake.NewCluster(kfake.NumBrokers(1))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	f := openOn(t, c.ListenAddrs()[0])
	f.put(t, "shop", earliest)
	bad := f.one(t, order("a", "1")).Partition
	fault := c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Fetch}, Topic: orders, Partitions: []int32{bad},
		Err: kerr.UnknownServerError, Count: -1})
	w := f.worker(t, autobus.Subscription{Name: "shop"})
	if err := fault.Wait(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	f.orders(t, 8, "b", "c", "d", "e", "f", "g", "h", "i")
	d := w.next(t)
	if d.Partition == bad {
		t.Fatalf("%+v came", d)
	}
	w.ack(t, d)
	fault.Remove()
	for {
		d := w.next(t)
		w.ack(t, d)
		if d.Partition == bad {
			return
		}
	}
}

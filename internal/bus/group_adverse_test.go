// SPDX-License-Identifier: Apache-2.0

package bus_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/bus"
	"github.com/autobus-io/autobus/internal/kafka"
)

// client is a Kafka client beside the bus.
func (f *fixture) client(t *testing.T, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	c, err := kgo.NewClient(append(opts, kgo.SeedBrokers(f.broker.Addr()))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// A topic appears after a subscription was made, and is read from its beginning. A later change of the policy, whatever
// it is about, does not move the subscription to the topic's end.
func TestAChangedPolicySkipsNothing(t *testing.T) {
	f := open(t, func(c *bus.Config, _ *kafka.Config) {
		c.CreateType = func(context.Context, string) error { return nil }
	})
	p := earliest
	p.Types, p.Start = []string{"late.*"}, autobus.Start{}
	f.put(t, "shop", p)
	w := f.worker(t, autobus.Subscription{Name: "shop", Window: &autobus.Window{Events: 1}})
	const late = "late.thing.sent.v1"
	f.route(t, late, 1, true)
	for i := range 10 {
		if rc := f.one(t, autobus.Event{Type: late, Data: fmt.Append(nil, i)}); rc.Err != nil {
			t.Fatal(rc.Err)
		}
	}
	for n := range 3 {
		if d := w.next(t); d.Offset != int64(n) {
			t.Fatalf("offset %d came", d.Offset)
		} else {
			w.ack(t, d)
		}
	}
	p.AckWait = autobus.Duration(20 * time.Second)
	f.put(t, "shop", p)
	for last := int64(2); last < 9; {
		d := w.next(t)
		if d.Offset > last+1 {
			t.Fatalf("after offset %d came %d", last, d.Offset)
		}
		last = d.Offset
		if err := f.settle(t, d.Lease, autobus.Outcome{Kind: autobus.Ack}); err != nil {
			last-- // the change took it away, so it comes again
		}
	}
}

// A policy grows beyond what a connected worker may read: its session ends.
func TestAWorkerGetsNothingThatItMayNotRead(t *testing.T) {
	f := open(t)
	f.put(t, "shop", earliest)
	poor := *f
	poor.ctx = as("poor", autobus.Grant{Verb: autobus.VerbSubscribe, Pattern: "shop"},
		autobus.Grant{Verb: autobus.VerbSubscribe, Pattern: orders})
	w := poor.worker(t, autobus.Subscription{Name: "shop"})
	f.orders(t, 1, "a")
	w.ack(t, w.next(t))
	p := earliest
	p.Types = []string{orders, notes}
	f.put(t, "shop", p)
	f.one(t, autobus.Event{Type: notes, Data: []byte(`{"text":"secret"}`)})
	if <-w.ended; reasonOf(w.err) != autobus.ReasonForbidden || len(w.got) > 0 {
		t.Errorf("the session ended with %v, and %d events came", w.err, len(w.got))
	}
	err := poor.Subscribe(poor.ctx, autobus.Subscription{Name: "shop"}, func(context.Context, []autobus.Delivery) {})
	if reasonOf(err) != autobus.ReasonForbidden {
		t.Errorf("it comes again: %v", err)
	}
}

// A topic is deleted and made again, with more events than the old one had: where the subscription stood in that one
// means nothing here.
func TestATopicMadeAgainIsALostPosition(t *testing.T) {
	f := open(t)
	f.SetLinger(time.Millisecond)
	f.orders(t, 5, "a")
	f.put(t, "shop", earliest)
	w := f.worker(t, autobus.Subscription{Name: "shop"})
	var partition int32
	for range 5 {
		d := w.next(t)
		partition = d.Partition
		w.ack(t, d)
	}
	w.leave(t, nil)
	f.awaitGone(t, "shop")
	c := f.client(t, kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if _, err := kadm.NewClient(c).DeleteTopics(t.Context(), orders); err != nil {
		t.Fatal(err)
	}
	if _, err := f.log.CreateTopic(t.Context(), kafka.NewTopic{Name: orders, Partitions: 4, Replicas: 1}); err != nil {
		t.Fatal(err)
	}
	for range 9 {
		r := &kgo.Record{Topic: orders, Partition: partition, Key: []byte("a"), Value: []byte(`{}`)}
		if err := c.ProduceSync(t.Context(), r).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	lost := make(chan autobus.PositionLost, 8)
	w = f.worker(t, autobus.Subscription{Name: "shop", Lost: func(l autobus.PositionLost) { lost <- l }})
	for l := range lost {
		if l.Partition == partition {
			break
		}
	}
	if len(w.got) > 0 {
		t.Errorf("%d events came", len(w.got))
	}
}

// Somebody deletes the topic of the dead letters: it is made anew, and no key waits for ever.
func TestDeletedDeadLettersAreMadeAnew(t *testing.T) {
	f := open(t)
	f.put(t, "shop", earliest)
	w := f.worker(t, autobus.Subscription{Name: "shop"})
	f.orders(t, 2, "a")
	w.settle(t, w.next(t), autobus.Outcome{Kind: autobus.Reject})
	w.ack(t, w.next(t))
	if _, err := kadm.NewClient(f.client(t)).DeleteTopics(t.Context(), "dlq.shop"); err != nil {
		t.Fatal(err)
	}
	f.orders(t, 2, "a")
	w.settle(t, w.next(t), autobus.Outcome{Kind: autobus.Reject})
	w.ack(t, w.next(t))                      // it comes when the letter is written
	for len(f.records(t, "dlq.shop")) != 1 { // who asks for its end may hear of the old topic for a moment
		if t.Context().Err() != nil {
			t.Fatal("the letter is not there")
		}
	}
}

// A foreign producer wrote a record that no dead letter can hold. The letter then tells where it stands.
func TestAHugeRecordBecomesABareLetter(t *testing.T) {
	f := open(t)
	p := earliest
	p.Types = []string{notes}
	f.put(t, "shop", p)
	c := f.client(t, kgo.ProducerBatchCompression(kgo.GzipCompression()), kgo.ProducerBatchMaxBytes(64<<20))
	for _, v := range []string{strings.Repeat("a", 4<<20), "after"} {
		r := &kgo.Record{Topic: notes, Key: []byte("k"), Value: []byte(`{"text":"` + v + `"}`)}
		if err := c.ProduceSync(t.Context(), r).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	w := f.worker(t, autobus.Subscription{Name: "shop"})
	d := w.next(t)
	w.settle(t, d, autobus.Outcome{Kind: autobus.Reject, Reason: "too much"})
	w.ack(t, w.next(t))
	dead := f.records(t, "dlq.shop")
	if len(dead) != 1 || len(dead[0].Value) > 0 {
		t.Fatalf("%d dead letters", len(dead))
	}
	got := map[string]string{}
	for _, h := range dead[0].Headers {
		got[h.Key] = string(h.Value)
	}
	if got["autobus-dlq-offset"] != fmt.Sprint(d.Offset) || got["autobus-dlq-omitted"] == "" ||
		got["autobus-dlq-reason"] != "too much" {
		t.Errorf("headers %v", got)
	}
}

// A worker's connection takes nothing: what would go to it goes to others, and nothing lies there without a lease.
func TestAStuckWorkerGetsNothing(t *testing.T) {
	f := open(t)
	p := earliest
	p.AckWait = autobus.MinAckWait
	f.put(t, "shop", p)
	ctx, cancel := context.WithCancel(f.ctx)
	release, entered, ended := make(chan struct{}), make(chan struct{}, 1), make(chan struct{})
	go func() {
		defer close(ended)
		_ = f.Subscribe(ctx, autobus.Subscription{Name: "shop"}, func(context.Context, []autobus.Delivery) {
			entered <- struct{}{}
			<-release
		})
	}()
	defer func() { cancel(); close(release); <-ended }()
	f.orders(t, 1, "a")
	<-entered
	w := f.worker(t, autobus.Subscription{Name: "shop"})
	w.ack(t, w.next(t)) // its lease ran out
	var keys []string
	for i := range 40 {
		keys = append(keys, fmt.Sprint("k", i))
	}
	f.orders(t, 40, keys...)
	for range 40 {
		w.ack(t, w.next(t))
	}
}

// One partition does not tell where it begins and ends, as without a leader: the others start.
func TestAPartitionWithoutALeaderKeepsNobodyFromStarting(t *testing.T) {
	c, err := kfake.NewCluster(kfake.NumBrokers(1))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	f := openOn(t, c.ListenAddrs()[0])
	p := earliest
	p.Types = []string{orders, notes}
	f.put(t, "shop", p)
	f.orders(t, 8, "a", "b", "c", "d")
	fault := c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.ListOffsets}, Topic: notes, Partitions: []int32{3},
		Err: kerr.LeaderNotAvailable, Count: -1})
	defer fault.Remove()
	w := f.worker(t, autobus.Subscription{Name: "shop"})
	for range 8 {
		w.ack(t, w.next(t))
	}
	if fault.Hits() == 0 {
		t.Error("nobody asked the partition")
	}
}

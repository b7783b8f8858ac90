// SPDX-License-Identifier: Apache-2.0

package kafka_test

import (
	"context"
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/autobus-io/autobus/internal/kafka"
)

// These tests hold the settings of the Kafka client against what it does when brokers answer badly.
// docs/explanation/faults.md lists the traps one by one.

// faulty starts a cluster whose answers a test can spoil, with one topic "t" of two partitions.
func faulty(t *testing.T, brokers int, reg prometheus.Registerer) (*kfake.Cluster, *kafka.Log) {
	t.Helper()
	c, err := kfake.NewCluster(kfake.NumBrokers(brokers), kfake.SeedTopics(2, "t"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	l, err := kafka.Open(t.Context(), kafka.Config{Name: "test", Brokers: c.ListenAddrs(), Metrics: reg,
		Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close(context.Background()) })
	return c, l
}

var tp = kafka.TP{Topic: "t"}

// A retriable answer is retried until the record is in the log, once, in order, also where the broker had written it
// before it complained.
func TestRetriedAppendsAreWrittenOnceInOrder(t *testing.T) {
	for _, answer := range []*kerr.Error{kerr.NotEnoughReplicas, kerr.NotEnoughReplicasAfterAppend, kerr.RequestTimedOut,
		kerr.NotLeaderForPartition, kerr.LeaderNotAvailable} {
		t.Run(answer.Message, func(t *testing.T) {
			c, l := faulty(t, 1, nil)
			write(t, l, tp, "0")
			fault := c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: "t", Err: answer, Count: 3})
			defer fault.Remove()
			got := write(t, l, tp, "1", "2", "3")
			for i, w := range got {
				if w.err != nil || w.offset != int64(i+1) {
					t.Errorf("record %d: offset %d, error %v", i+1, w.offset, w.err)
				}
			}
			if fault.Hits() == 0 {
				t.Error("the broker was never made to complain")
			}
			if values := read(t, l, tp, 0, 4); !slices.Equal(values, []string{"0", "1", "2", "3"}) {
				t.Errorf("the log holds %q", values)
			}
		})
	}
}

// A fatal answer to one batch fails everything of its partition that is in flight, whoever sent it: hence "unknown",
// and hence all that can be known beforehand is refused beforehand. Other partitions go on, and so do later appends.
func TestAFatalAnswerEndsInAnErrorForEachRecord(t *testing.T) {
	c, l := faulty(t, 1, nil)
	write(t, l, tp, "0")
	fault := c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: "t", Partitions: []int32{0},
		Err: kerr.InvalidRecord, Count: -1}) // the client may send the second record in a batch of its own
	for i, w := range write(t, l, tp, "1", "2") {
		if w.err == nil {
			t.Errorf("record %d was confirmed", i)
		}
	}
	fault.Remove()
	if got := write(t, l, kafka.TP{Topic: "t", Partition: 1}, "x"); got[0].err != nil {
		t.Errorf("the other partition: %v", got[0].err)
	}
	if got := write(t, l, tp, "3"); got[0].err != nil {
		t.Errorf("the partition afterwards: %v", got[0].err)
	}
	if u := l.InFlight(); u.Records != 0 || u.Bytes != 0 {
		t.Errorf("the buffer still holds %+v", u)
	}
}

// A broker that forgot the producer's sequence has lost records. That is counted, not only logged.
func TestDataLossIsCounted(t *testing.T) {
	reg := prometheus.NewRegistry()
	c, l := faulty(t, 1, reg)
	write(t, l, tp, "0")
	fault := c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: "t", Err: kerr.OutOfOrderSequenceNumber})
	defer fault.Remove()
	write(t, l, tp, "1")
	if n := counter(t, reg, "autobus_kafka_data_loss_total"); n != 1 {
		t.Errorf("counted %v times", n)
	}
}

func TestProducerSettings(t *testing.T) {
	_, l := faulty(t, 1, nil)
	for name, c := range map[string]struct{ got, want any }{
		"acks of all in-sync replicas":         {l.Setting(kgo.RequiredAcks), kgo.AllISRAcks()},
		"idempotent":                           {l.Setting(kgo.DisableIdempotentWrite), false},
		"nothing possibly sent is cancelled":   {l.Setting(kgo.AllowIdempotentProduceCancellation), false},
		"no lingering":                         {l.Setting(kgo.ProducerLinger), time.Duration(0)},
		"the client never refuses before us":   {l.Setting(kgo.MaxBufferedRecords), int64(1 << 20)},
		"a record is retried for ever":         {l.Setting(kgo.RecordDeliveryTimeout), time.Duration(0)},
		"metadata is asked for quickly":        {l.Setting(kgo.MetadataMinAge), 250 * time.Millisecond},
		"a dead broker is noticed quickly":     {l.Setting(kgo.DialTimeout), 3 * time.Second},
		"a silent broker is noticed quickly":   {l.Setting(kgo.ProduceRequestTimeout), 5 * time.Second},
		"a restart does not look like a fault": {l.Setting(kgo.AlwaysRetryEOF), true},
	} {
		if c.got != c.want {
			t.Errorf("%s: %v, want %v", name, c.got, c.want)
		}
	}
}

// A topic just made is known to every broker before CreateTopic returns; else its first appends would be told that
// there is no such topic.
func TestCreateTopicWaitsForAllBrokers(t *testing.T) {
	c, l := faulty(t, 3, nil)
	late := c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Metadata}, Nodes: []int32{2}, Topic: "fresh",
		Err: kerr.UnknownTopicOrPartition, Count: 3})
	defer late.Remove()
	create(t, l, "fresh", 6, nil)
	if late.Hits() != 3 {
		t.Errorf("the late broker was asked %d times before it knew the topic", late.Hits())
	}
	for p := range int32(6) {
		if got := write(t, l, kafka.TP{Topic: "fresh", Partition: p}, "x"); got[0].err != nil {
			t.Errorf("partition %d: %v", p, got[0].err)
		}
	}
}

// What a transaction wrote is read when it is committed, and never when it is aborted.
func TestOnlyCommittedRecordsAreRead(t *testing.T) {
	c, l := faulty(t, 1, nil)
	other, err := kgo.NewClient(kgo.SeedBrokers(c.ListenAddrs()...), kgo.TransactionalID("x"),
		kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	transaction := func(value string, commit kgo.TransactionEndTry) {
		t.Helper()
		if err := other.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		if err := other.ProduceSync(t.Context(), &kgo.Record{Topic: "t", Value: []byte(value)}).FirstErr(); err != nil {
			t.Fatal(err)
		}
		if err := other.EndTransaction(t.Context(), commit); err != nil {
			t.Fatal(err)
		}
	}
	transaction("aborted", kgo.TryAbort)
	transaction("committed", kgo.TryCommit)
	if values := read(t, l, tp, 0, 1); !slices.Equal(values, []string{"committed"}) {
		t.Errorf("read %q", values)
	}
}

// An empty key is a key: it has a partition of its own and comes back as what it is.
func TestAnEmptyKeyIsNotNoKey(t *testing.T) {
	_, l := faulty(t, 1, nil)
	done := make(chan error, 2)
	if err := l.Append(&kafka.Append{TP: tp, Records: []kafka.Record{{Key: []byte{}}, {Key: nil}},
		Done: func(_ int, _ int64, err error) { done <- err }}); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
	r, err := l.Read(map[kafka.TP]int64{tp: 0})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var records []kafka.Record
	for len(records) < 2 {
		more, err := r.Poll(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		records = append(records, more...)
	}
	if records[0].Key == nil || records[1].Key != nil {
		t.Errorf("keys %#v and %#v", records[0].Key, records[1].Key)
	}
}

func counter(t *testing.T, reg *prometheus.Registry, name string) float64 {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			return f.GetMetric()[0].GetCounter().GetValue()
		}
	}
	t.Fatalf("there is no metric %s", name)
	return 0
}

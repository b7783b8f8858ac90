// SPDX-License-Identifier: Apache-2.0

package kafka_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/kafka"
)

func TestAppendKeepsOrderAndOffsets(t *testing.T) {
	_, l := open(t, kafka.Config{})
	create(t, l, "a", 2, nil)
	tp := kafka.TP{Topic: "a", Partition: 1}
	got := write(t, l, tp, "one", "two", "three")
	for i, w := range got {
		if w.err != nil || w.offset != int64(i) {
			t.Errorf("record %d: offset %d, error %v", i, w.offset, w.err)
		}
	}
	if values := read(t, l, tp, 1, 2); !slices.Equal(values, []string{"two", "three"}) {
		t.Errorf("read %q", values)
	}
}

// A batch may be as large as the topic allows, from the very first append: the producer's own default of about 1 MB
// would fail a record of 1.5 MB, and a default larger than the topic's would fail every batch that fills up.
func TestTopicLimitCountsFromTheFirstAppend(t *testing.T) {
	_, l := open(t, kafka.Config{})
	create(t, l, "large", 1, map[string]string{"max.message.bytes": "3000000"})
	create(t, l, "small", 1, map[string]string{"max.message.bytes": "2000"})
	for topic, limit := range map[string]int32{"large": 3_000_000, "small": 2000} {
		if got := l.Limit(topic, limit); got != limit {
			t.Fatalf("the first limit of %s is not in force, %d is", topic, got)
		}
	}
	if got := write(t, l, kafka.TP{Topic: "large"}, strings.Repeat("x", 1_500_000)); got[0].err != nil {
		t.Errorf("a record within the topic's limit: %v", got[0].err)
	}
	values := make([]string, 50)
	for i := range values {
		values[i] = strings.Repeat("y", 500)
	}
	for i, w := range write(t, l, kafka.TP{Topic: "small"}, values...) {
		if w.err != nil {
			t.Fatalf("record %d: %v: the batch was larger than the topic takes", i, w.err)
		}
	}
}

// A limit changes while others append: every append has an offset of its own and is in the log, in order. The producer
// must not simply be told to forget the topic: under its old id, counting anew, what is new looks like a copy.
func TestLimitChangesLoseNothing(t *testing.T) {
	_, l := open(t, kafka.Config{})
	create(t, l, "g", 1, nil)
	tp := kafka.TP{Topic: "g"}
	var want []string
	for i := range 40 {
		l.Limit("g", int32(10_000+i))
		value := fmt.Sprint("v", i)
		got := write(t, l, tp, value)
		if got[0].err != nil || got[0].offset != int64(i) {
			t.Fatalf("append %d: offset %d, error %v", i, got[0].offset, got[0].err)
		}
		want = append(want, value)
	}
	if values := read(t, l, tp, 0, len(want)); !slices.Equal(values, want) {
		t.Errorf("the log holds %q", values)
	}
}

// Limits are changed and asked for at the same time, from all sides.
func TestLimitsAndAppendsAtOnce(t *testing.T) {
	_, l := open(t, kafka.Config{})
	const topics, rounds = 8, 20
	var wg sync.WaitGroup
	for n := range topics {
		name := fmt.Sprint("h", n)
		create(t, l, name, 1, nil)
		wg.Go(func() {
			for i := range rounds {
				l.Limit(name, int32(10_000+i))
				if got := write(t, l, kafka.TP{Topic: name}, "x"); got[0].err != nil || got[0].offset != int64(i) {
					t.Errorf("%s, append %d: %+v", name, i, got[0])
				}
			}
		})
	}
	wg.Wait()
}

func TestLimitChangesOnlyWhileNothingIsInFlight(t *testing.T) {
	e, l := open(t, kafka.Config{})
	create(t, l, "b", 1, nil)
	l.Limit("b", 1000)
	write(t, l, kafka.TP{Topic: "b"}, "x")
	if got := l.Limit("b", 5000); got != 5000 {
		t.Errorf("nothing is in flight, the new limit should be in force, not %d", got)
	}
	_ = e.Close() // from now on appends stay in flight
	if err := l.Append(&kafka.Append{TP: kafka.TP{Topic: "b"}, Records: []kafka.Record{{Value: []byte("y")}},
		Done: func(int, int64, error) {}}); err != nil {
		t.Fatal(err)
	}
	if got := l.Limit("b", 1000); got != 5000 {
		t.Errorf("a record is in flight, the old limit must be in force, not %d", got)
	}
}

// A limit changes under load: appends wait for those before them, so each finds its place, in order.
func TestLimitChangesUnderLoad(t *testing.T) {
	_, l := open(t, kafka.Config{})
	create(t, l, "i", 1, map[string]string{"max.message.bytes": "1000000"})
	l.Limit("i", 20_000)
	const events = 5000
	offsets := make(chan int64, events)
	var writing sync.WaitGroup
	writing.Go(func() {
		for n := range events {
			if err := l.Append(&kafka.Append{TP: kafka.TP{Topic: "i"}, Records: []kafka.Record{{Value: fmt.Append(nil, n)}},
				Done: func(_ int, offset int64, err error) {
					if err != nil {
						offset = -1
					}
					offsets <- offset
				}}); err != nil {
				t.Error(err)
				return
			}
		}
	})
	for i := range int32(20) {
		if got := l.Limit("i", 30_000+i); got != 30_000+i {
			t.Errorf("the limit %d is in force, want %d", got, 30_000+i)
		}
	}
	writing.Wait()
	for n := range int64(events) {
		if at := <-offsets; at != n {
			t.Fatalf("append %d is at offset %d", n, at)
		}
	}
	if got := write(t, l, kafka.TP{Topic: "i"}, strings.Repeat("x", 25_000)); got[0].err != nil {
		t.Errorf("a record that the new limit lets in: %v", got[0].err)
	}
}

// One partition whose leader is away takes at most a quarter of the buffer, and an empty one always admits one append.
func TestAdmissionIsPerPartition(t *testing.T) {
	e, l := open(t, kafka.Config{Buffer: 400_000})
	create(t, l, "c", 2, nil)
	_ = e.Close()
	fill := func(partition int32, bytes int) error {
		return l.Append(&kafka.Append{TP: kafka.TP{Topic: "c", Partition: partition},
			Records: []kafka.Record{{Value: make([]byte, bytes)}}, Done: func(int, int64, error) {}})
	}
	if err := fill(0, 300_000); err != nil {
		t.Fatalf("an empty partition admits one append, however large: %v", err)
	}
	err := fill(0, 10)
	var refused *autobus.Error
	if !errors.As(err, &refused) || refused.Reason != autobus.ReasonCapacity || refused.RetryAfter == 0 {
		t.Fatalf("a full partition answers %v", err)
	}
	if err := fill(1, 10_000); err != nil {
		t.Errorf("the other partition is not full: %v", err)
	}
	if u := l.InFlight(); u.Records != 2 || u.Bytes < 310_000 {
		t.Errorf("in flight: %+v", u)
	}
}

// What the client was given is settled even when the client closes: with an error that means "perhaps".
func TestCloseSettlesWhatIsInFlight(t *testing.T) {
	e, l := open(t, kafka.Config{})
	create(t, l, "d", 1, nil)
	_ = e.Close()
	settled := make(chan error, 1)
	if err := l.Append(&kafka.Append{TP: kafka.TP{Topic: "d"}, Records: []kafka.Record{{Value: []byte("z")}},
		Done: func(_ int, _ int64, err error) { settled <- err }}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := l.Close(ctx); err == nil {
		t.Error("Close says nothing was in flight")
	}
	if err := <-settled; err == nil {
		t.Error("the append succeeded without a broker")
	}
	if u := l.InFlight(); u.Records != 0 || u.Bytes != 0 {
		t.Errorf("the buffer still holds %+v", u)
	}
}

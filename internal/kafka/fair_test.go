// SPDX-License-Identifier: Apache-2.0

package kafka_test

import (
	"errors"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/kafka"
)

// A partition that nobody leads takes what its share of the buffer holds, and then refuses. Meanwhile the other
// partitions of its topic and other topics, on the same broker and over the same client, are written as before; when it
// has a leader again all of it is written, in order.
func TestALeaderlessPartitionStarvesNobody(t *testing.T) {
	c, l := faulty(t, 1, nil)
	create(t, l, "other", 1, nil)
	sound := []kafka.TP{{Topic: "t", Partition: 1}, {Topic: "other"}}
	p99 := func() time.Duration {
		var took []time.Duration
		for range 200 {
			for _, to := range sound {
				begun := time.Now()
				if got := write(t, l, to, "x"); got[0].err != nil {
					t.Fatalf("%v: %v", to, got[0].err)
				}
				took = append(took, time.Since(begun))
			}
		}
		slices.Sort(took)
		return took[len(took)*99/100]
	}
	write(t, l, tp, "0")
	quiet := p99()

	fault := c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: "t", Partitions: []int32{0},
		Err: kerr.NotLeaderForPartition, Count: -1})
	defer fault.Remove()
	var settled sync.WaitGroup
	value := make([]byte, 500_000)
	held := 0
	for {
		settled.Add(1)
		at := held + 1
		err := l.Append(&kafka.Append{TP: tp, Records: []kafka.Record{{Value: value, Time: time.Now()}},
			Done: func(_ int, offset int64, err error) {
				defer settled.Done()
				if err != nil || offset != int64(at) {
					t.Errorf("record %d: offset %d, %v", at, offset, err)
				}
			}})
		var full *autobus.Error
		if errors.As(err, &full) && full.Reason == autobus.ReasonCapacity {
			settled.Done()
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		held++
	}
	beside := p99()
	if fault.Hits() == 0 {
		t.Error("the partition was never without a leader")
	}
	if u := l.InFlight(); u.Records != int64(held) || u.Bytes > u.Limit/4 {
		t.Errorf("in flight: %+v, %d records are held", u, held)
	}
	t.Logf("figures: p99 %s beside %d records that wait for a leader, %s without", beside, held, quiet)
	fault.Remove()
	settled.Wait()
}

// Questions about offsets that can do without a partition are not kept from the others' answers by it.
func TestALeaderlessPartitionHidesNoOther(t *testing.T) {
	c, l := faulty(t, 1, nil)
	create(t, l, "other", 1, nil)
	write(t, l, tp, "0")
	fault := c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Metadata}, Topic: "t", Partitions: []int32{1},
		Err: kerr.LeaderNotAvailable, Count: -1})
	defer fault.Remove()
	bounds, err := l.Bounds(t.Context(), "t", "other")
	want := map[kafka.TP]kafka.Bounds{tp: {End: 1}, {Topic: "other"}: {}}
	if err != nil || !maps.Equal(bounds, want) {
		t.Errorf("%v, %v", bounds, err)
	}
	if fault.Hits() == 0 {
		t.Error("the partition was never without a leader")
	}
}

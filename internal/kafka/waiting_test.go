// SPDX-License-Identifier: Apache-2.0

package kafka_test

import (
	"bytes"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"
	"weak"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/autobus-io/autobus/internal/kafka"
)

// A record is often a small part of the request that brought it. Where the brokers do not answer it waits without the
// rest, so that what waits takes as much memory as it was admitted with.
func TestWhatWaitsOwnsItsBytes(t *testing.T) {
	c, l := faulty(t, 1, nil)
	fault := c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: "t", Err: kerr.NotLeaderForPartition, Count: -1})
	defer fault.Remove()
	var settled sync.WaitGroup
	began := time.Now()
	hand := func(text string, age time.Duration) weak.Pointer[byte] {
		request := bytes.Repeat([]byte(text), 1<<20)
		settled.Add(1)
		if err := l.Append(&kafka.Append{TP: tp, Records: []kafka.Record{{Value: request[:1], Key: request[1:2],
			Headers: []kafka.Header{{Key: "h", Value: request[2:3]}}, Time: began.Add(age)}},
			Done: func(_ int, _ int64, err error) {
				defer settled.Done()
				if err != nil {
					t.Error(err)
				}
			}}); err != nil {
			t.Fatal(err)
		}
		return weak.Make(&request[0])
	}
	hand("a", 0)
	if n := l.InFlight().Waiting; n != 0 {
		t.Errorf("%d bytes wait, and nobody was away yet", n)
	}
	request := hand("b", time.Second)
	for range 3 {
		runtime.GC()
	}
	if request.Value() != nil {
		t.Error("the request is held by the record that waits")
	}
	if u := l.InFlight(); u.Waiting == 0 || u.Waiting >= u.Bytes {
		t.Errorf("in flight: %+v; the second record waits, the first does not", u)
	}
	fault.Remove()
	settled.Wait()
	if u := l.InFlight(); u.Waiting != 0 {
		t.Errorf("%d bytes wait, and all are written", u.Waiting)
	}
	if values := read(t, l, tp, 0, 2); !slices.Equal(values, []string{"a", "b"}) {
		t.Errorf("the log holds %q", values)
	}
}

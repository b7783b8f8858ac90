// SPDX-License-Identifier: Apache-2.0

package kafka_test

import (
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/autobus-io/autobus/internal/kafka"
)

// What was polled before a partition was started belongs to its assignment before: passed on, it would look like a
// gap in the new one.
func TestRecordsOfAnEarlierAssignmentAreDropped(t *testing.T) {
	_, l := faulty(t, 1, nil)
	asked, begin := make(chan struct{}), make(chan struct{})
	m, err := kafka.JoinQuickly(t.Context(), l, kafka.Group{ID: "g", Topics: []string{"t"},
		Start: func(_ context.Context, commits map[kafka.TP]kafka.Commit) (map[kafka.TP]int64, error) {
			close(asked)
			<-begin
			return map[kafka.TP]int64{tp: 0, {Topic: "t", Partition: 1}: 0}, nil
		}})
	if err != nil {
		t.Fatal(err)
	}
	got := make(chan []kafka.Record, 1)
	go func() {
		records, _, _ := m.Poll(context.Background())
		got <- records
	}()
	<-asked
	if n := kafka.Take(m, tp, 7); n != 0 {
		t.Errorf("%d records before the start", n)
	}
	close(begin)
	write(t, l, tp, "a")
	if records := <-got; len(records) != 1 || records[0].Offset != 0 {
		t.Errorf("records %v", records)
	}
	if n := kafka.Take(m, tp, 7); n != 1 {
		t.Errorf("%d records after the start", n)
	}
	if err := m.Leave(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := kafka.Take(m, tp, 7); n != 0 {
		t.Errorf("%d records after leaving", n)
	}
}

// A Start that cannot tell is asked again, with the commits read anew, while other partitions are read on.
func TestStartIsAskedAgain(t *testing.T) {
	c, l := faulty(t, 1, nil)
	create(t, l, "later", 1, nil)
	late := kafka.TP{Topic: "later"}
	tries, tried := 0, make(chan struct{}, 9)
	m, err := kafka.JoinQuickly(t.Context(), l, kafka.Group{ID: "g", Topics: []string{"t"},
		Start: func(ctx context.Context, commits map[kafka.TP]kafka.Commit) (map[kafka.TP]int64, error) {
			from := map[kafka.TP]int64{}
			for tp := range commits {
				from[tp] = 0
			}
			if _, ok := commits[late]; !ok {
				return from, nil
			}
			tries++
			tried <- struct{}{}
			switch tries {
			case 1:
				return nil, errors.New("not now")
			case 2:
				delete(from, late)
			case 3:
				<-ctx.Done() // of a rebalance, which another member's coming makes
				return nil, ctx.Err()
			}
			return from, nil
		},
		Lost: func(tps []kafka.TP) { t.Errorf("lost %v", tps) }})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Leave(context.Background())
	write(t, l, tp, "a")
	next := func() string {
		records, faults, err := m.Poll(t.Context())
		if err != nil || len(faults) > 0 || len(records) != 1 {
			t.Fatalf("records %v, faults %v, error %v", records, faults, err)
		}
		return string(records[0].Value)
	}
	next()
	bad := c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.OffsetFetch}, Topic: "later", Err: kerr.UnknownServerError, Count: 2})
	defer bad.Remove()
	m.AddTopics("later")
	seen := make(chan struct{})
	var other sync.WaitGroup
	other.Go(func() {
		for range 3 {
			<-tried
			write(t, l, tp, "x")
		}
		o, err := kafka.JoinQuickly(t.Context(), l, kafka.Group{ID: "g", Topics: []string{"t"}}) // never polls
		if err != nil {
			t.Error(err)
			return
		}
		defer o.Leave(context.Background())
		write(t, l, late, "late")
		<-seen
	})
	for read, done := 0, false; !done; {
		records, faults, err := m.Poll(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range faults { // the client gave the partition up when the brokers would not tell its commit
			if f.TP != late {
				t.Errorf("fault %+v", f)
			}
		}
		for _, r := range records {
			if r.TP != late {
				read++
				continue
			}
			if done = true; read == 0 {
				t.Error("the other partition was not read meanwhile")
			}
		}
	}
	close(seen)
	other.Wait()
	if bad.Hits() != 2 {
		t.Errorf("the commit was refused %d times", bad.Hits())
	}
}

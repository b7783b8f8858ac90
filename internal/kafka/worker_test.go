// SPDX-License-Identifier: Apache-2.0

package kafka_test

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/autobus-io/autobus/internal/bustest"
	"github.com/autobus-io/autobus/internal/kafka"
)

// onBoth runs a test on the embedded broker and on the real cluster.
func onBoth(t *testing.T, test func(t *testing.T, l *kafka.Log)) {
	t.Run("embedded", func(t *testing.T) {
		_, l := open(t, kafka.Config{ClientID: "autobus-test"})
		test(t, l)
	})
	t.Run("kafka", func(t *testing.T) { test(t, bustest.Cluster(t).Open(t)) })
}

// bare takes the topics' ids out of commits, after a look that they are told.
func bare(t *testing.T, commits map[kafka.TP]kafka.Commit) map[kafka.TP]kafka.Commit {
	t.Helper()
	out := map[kafka.TP]kafka.Commit{}
	for tp, c := range commits {
		if c.TopicID == [16]byte{} {
			t.Errorf("Start is not told the id of topic %s", tp.Topic)
		}
		c.TopicID = [16]byte{}
		out[tp] = c
	}
	return out
}

// worker is a member with the simplest of callers: it begins where the commits say, else at 0, and reads on and on.
type worker struct {
	t *testing.T
	m *kafka.Member

	mu      sync.Mutex
	changed chan struct{} // closed and replaced when something below changes
	starts  []map[kafka.TP]kafka.Commit
	held    map[kafka.TP]bool
	next    map[kafka.TP]int64 // after the last record read
	values  map[kafka.TP][]string
	faults  []kafka.PartitionFault
	revoked []kafka.TP
	lost    []kafka.TP
	ended   error

	committed error // by Revoked
}

// join makes a worker in a group. In Revoked it commits what it has read; the metadata is its name.
func join(t *testing.T, l *kafka.Log, name, group string, topics ...string) *worker {
	t.Helper()
	w := &worker{t: t, changed: make(chan struct{}), held: map[kafka.TP]bool{}, next: map[kafka.TP]int64{},
		values: map[kafka.TP][]string{}}
	m, err := kafka.JoinQuickly(t.Context(), l, kafka.Group{ID: group, Topics: topics, Start: w.start,
		Revoked: func(ctx context.Context, tps []kafka.TP) { w.hand(ctx, name, tps) }, Lost: w.lose})
	if err != nil {
		t.Fatal(err)
	}
	w.m = m
	var polling sync.WaitGroup
	polling.Go(w.poll)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := m.Leave(ctx); err != nil {
			t.Errorf("%s leaves: %v", name, err)
		}
		polling.Wait()
	})
	return w
}

// update changes the worker under its lock and tells who waits.
func (w *worker) update(f func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	f()
	close(w.changed)
	w.changed = make(chan struct{})
}

func (w *worker) start(_ context.Context, commits map[kafka.TP]kafka.Commit) (map[kafka.TP]int64, error) {
	from := map[kafka.TP]int64{}
	w.update(func() {
		w.starts = append(w.starts, bare(w.t, commits))
		for tp, c := range commits {
			from[tp] = max(c.Offset, 0)
			w.held[tp], w.next[tp], w.values[tp] = true, from[tp], nil
		}
	})
	return from, nil
}

func (w *worker) hand(ctx context.Context, name string, tps []kafka.TP) {
	commits := map[kafka.TP]kafka.Commit{}
	w.mu.Lock()
	for _, tp := range tps {
		commits[tp] = kafka.Commit{Offset: w.next[tp], Metadata: name}
	}
	w.mu.Unlock()
	err := w.m.Commit(ctx, commits)
	w.update(func() {
		w.committed = errors.Join(w.committed, err)
		w.revoked = append(w.revoked, tps...)
		for _, tp := range tps {
			delete(w.held, tp)
		}
	})
}

// lose tries to commit, which nobody may do whose partitions were taken away.
func (w *worker) lose(tps []kafka.TP) {
	commits := map[kafka.TP]kafka.Commit{}
	for _, tp := range tps {
		commits[tp] = kafka.Commit{Metadata: "late"}
	}
	err := w.m.Commit(w.t.Context(), commits)
	errs, ok := errors.AsType[kafka.CommitErrors](err)
	if !ok || !errors.Is(err, kafka.ErrFenced) || len(errs) != len(tps) {
		w.t.Errorf("commit of lost partitions: %v", err)
	}
	w.update(func() {
		w.lost = append(w.lost, tps...)
		for _, tp := range tps {
			delete(w.held, tp)
		}
	})
}

func (w *worker) poll() {
	for {
		records, faults, err := w.m.Poll(w.t.Context())
		w.update(func() {
			w.ended = err
			w.faults = append(w.faults, faults...)
			for _, r := range records {
				if !w.held[r.TP] {
					continue
				}
				if r.Offset < w.next[r.TP] {
					w.t.Errorf("%v: offset %d after %d", r.TP, r.Offset, w.next[r.TP]-1)
				}
				w.next[r.TP] = r.Offset + 1
				w.values[r.TP] = append(w.values[r.TP], string(r.Value))
			}
		})
		if err != nil {
			return
		}
	}
}

// until waits for something about the worker, which is asked under its lock.
func (w *worker) until(what string, ok func() bool) {
	w.t.Helper()
	limit := time.After(bustest.Patience)
	for {
		w.mu.Lock()
		done, changed := ok(), w.changed
		w.mu.Unlock()
		if done {
			return
		}
		select {
		case <-changed:
		case <-limit:
			w.mu.Lock()
			defer w.mu.Unlock()
			w.t.Fatalf("waited for: %s; holds %v, has read %v, revoked %v, lost %v, faults %v, ended %v", what,
				slices.Collect(maps.Keys(w.held)), w.next, w.revoked, w.lost, w.faults, w.ended)
		}
	}
}

func (w *worker) untilHolds(n int) {
	w.t.Helper()
	w.until("partitions", func() bool { return len(w.held) == n })
}

func (w *worker) untilRead(tp kafka.TP, next int64) {
	w.t.Helper()
	w.until("records", func() bool { return w.next[tp] == next })
}

// leave leaves and fails the test if that went wrong.
func (w *worker) leave() {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), 10*time.Second)
	defer cancel()
	if err := w.m.Leave(ctx); err != nil {
		w.t.Fatal(err)
	}
	w.until("the end of polling", func() bool { return errors.Is(w.ended, kafka.ErrLeft) })
}

// member is what the brokers know of the only member of a group.
func member(t *testing.T, l *kafka.Log, group string) kafka.GroupMember {
	t.Helper()
	g, err := l.DescribeGroup(t.Context(), group)
	if err != nil || g.State != "Stable" || len(g.Members) != 1 {
		t.Fatalf("group %s: %+v, error %v", group, g, err)
	}
	return g.Members[0]
}

// partitions names the partitions 0 to n-1 of a topic.
func partitions(topic string, n int32) []kafka.TP {
	var out []kafka.TP
	for p := range n {
		out = append(out, kafka.TP{Topic: topic, Partition: p})
	}
	return out
}

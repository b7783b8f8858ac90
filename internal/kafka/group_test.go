// SPDX-License-Identifier: Apache-2.0

package kafka_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/autobus-io/autobus/internal/bustest"
	"github.com/autobus-io/autobus/internal/kafka"
)

func TestAMemberBeginsWhereStartSaysAndCommitsComeBack(t *testing.T) {
	onBoth(t, func(t *testing.T, l *kafka.Log) {
		topic := bustest.Prefix()
		create(t, l, topic, 2, nil)
		ps := partitions(topic, 2)
		write(t, l, ps[0], "a", "b", "c")
		write(t, l, ps[1], "d", "e")
		starts := make(chan map[kafka.TP]kafka.Commit, 2)
		begin := func(from map[kafka.TP]int64) *kafka.Member {
			m, err := kafka.JoinQuickly(t.Context(), l, kafka.Group{ID: topic, Topics: []string{topic},
				Start: func(_ context.Context, commits map[kafka.TP]kafka.Commit) (map[kafka.TP]int64, error) {
					starts <- bare(t, commits)
					return from, nil
				}})
			if err != nil {
				t.Fatal(err)
			}
			return m
		}
		m := begin(map[kafka.TP]int64{ps[0]: 1, ps[1]: 2})
		defer m.Leave(context.Background())
		var values []string
		for len(values) < 2 {
			records, faults, err := m.Poll(t.Context())
			if err != nil || len(faults) > 0 {
				t.Fatalf("faults %v, error %v", faults, err)
			}
			for _, r := range records {
				values = append(values, string(r.Value))
			}
		}
		if !slices.Equal(values, []string{"b", "c"}) {
			t.Errorf("read %q", values)
		}
		if got := <-starts; len(got) != 2 || got[ps[0]].Offset != -1 || got[ps[1]].Offset != -1 {
			t.Errorf("without commits Start got %v", got)
		}
		want := kafka.Commit{Offset: 2, Metadata: strings.Repeat("m", 4096)}
		if err := m.Commit(t.Context(), map[kafka.TP]kafka.Commit{ps[0]: want}); err != nil {
			t.Fatal(err)
		}
		if got, err := l.Committed(t.Context(), topic); err != nil || len(got) != 1 || got[ps[0]] != want {
			t.Errorf("committed %v, error %v", got, err)
		}
		if err := m.Leave(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got, err := l.Committed(t.Context(), topic); err != nil || got[ps[0]] != want {
			t.Errorf("without members committed %v, error %v", got, err)
		}

		m = begin(map[kafka.TP]int64{ps[0]: 2, ps[1]: 2})
		defer m.Leave(context.Background())
		if records, _, err := m.Poll(t.Context()); err != nil || len(records) != 1 || string(records[0].Value) != "c" {
			t.Errorf("the second time read %v, error %v", records, err)
		}
		if got := <-starts; got[ps[0]] != want || got[ps[1]].Offset != -1 {
			t.Errorf("the second time Start got %v", got)
		}
	})
}

// Partitions move one by one: those that stay are read on without a break, and those that go begin at the other member
// where this one's last commit says.
func TestPartitionsMoveWithTheirCommits(t *testing.T) {
	onBoth(t, func(t *testing.T, l *kafka.Log) {
		topic := bustest.Prefix()
		create(t, l, topic, 4, nil)
		ps := partitions(topic, 4)
		for i, tp := range ps {
			write(t, l, tp, slices.Repeat([]string{"x"}, i+1)...)
		}
		a := join(t, l, "a", topic, topic)
		for i, tp := range ps {
			a.untilRead(tp, int64(i+1))
		}
		b := join(t, l, "b", topic, topic)
		b.untilHolds(2)
		a.untilHolds(2)
		for _, commits := range b.starts {
			for tp, c := range commits {
				if want := (kafka.Commit{Offset: int64(tp.Partition) + 1, Metadata: "a"}); c != want {
					t.Errorf("%v began at the other member with %v, want %v", tp, c, want)
				}
			}
		}
		if len(a.starts) != 1 || len(a.revoked) != 2 || len(a.lost) != 0 || a.committed != nil {
			t.Errorf("the first member: starts %v, revoked %v, lost %v, commit %v", a.starts, a.revoked, a.lost, a.committed)
		}
		for _, tp := range ps {
			write(t, l, tp, "y")
			w := a
			if b.holds(tp) {
				w = b
			}
			w.untilRead(tp, int64(tp.Partition)+2)
		}
		b.leave()
		a.untilHolds(4)
		if b.committed != nil {
			t.Errorf("commit of the member that left: %v", b.committed)
		}
		for tp, c := range a.starts[len(a.starts)-1] {
			if want := (kafka.Commit{Offset: int64(tp.Partition) + 2, Metadata: "b"}); c != want {
				t.Errorf("%v came back with %v, want %v", tp, c, want)
			}
		}
	})
}

func (w *worker) holds(tp kafka.TP) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.held[tp]
}

func TestLeaveHandsBackAndAGroupCanBeDeleted(t *testing.T) {
	onBoth(t, func(t *testing.T, l *kafka.Log) {
		topic := bustest.Prefix()
		create(t, l, topic, 2, nil)
		ps := partitions(topic, 2)
		write(t, l, ps[1], "a")
		w := join(t, l, "w", topic, topic)
		w.untilRead(ps[1], 1)
		bustest.Eventually(t, "a stable group", func(ctx context.Context) bool {
			g, err := l.DescribeGroup(ctx, topic)
			return err == nil && g.State == "Stable"
		})
		if d := member(t, l, topic); d.ClientID != "autobus-test" || !slices.Equal(d.Holds, ps) || d.ID == "" {
			t.Errorf("described as %+v", d)
		}
		if err := l.DeleteGroup(t.Context(), topic); !errors.Is(err, kafka.ErrGroupInUse) {
			t.Errorf("delete a group with a member: %v", err)
		}
		w.leave()
		if w.committed != nil || len(w.revoked) != 2 {
			t.Errorf("revoked %v, commit %v", w.revoked, w.committed)
		}
		if got, err := l.Committed(t.Context(), topic); err != nil || got[ps[1]] != (kafka.Commit{Offset: 1, Metadata: "w"}) {
			t.Errorf("committed %v, error %v", got, err)
		}
		if g, err := l.DescribeGroup(t.Context(), topic); err != nil || g.State != "Empty" || len(g.Members) > 0 {
			t.Errorf("after leaving: %+v, error %v", g, err)
		}
		if err := w.m.Commit(t.Context(), map[kafka.TP]kafka.Commit{ps[0]: {}}); !errors.Is(err, kafka.ErrFenced) {
			t.Errorf("commit after leaving: %v", err)
		}
		for range 2 { // the second time there is nothing to delete
			if err := l.DeleteGroup(t.Context(), topic); err != nil {
				t.Error(err)
			}
			if got, err := l.Committed(t.Context(), topic); err != nil || len(got) > 0 {
				t.Errorf("after deleting: committed %v, error %v", got, err)
			}
		}
		if g, err := l.DescribeGroup(t.Context(), topic); err != nil || g.State != "Dead" {
			t.Errorf("a group that does not exist: %+v, error %v", g, err)
		}
	})
}

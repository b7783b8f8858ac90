// SPDX-License-Identifier: Apache-2.0

package kafka_test

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/autobus-io/autobus/internal/bustest"
	"github.com/autobus-io/autobus/internal/kafka"
)

// A member whose session expired is told that its partitions are lost, may commit nothing, and begins anew.
func TestAnExpelledMemberCommitsNothing(t *testing.T) {
	onBoth(t, func(t *testing.T, l *kafka.Log) {
		topic := bustest.Prefix()
		create(t, l, topic, 1, nil)
		tp := kafka.TP{Topic: topic}
		write(t, l, tp, "a", "b")
		started := make(chan struct{}, 2)
		lost := make(chan []kafka.TP, 2)
		var leaving atomic.Bool
		// A heartbeat as usual: the commit comes before the member hears of its end.
		m, err := l.Join(t.Context(), kafka.Group{ID: topic, Topics: []string{topic},
			Start: func(context.Context, map[kafka.TP]kafka.Commit) (map[kafka.TP]int64, error) {
				started <- struct{}{}
				return map[kafka.TP]int64{tp: 0}, nil
			},
			Revoked: func(_ context.Context, tps []kafka.TP) {
				if !leaving.Load() {
					t.Errorf("revoked %v", tps)
				}
			},
			Lost: func(tps []kafka.TP) { lost <- tps }})
		if err != nil {
			t.Fatal(err)
		}
		left := make(chan struct{})
		defer func() {
			leaving.Store(true)
			if err := m.Leave(context.Background()); err != nil {
				t.Error(err)
			}
			<-left
		}()
		if records, _, err := m.Poll(t.Context()); err != nil || len(records) == 0 {
			t.Fatalf("records %v, error %v", records, err)
		}
		<-started
		bustest.Eventually(t, "the group's settling", func(ctx context.Context) bool {
			return m.Commit(ctx, map[kafka.TP]kafka.Commit{tp: {Offset: 1}}) == nil
		})
		m.Pause(tp) // ends with the assignment
		if err := kafka.Expel(t.Context(), l, topic, member(t, l, topic).ID); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), bustest.Patience)
		defer cancel()
		err = m.Commit(ctx, map[kafka.TP]kafka.Commit{tp: {Offset: 2}})
		if errs, ok := errors.AsType[kafka.CommitErrors](err); !ok || !errors.Is(errs[tp], kafka.ErrFenced) {
			t.Errorf("commit of an expelled member: %v", err)
		}
		if got := <-lost; !slices.Equal(got, []kafka.TP{tp}) {
			t.Errorf("lost %v", got)
		}
		// What the caller has of the lost assignment is out of its hands once it polls again, not before.
		bustest.Eventually(t, "another assignment", func(ctx context.Context) bool {
			g, err := l.DescribeGroup(ctx, topic)
			return err == nil && g.State == "Stable" && len(g.Members) == 1 && len(g.Members[0].Holds) == 1
		})
		select {
		case <-started:
			t.Error("the partition was started before the caller came back")
		case <-time.After(300 * time.Millisecond):
		}
		go func() {
			defer close(left)
			for next := int64(0); ; {
				records, _, err := m.Poll(context.Background())
				if err != nil {
					return
				}
				for _, r := range records {
					if r.Offset != next {
						t.Errorf("offset %d instead of %d", r.Offset, next)
					}
					next = r.Offset + 1
				}
				if next == 2 {
					lost <- nil
				}
			}
		}()
		<-started
		<-lost
		if got, err := l.Committed(t.Context(), topic); err != nil || got[tp].Offset != 1 {
			t.Errorf("committed %v, error %v", got, err)
		}
	})
}

// quickly starts a cluster whose answers can be spoilt, with topic "t" of two partitions and a worker that read both.
func quickly(t *testing.T) (*kfake.Cluster, *kafka.Log, *worker, []kafka.TP) {
	t.Helper()
	c, l := faulty(t, 1, nil)
	ps := partitions("t", 2)
	for _, tp := range ps {
		write(t, l, tp, "a")
	}
	w := join(t, l, "w", "g", "t")
	for _, tp := range ps {
		w.untilRead(tp, 1)
	}
	return c, l, w, ps
}

// The client joins again under another id when the group threw it out while it was joining, and tells nobody. It would
// read on what another member may have had meanwhile, and commit it.
func TestAMemberExpelledWhileJoiningIsFenced(t *testing.T) {
	c, l, a, ps := quickly(t)
	old := member(t, l, "g").ID
	fault := c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.JoinGroup}, TopLevel: true, Err: kerr.UnknownMemberID,
		When: func(r kmsg.Request) bool { return r.(*kmsg.JoinGroupRequest).MemberID == old }})
	defer fault.Remove()
	syncing, release := make(chan struct{}, 9), make(chan struct{})
	c.ControlKey(int16(kmsg.SyncGroup), func(kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		syncing <- struct{}{}
		c.SleepControl(func() { <-release })
		return nil, nil, false
	})
	join(t, l, "b", "g", "t")
	<-syncing
	<-syncing // both are in, nobody knows yet who has what
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if err := a.m.Commit(ctx, map[kafka.TP]kafka.Commit{ps[0]: {Offset: 1}}); !errors.Is(err, kafka.ErrFenced) {
		t.Errorf("commit under the new id: %v", err)
	}
	close(release)
	a.until("the end", func() bool { return errors.Is(a.ended, kafka.ErrFenced) })
	if fault.Hits() == 0 {
		t.Fatal("the broker did not refuse the member")
	}
	if len(a.lost) != 2 || len(a.revoked) != 0 {
		t.Errorf("lost %v, revoked %v", a.lost, a.revoked)
	}
}

// SPDX-License-Identifier: Apache-2.0

package kafka_test

import (
	"context"
	"encoding/binary"
	"errors"
	"net"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/autobus-io/autobus/internal/bustest"
	"github.com/autobus-io/autobus/internal/kafka"
)

// A commit that waits for the end of a rebalance is given up for the partition that the rebalance took away.
func TestAWaitingCommitEndsWithItsAssignment(t *testing.T) {
	c, l, w, ps := quickly(t)
	waits := c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.OffsetCommit}, Err: kerr.RebalanceInProgress, Count: -1})
	defer waits.Remove()
	committed := make(chan error, 1)
	go func() {
		committed <- w.m.Commit(t.Context(), map[kafka.TP]kafka.Commit{ps[0]: {Offset: 1}, ps[1]: {Offset: 1}})
	}()
	bustest.Eventually(t, "a refused commit", func(context.Context) bool { return waits.Hits() > 0 })
	join(t, l, "b", "g", "t").untilHolds(1)
	waits.Remove()
	err := <-committed
	if errs, ok := errors.AsType[kafka.CommitErrors](err); !ok || len(errs) != 1 || len(w.revoked) != 1 ||
		!errors.Is(errs[w.revoked[0]], kafka.ErrFenced) {
		t.Errorf("revoked %v, commit %v", w.revoked, err)
	}
}

// Each partition's commit has its own answer, and what passes is waited for.
func TestCommitAnswersForEachPartition(t *testing.T) {
	c, l, w, ps := quickly(t)
	both := func(at int64) map[kafka.TP]kafka.Commit {
		return map[kafka.TP]kafka.Commit{ps[0]: {Offset: at, Metadata: "0"}, ps[1]: {Offset: at, Metadata: "1"}}
	}
	refused := c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.OffsetCommit}, Partitions: []int32{0},
		Err: kerr.OffsetMetadataTooLarge})
	defer refused.Remove()
	err := w.m.Commit(t.Context(), both(1))
	if errs, ok := errors.AsType[kafka.CommitErrors](err); !ok || len(errs) != 1 ||
		!errors.Is(errs[ps[0]], kafka.ErrMetadataTooLarge) || !errors.Is(err, kafka.ErrMetadataTooLarge) {
		t.Errorf("one was refused: %v", err)
	}
	if got, err := l.Committed(t.Context(), "g"); err != nil || len(got) != 1 || got[ps[1]].Metadata != "1" {
		t.Errorf("committed %v, error %v", got, err)
	}
	for _, answer := range []*kerr.Error{kerr.RebalanceInProgress, kerr.IllegalGeneration, kerr.NotCoordinator,
		kerr.CoordinatorLoadInProgress} {
		passes := c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.OffsetCommit}, Partitions: []int32{1}, Err: answer, Count: 2})
		if err := w.m.Commit(t.Context(), both(1)); err != nil || passes.Hits() != 2 {
			t.Errorf("%s %d times: %v", answer.Message, passes.Hits(), err)
		}
		passes.Remove()
	}
	stays := c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.OffsetCommit}, Err: kerr.RebalanceInProgress, Count: -1})
	defer stays.Remove()
	ctx, cancel := context.WithTimeout(t.Context(), 150*time.Millisecond)
	defer cancel()
	if err := w.m.Commit(ctx, both(1)); !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, kafka.ErrFenced) {
		t.Errorf("a rebalance without end: %v", err)
	}
	other := kafka.TP{Topic: "t", Partition: 7}
	if err := w.m.Commit(t.Context(), map[kafka.TP]kafka.Commit{other: {}}); !errors.Is(err, kafka.ErrFenced) {
		t.Errorf("a partition that is not held: %v", err)
	}
}

// A commit that nobody waits for any more is not overtaken: the position would go back.
func TestCommitsDoNotOvertakeEachOther(t *testing.T) {
	c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(2, "t"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	sent, release := make(chan struct{}, 9), make(chan struct{})
	l, err := kafka.Open(t.Context(), kafka.Config{Name: "test", Brokers: c.ListenAddrs(), Logger: bustest.Logger(t),
		Dial: func(ctx context.Context, network, addr string) (net.Conn, error) {
			conn, err := new(net.Dialer).DialContext(ctx, network, addr)
			return watched{conn, sent}, err
		}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close(context.Background()) })
	w := join(t, l, "w", "g", "t")
	w.untilHolds(2)
	c.ControlKey(int16(kmsg.OffsetCommit), func(kmsg.Request) (kmsg.Response, error, bool) {
		c.SleepControl(func() { <-release }) // the first alone
		return nil, nil, false
	})
	ctx, cancel := context.WithCancel(t.Context())
	first, second := make(chan error, 1), make(chan error, 1)
	go func() { first <- w.m.Commit(ctx, map[kafka.TP]kafka.Commit{tp: {Offset: 10}}) }()
	<-sent
	cancel()
	if err := <-first; !errors.Is(err, context.Canceled) {
		t.Errorf("a commit that was given up: %v", err)
	}
	go func() { second <- w.m.Commit(t.Context(), map[kafka.TP]kafka.Commit{tp: {Offset: 20}}) }()
	select {
	case <-sent:
		t.Error("the second commit was sent while the first was under way")
	case <-time.After(200 * time.Millisecond):
	}
	close(release)
	if err := <-second; err != nil {
		t.Error(err)
	}
	if got, err := l.Committed(t.Context(), "g"); err != nil || got[tp].Offset != 20 {
		t.Errorf("committed %v, error %v", got, err)
	}
}

// watched tells of each commit that goes over a connection: the request's key stands after its length.
type watched struct {
	net.Conn
	sent chan<- struct{}
}

func (w watched) Write(b []byte) (int, error) {
	if len(b) > 6 && kmsg.Key(binary.BigEndian.Uint16(b[4:])) == kmsg.OffsetCommit {
		w.sent <- struct{}{}
	}
	return w.Conn.Write(b)
}

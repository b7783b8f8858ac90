// SPDX-License-Identifier: Apache-2.0

package kafka_test

import (
	"context"
	"log/slog"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/kafka"
)

// A leader falls silent, and refuses nothing: its process stands still, or its machine is gone. Another one leads its
// partitions after 9 s, as in Kafka. Then writing goes on, however much was appended meanwhile: what waits for the
// silent one must not have to fail there piece by piece, nor stand in the way of the question who leads.
func TestASilentLeaderHoldsUpNobodyForLong(t *testing.T) {
	const most = 15 * time.Second
	t.Run("stands still", func(t *testing.T) { synctest.Test(t, func(t *testing.T) { fallSilent(t, false, most) }) })
	t.Run("gone", func(t *testing.T) { synctest.Test(t, func(t *testing.T) { fallSilent(t, true, most) }) })
}

func fallSilent(t *testing.T, gone bool, most time.Duration) {
	vn := new(kfake.VirtualNetwork)
	c, err := kfake.NewCluster(kfake.NumBrokers(3), kfake.Ports(9093, 9094, 9095), kfake.ListenFn(vn.Listen),
		kfake.SeedTopics(6, "t"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	lead := func(partition, broker int32) {
		if err := c.MoveTopicPartition("t", partition, broker); err != nil {
			t.Fatal(err)
		}
	}
	for p := range int32(6) {
		lead(p, p%3)
	}
	s := &silence{vn: vn, addr: c.ListenAddrs()[0], gone: gone}
	l, err := kafka.Open(t.Context(), kafka.Config{Name: "test", Brokers: c.ListenAddrs(), Dial: s.Dial,
		Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close(context.Background()) }()

	w := &writes{t: t, l: l, last: map[int32]time.Time{}, gap: map[int32]time.Duration{}}
	w.during(2 * time.Second)
	s.on.Store(true)
	w.during(9 * time.Second)
	lead(0, 1)
	lead(3, 2)
	w.during(10 * time.Second)
	w.settled.Wait()
	if s.lost.Load() == 0 {
		t.Error("nothing was sent to the silent broker")
	}
	for p, gap := range w.gap {
		if p%3 == 0 && gap > most || p%3 != 0 && gap > time.Second {
			t.Errorf("partition %d was not written to for %s", p, gap)
		}
	}
	s.on.Store(false)
	lead(0, 0)
	w.during(time.Second) // it is found again
	w.settled.Wait()
}

// A broker that starts is connected to before it answers.
func TestOpenWaitsForASilentBroker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		vn := new(kfake.VirtualNetwork)
		c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.Ports(9093), kfake.ListenFn(vn.Listen))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		s := &silence{vn: vn, addr: c.ListenAddrs()[0]}
		cfg := kafka.Config{Name: "test", Brokers: c.ListenAddrs(), Dial: s.Dial, Logger: slog.New(slog.DiscardHandler)}
		s.on.Store(true)
		if _, err := kafka.Open(t.Context(), cfg); reasonOf(err) != autobus.ReasonClusterUnreachable {
			t.Errorf("it never answers: %v", err)
		}
		time.AfterFunc(5*time.Second, func() { s.on.Store(false) })
		l, err := kafka.Open(t.Context(), cfg)
		if err != nil {
			t.Fatalf("it answers after 5 s: %v", err)
		}
		_ = l.Close(t.Context())
	})
}

// writes is a steady load on six partitions.
type writes struct {
	t       *testing.T
	l       *kafka.Log
	settled sync.WaitGroup
	mu      sync.Mutex
	last    map[int32]time.Time
	gap     map[int32]time.Duration // the longest between two answers
}

func (w *writes) during(d time.Duration) {
	for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		for p := range int32(6) {
			w.settled.Add(1)
			if err := w.l.Append(&kafka.Append{TP: kafka.TP{Topic: "t", Partition: p},
				Records: []kafka.Record{{Value: []byte("x"), Time: time.Now()}},
				Done:    func(_ int, _ int64, err error) { w.answered(p, err) }}); err != nil {
				w.t.Error(err)
				w.settled.Done()
			}
		}
	}
}

func (w *writes) answered(p int32, err error) {
	defer w.settled.Done()
	w.mu.Lock()
	defer w.mu.Unlock()
	now := time.Now()
	if before, ok := w.last[p]; ok {
		w.gap[p] = max(w.gap[p], now.Sub(before))
	}
	w.last[p] = now
	if err != nil {
		w.t.Errorf("partition %d: %v", p, err)
	}
}

// silence makes an address say nothing any more: connections stay, and what is written to them is lost. New ones are
// made still, as to a process that stands still, or they time out.
type silence struct {
	vn   *kfake.VirtualNetwork
	addr string
	gone bool
	on   atomic.Bool
	lost atomic.Int32 // writes
}

func (s *silence) Dial(ctx context.Context, network, addr string) (net.Conn, error) {
	if addr == s.addr && s.gone && s.on.Load() {
		select {
		case <-time.After(3 * time.Second):
			return nil, &net.OpError{Op: "dial", Net: network, Err: os.ErrDeadlineExceeded}
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	c, err := s.vn.DialContext(ctx, network, addr)
	if err != nil || addr != s.addr {
		return c, err
	}
	return &silenced{c, s}, nil
}

type silenced struct {
	net.Conn
	s *silence
}

func (c *silenced) Write(b []byte) (int, error) {
	if c.s.on.Load() {
		c.s.lost.Add(1)
		return len(b), nil
	}
	return c.Conn.Write(b)
}

// Read gives nothing that comes while the address is silent.
func (c *silenced) Read(b []byte) (int, error) {
	for {
		n, err := c.Conn.Read(b)
		if err != nil || !c.s.on.Load() {
			return n, err
		}
	}
}

// SPDX-License-Identifier: Apache-2.0

package delay

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/autobus-io/autobus/internal/kafka"
)

var quiet = slog.New(slog.DiscardHandler)

// station is a keeper, and what it released.
type station struct {
	*Keeper
	log  *kafka.Log
	got  chan Entry
	fail func(Entry) error // why it is not released now

	mu    sync.Mutex
	saved map[kafka.TP]int64
}

func newStation(t *testing.T, log *kafka.Log) *station { return newStationOf(t, Group, log) }

func newStationOf(t *testing.T, name string, log *kafka.Log) *station {
	t.Helper()
	s := &station{log: log, got: make(chan Entry, 10_000), saved: map[kafka.TP]int64{},
		fail: func(Entry) error { return nil }}
	s.Keeper = New(Config{Name: name, Log: log, Partitions: 2, Logger: quiet,
		Release: func(_ context.Context, due []Entry) []error {
			errs := make([]error, len(due))
			for i, e := range due {
				if errs[i] = s.fail(e); errs[i] == nil {
					s.got <- e
				}
			}
			return errs
		},
		Saved: func(tp kafka.TP, _ [16]byte) (int64, bool) {
			s.mu.Lock()
			defer s.mu.Unlock()
			at, ok := s.saved[tp]
			return at, ok
		},
		Save: func(_ context.Context, tp kafka.TP, _ [16]byte, at int64) error {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.saved[tp] = at
			return nil
		}})
	return s
}

// work runs the keeper until the returned function is called.
func (s *station) work(t *testing.T) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { defer close(ended); _ = s.Run(ctx) }()
	stop = sync.OnceFunc(func() { cancel(); <-ended })
	t.Cleanup(stop)
	return stop
}

// keep has an entry kept until due.
func (s *station) keep(t *testing.T, id string, due time.Time) {
	t.Helper()
	if err := s.Ready(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	rec := kafka.Record{Key: []byte("k"), Value: []byte(id), Headers: []kafka.Header{{Key: "ce_id", Value: []byte(id)}}}
	r := s.Record(Entry{ID: id, Due: RoundDue(due), Since: time.Now(), Owner: "tester", Record: rec})
	if _, err := s.log.Write(t.Context(), r); err != nil {
		t.Fatal(err)
	}
}

// next waits for what is released next, which must be due.
func (s *station) next(t *testing.T) Entry {
	t.Helper()
	select {
	case e := <-s.got:
		if now := time.Now(); now.Before(e.Due) {
			t.Errorf("%s was released %s early", e.ID, e.Due.Sub(now))
		}
		r := e.Record
		if string(r.Key) != "k" || string(r.Value) != e.ID || len(r.Headers) != 1 || e.Owner != "tester" {
			t.Errorf("released %+v", e)
		}
		return e
	case <-time.After(time.Minute):
		t.Fatal("nothing was released")
	}
	panic("unreachable")
}

func embedded(t *testing.T) *kafka.Log {
	t.Helper()
	broker, err := kafka.OpenEmbedded(kafka.EmbeddedConfig{Addr: "127.0.0.1:0", Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = broker.Close() })
	return connect(t, kafka.Config{Brokers: []string{broker.Addr()}})
}

func connect(t *testing.T, cfg kafka.Config) *kafka.Log {
	t.Helper()
	cfg.Name, cfg.ClientID, cfg.Logger = "test", "autobus/test/here", quiet
	log, err := kafka.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = log.Close(context.Background()) })
	return log
}

func TestWhatIsDueSoonIsReleased(t *testing.T) {
	s := newStation(t, embedded(t))
	s.work(t)
	now := time.Now()
	s.keep(t, "later", now.Add(1500*time.Millisecond))
	s.keep(t, "sooner", now.Add(700*time.Millisecond))
	s.keep(t, "past", now.Add(-time.Hour))
	for _, want := range []string{"past", "sooner", "later"} {
		if e := s.next(t); e.ID != want {
			t.Errorf("released %s, want %s", e.ID, want)
		}
	}
}

// TestAnotherKeeperGoesOn ends a keeper while something of a later place is done and something before it is not.
func TestAnotherKeeperGoesOn(t *testing.T) {
	log := embedded(t)
	first := newStation(t, log)
	stop := first.work(t)
	now := time.Now()
	for i := range 20 { // over both partitions
		first.keep(t, fmt.Sprintf("later %d", i), now.Add(4*time.Second))
		first.keep(t, fmt.Sprintf("at once %d", i), now)
	}
	for range 20 {
		first.next(t)
	}
	stop()
	second := newStation(t, log)
	var left []string
	if err := second.Each(t.Context(), func(e Entry) bool { left = append(left, e.ID); return true }); err != nil {
		t.Fatal(err)
	}
	if len(left) != 20 {
		t.Errorf("%d are left: %q", len(left), left)
	}
	second.work(t)
	seen := map[string]bool{}
	for range 20 {
		seen[second.next(t).ID] = true
	}
	for i := range 20 {
		if !seen[fmt.Sprintf("later %d", i)] {
			t.Errorf("later %d was not released; released: %v", i, seen)
		}
	}
}

func TestWhatCannotBeReleasedComesAgain(t *testing.T) {
	s := newStation(t, embedded(t))
	times := 0
	s.fail = func(e Entry) error {
		if times++; e.ID == "hard" && times < 3 {
			return errors.New("not now")
		}
		return nil
	}
	s.work(t)
	s.keep(t, "hard", time.Now())
	if e := s.next(t); e.ID != "hard" || times != 3 {
		t.Errorf("%s after %d times", e.ID, times)
	}
}

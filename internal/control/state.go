// SPDX-License-Identifier: Apache-2.0

package control

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/kafka"
)

// StateTopic is the topic of the state log.
const StateTopic = "_autobus.state"

var statePartition = kafka.TP{Topic: StateTopic, Partition: 0}

// State follows the state log and writes to it: key -> value, the last one wins. Each key has one writer at a time;
// nothing here compares. Safe for concurrent use.
type State struct {
	log    *kafka.Log
	logger *slog.Logger
	reader *kafka.Reader
	tail   *tail

	mu     sync.RWMutex
	values map[string][]byte
}

// OpenState creates the state log on first use and replays it to its end.
func OpenState(ctx context.Context, log *kafka.Log, logger *slog.Logger) (*State, error) {
	s := &State{log: log, logger: logger, tail: newTail(log, statePartition)}
	if err := s.replay(ctx); err != nil {
		if s.reader != nil {
			s.reader.Close()
		}
		return nil, err
	}
	return s, nil
}

// Run follows the log until ctx ends. Nothing that becomes of the log ends it: what is lost here is repeated work.
func (s *State) Run(ctx context.Context) error {
	defer func() { s.reader.Close() }()
	for {
		err := s.follow(ctx)
		for err != nil {
			if ctx.Err() != nil {
				return nil
			}
			s.tail.reach(0) // until it is read anew, nothing counts as read
			s.logger.Warn("follow state log", "error", err)
			pause(ctx)
			err = s.replay(ctx)
		}
	}
}

// follow applies what comes until there is an error.
func (s *State) follow(ctx context.Context) error {
	for {
		records, err := s.reader.Poll(ctx)
		if err != nil {
			return err
		}
		for i := range records {
			s.mu.Lock()
			s.apply(s.values, &records[i])
			s.mu.Unlock()
			s.tail.reach(records[i].Offset + 1)
		}
	}
}

// replay reads the log from its start and puts what it says into the place of what was known. Reading on after an error
// would not do: what was removed meanwhile may have left the log, the removal too, or the log is another one.
func (s *State) replay(ctx context.Context) error {
	if err := s.create(ctx); err != nil {
		return err
	}
	starts, err := s.log.Starts(ctx, StateTopic)
	if err != nil {
		return err
	}
	ends, err := s.log.Ends(ctx, StateTopic)
	if err != nil {
		return err
	}
	next, end := starts[statePartition], ends[statePartition]
	reader, err := s.log.Follow(map[kafka.TP]int64{statePartition: next})
	if err != nil {
		return err
	}
	if s.reader != nil {
		s.reader.Close()
	}
	s.reader = reader
	values := map[string][]byte{}
	for next < end {
		records, err := reader.Poll(ctx)
		if err != nil {
			return err
		}
		for i := range records {
			s.apply(values, &records[i])
			next = records[i].Offset + 1
		}
	}
	s.mu.Lock()
	s.values = values
	s.mu.Unlock()
	s.tail.reach(next)
	return nil
}

// create makes the topic unless it is there. Small segments, because what is not yet compacted is read at each start.
func (s *State) create(ctx context.Context) error {
	_, err := s.log.CreateInternal(ctx, StateTopic, 1, map[string]string{
		"cleanup.policy":            "compact",
		"segment.bytes":             strconv.Itoa(16 << 20),
		"min.cleanable.dirty.ratio": "0.1",
	})
	return err
}

// apply takes one record into values.
func (s *State) apply(values map[string][]byte, r *kafka.Record) {
	switch {
	case r.Marker: // of somebody's transaction: an offset that is passed
	case r.Key == nil:
		s.logger.Error("state record has no key and does not count", "offset", r.Offset)
	case r.Value == nil:
		delete(values, string(r.Key))
	default:
		values[string(r.Key)] = bytes.Clone(r.Value) // else it keeps the whole fetch in memory
	}
}

// Get returns the last value of a key that was read here. It is not to be changed.
func (s *State) Get(key string) ([]byte, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	v, ok := s.values[key]
	return v, ok
}

// Each calls f for the last value of each key with a prefix that was read here, in no order. The values are not to be
// changed.
func (s *State) Each(prefix string, f func(key string, value []byte)) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for key, value := range s.values {
		if strings.HasPrefix(key, prefix) {
			f(key, value)
		}
	}
}

// Put stores a value, nil removes the key; it returns when every in-sync replica has it. Get shows it once it was read
// back, at the latest behind a Barrier. ReasonOutcomeUnknown: it may or may not be stored.
func (s *State) Put(ctx context.Context, key string, value []byte) error {
	if len(value) > maxValueBytes {
		return autobus.NewError(autobus.ReasonEventTooLarge, "the state of %s has %d bytes, at most %d fit", key, len(value),
			maxValueBytes)
	}
	_, err := s.log.Write(ctx, kafka.Record{TP: statePartition, Key: []byte(key), Value: value, Time: time.Now()})
	if kafka.Gone(err) {
		s.log.Renew(StateTopic) // the topic was made anew; the next Put finds it
	}
	if err == nil || errors.Is(err, &autobus.Error{Reason: autobus.ReasonCapacity}) {
		return err
	}
	return autobus.NewError(autobus.ReasonOutcomeUnknown, "the state of %s may or may not be stored", key).WithCause(err)
}

// Barrier returns when everything that was in the log before the call is seen by Get. Run must be running.
func (s *State) Barrier(ctx context.Context) error { return s.tail.barrier(ctx) }

// SPDX-License-Identifier: Apache-2.0

package control

import (
	"context"
	"errors"
	"time"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/kafka"
)

// maxRecordBytes is the topic's max.message.bytes, maxValueBytes leaves room in it for the envelope.
const (
	maxRecordBytes = autobus.MaxEventBytes + autobus.InternalTopicExtra
	maxValueBytes  = autobus.MaxEventBytes
)

// Change writes a record and returns its offset once it was applied and watched here. ReasonControlConflict: Prev was
// no longer current, nothing changed. ReasonOutcomeUnknown: the brokers did not answer; read again before retrying.
// Run must be running.
func (l *Log) Change(ctx context.Context, r Record) (at int64, err error) {
	if len(r.Value) > maxValueBytes {
		return None, autobus.NewError(autobus.ReasonEventTooLarge, "the %s record of %s has %d bytes, at most %d fit",
			r.Kind, r.Name, len(r.Value), maxValueBytes)
	}
	// Refusing early saves a record in the log; that Prev is current here does not yet decide anything.
	if current, _ := l.Get(r.Kind, r.Name); current.Offset > r.Prev {
		return None, conflict(r, current)
	}
	change, won := newChange(), make(chan bool, 1)
	if r.Time.IsZero() {
		r.Time = time.Now()
	}
	value, err := encode(r, change)
	if err != nil {
		return None, err
	}
	l.mu.Lock()
	l.changes[change] = won
	l.mu.Unlock()
	defer func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.changes, change)
	}()
	at, appendErr := appendRecord(ctx, l.log, r, value)
	if errors.Is(appendErr, &autobus.Error{Reason: autobus.ReasonCapacity}) {
		return None, appendErr // certainly not written
	}
	if appendErr != nil {
		// It may be in the log all the same: the barrier tells, if the cluster answers at all.
		if err := l.Barrier(ctx); err != nil {
			return None, unknown(r, appendErr)
		}
	} else if err := l.tail.await(ctx, at+1); err != nil {
		return None, unknown(r, err)
	}
	select {
	case ok := <-won:
		if !ok {
			current, _ := l.Get(r.Kind, r.Name)
			return None, conflict(r, current)
		}
		return at, nil
	default:
		return None, unknown(r, appendErr)
	}
}

// appendRecord writes one control record and waits for its offset.
func appendRecord(ctx context.Context, log *kafka.Log, r Record, value []byte) (int64, error) {
	return log.Write(ctx, kafka.Record{TP: partition, Key: []byte(r.Kind + "/" + r.Name), Value: value, Time: r.Time})
}

func conflict(r, current Record) error {
	return autobus.NewError(autobus.ReasonControlConflict,
		"the %s %s was changed at offset %d by %q, this change names offset %d", r.Kind, r.Name, current.Offset,
		current.Actor, r.Prev)
}

func unknown(r Record, cause error) error {
	return autobus.NewError(autobus.ReasonOutcomeUnknown, "the change of %s %s may or may not take effect", r.Kind,
		r.Name).WithCause(cause).WithHint("Look whether it did before you repeat it.")
}

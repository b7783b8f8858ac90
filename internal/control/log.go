// SPDX-License-Identifier: Apache-2.0

// Package control is the control log: the one place where everything is decided that the instances of a cluster have
// to agree on, such as routes, specs and tokens.
//
// The log is the topic _autobus.control: one partition, never compacted, never deleted. A record names the offset of
// the record it replaces (Prev); readers apply it only if that one is still current. So the log's order is the
// compare-and-set, and a writer learns whether it won by reading on to its own record. No election, no lock, no
// second store: a restart is a replay, and the log is the audit trail.
//
// Beside it stands the topic _autobus.state (State): facts that have one writer each and are worth only their last
// value, such as how far a subscription is. It is compacted, and losing it costs repeated work, never an event.
//
// What it owns: the envelope of records, compare-and-set, watching, the read barrier. What it refuses to know: what
// the values mean; values.go and position.go only say how they are written, because stored forms outlive builds.
package control

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/kafka"
)

// Topic is the topic of the control log.
const Topic = "_autobus.control"

var partition = kafka.TP{Topic: Topic, Partition: 0}

// Log follows the control log and writes to it. Safe for concurrent use.
type Log struct {
	log     *kafka.Log
	logger  *slog.Logger
	reader  *kafka.Reader
	cluster ClusterValue
	tail    *tail

	apply    sync.Mutex // held while a record is applied and its watchers run
	watchers map[string][]func(Record)

	mu      sync.Mutex
	state   map[string]map[string]Record // kind, name -> record in force, removals included
	changes map[string]chan bool         // change id -> whether it won
}

// Open replays the log to its end. ReasonClusterNotReady: there is none and never was. ReasonControlLost: there is
// none, or an empty or cut one, beside topics that only the bus can have made. ReasonTypeUnreadable: a newer version
// prepared the cluster.
func Open(ctx context.Context, log *kafka.Log, logger *slog.Logger) (*Log, error) {
	if err := check(ctx, log); err != nil {
		return nil, err
	}
	ends, err := log.Ends(ctx, Topic)
	if err != nil {
		return nil, err
	}
	l := &Log{
		log: log, logger: logger,
		tail:     newTail(log, partition),
		watchers: map[string][]func(Record){},
		state:    map[string]map[string]Record{},
		changes:  map[string]chan bool{},
	}
	log.Limit(Topic, maxRecordBytes)
	if l.reader, err = log.Follow(map[kafka.TP]int64{partition: 0}); err != nil {
		return nil, err
	}
	for l.End() < ends[partition] {
		if err := l.poll(ctx); err != nil {
			l.reader.Close()
			return nil, err
		}
	}
	if l.cluster, err = l.first(); err != nil {
		l.reader.Close()
		return nil, err
	}
	return l, nil
}

// Run follows the log until ctx ends. It returns an error only when the log was cut under its feet.
func (l *Log) Run(ctx context.Context) error {
	defer func() { l.reader.Close() }()
	for ctx.Err() == nil {
		err := l.poll(ctx)
		if err == nil || ctx.Err() != nil {
			continue
		}
		if errors.Is(err, &autobus.Error{Reason: autobus.ReasonPositionLost}) {
			return lost("its records were deleted while this instance followed them").WithCause(err)
		}
		l.logger.Warn("follow control log", "error", err)
		if err := l.still(ctx); err != nil {
			return err
		}
		pause(ctx)
		l.reader.Close()
		if l.reader, err = l.log.Follow(map[kafka.TP]int64{partition: l.End()}); err != nil {
			return err
		}
	}
	return nil
}

// still tells whether the log that was followed is gone or was made anew. A cluster that does not answer is neither.
func (l *Log) still(ctx context.Context) error {
	err := check(ctx, l.log)
	if errors.Is(err, &autobus.Error{Reason: autobus.ReasonControlLost}) ||
		errors.Is(err, &autobus.Error{Reason: autobus.ReasonClusterNotReady}) {
		return lost("it was deleted while this instance followed it").WithCause(err)
	}
	if err == nil {
		if id, err := readID(ctx, l.log); err == nil && id != l.cluster.ID {
			return lost("another one was made while this instance followed it")
		}
	}
	return nil // also when the cluster does not answer: it is asked again
}

// ClusterID is the random id that the first record gave the cluster.
func (l *Log) ClusterID() string { return l.cluster.ID }

// ClusterName is the name that the first record gave the cluster.
func (l *Log) ClusterName() string { return l.cluster.Name }

// End is the offset behind the last record applied here.
func (l *Log) End() int64 { return l.tail.end() }

// Get returns the record in force. When the thing does not exist, the record's Offset is still the Prev that a new
// one has to name: None, or the offset of the removal.
func (l *Log) Get(kind, name string) (Record, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	r, ok := l.state[kind][name]
	if !ok {
		return Record{Offset: None, Kind: kind, Name: name}, false
	}
	return r, !r.Removed()
}

// All returns the records in force of a kind, by name.
func (l *Log) All(kind string) []Record {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := make([]Record, 0, len(l.state[kind]))
	for _, r := range l.state[kind] {
		if !r.Removed() {
			out = append(out, r)
		}
	}
	slices.SortFunc(out, func(a, b Record) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// Newer returns the records in force that a newer build wrote and this one cannot read, removals left out: what they
// govern is refused here. In the order of kinds and names.
func (l *Log) Newer() []Record {
	l.mu.Lock()
	defer l.mu.Unlock()
	var out []Record
	for _, records := range l.state {
		for _, r := range records {
			if r.Version > Version && !r.Removed() {
				out = append(out, r)
			}
		}
	}
	slices.SortFunc(out, func(a, b Record) int {
		return cmp.Or(strings.Compare(a.Kind, b.Kind), strings.Compare(a.Name, b.Name))
	})
	return out
}

// Watch gives f all records of a kind in force, then each that is applied from now on, removals included, in order
// and one at a time. f must not wait and must not call Change, Barrier or Watch.
func (l *Log) Watch(kind string, f func(Record)) {
	l.apply.Lock()
	defer l.apply.Unlock()
	for _, r := range l.All(kind) {
		f(r)
	}
	l.watchers[kind] = append(l.watchers[kind], f)
}

// Barrier returns when everything that was in the log before the call has been applied and watched here.
func (l *Log) Barrier(ctx context.Context) error { return l.tail.barrier(ctx) }

func (l *Log) poll(ctx context.Context) error {
	records, err := l.reader.Poll(ctx)
	for i := range records {
		l.applyRecord(&records[i])
	}
	return err
}

// applyRecord decides whether a record counts. This decision must never change for records already written: all
// instances, of all builds, have to come to the same state.
func (l *Log) applyRecord(raw *kafka.Record) {
	l.apply.Lock()
	defer l.apply.Unlock()
	var r Record
	var change string
	var err error
	won := false
	if !raw.Marker {
		r, change, err = decode(raw.Offset, raw.Value)
	}
	current, _ := l.Get(r.Kind, r.Name)
	switch {
	case raw.Marker: // of somebody's transaction: an offset that is passed
	case err != nil:
		l.logger.Error("control record is not readable and does not count", "offset", raw.Offset, "error", err)
	case r.Kind == KindCluster && r.Offset != 0: // what the first record says holds for good
	case current.Offset == r.Prev:
		won = true
		l.mu.Lock()
		if l.state[r.Kind] == nil {
			l.state[r.Kind] = map[string]Record{}
		}
		l.state[r.Kind][r.Name] = r
		l.mu.Unlock()
		for _, f := range l.watchers[r.Kind] {
			f(r)
		}
	}
	l.mu.Lock()
	if waiting, ok := l.changes[change]; ok {
		waiting <- won
		delete(l.changes, change)
	}
	l.mu.Unlock()
	l.tail.reach(raw.Offset + 1) // last: whoever waits for it looks at the above
}

// first returns the value of the log's first record. One that is no cluster record is not a bus's log; one of a newer
// version is, and this build keeps away from it.
func (l *Log) first() (ClusterValue, error) {
	for _, r := range l.All(KindCluster) {
		if r.Offset != 0 {
			continue
		}
		v, err := Decode[ClusterValue](r)
		if err != nil && r.Version <= Version {
			break
		}
		return v, err
	}
	return ClusterValue{}, lost("its first record does not name the cluster")
}

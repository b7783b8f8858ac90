// SPDX-License-Identifier: Apache-2.0

package kafka

import (
	"context"
	"errors"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Append is one or more records for one partition, written in order.
type Append struct {
	TP      TP
	Records []Record // their own TP is ignored

	// Done is called once per record, with its offset or with an error, after which the record may or may not be in
	// the log. It runs on the client's goroutine and must not wait.
	Done func(i int, offset int64, err error)
}

// Append hands the records over, all or none: an error means that certainly nothing was or will be written.
// ReasonCapacity is the usual one. Records are in the order in which Append was called. Where the brokers have not
// answered for a while copies are handed over: a record may be a small part of what came with it, and what waits must
// not hold more memory than it was admitted with.
func (l *Log) Append(a *Append) error {
	if len(a.Records) == 0 {
		return nil
	}
	var bytes int64
	for i := range a.Records {
		bytes += a.Records[i].size()
	}
	client, wait, err := l.producer(a.TP, bytes, int64(len(a.Records)), a.Records[0].Time)
	if err != nil {
		return err
	}
	out := make([]kgo.Record, len(a.Records))
	for i := range a.Records {
		r, o := a.Records[i], &out[i]
		if wait {
			r = r.Clone()
		}
		o.Topic, o.Partition = a.TP.Topic, a.TP.Partition
		o.Key, o.Value, o.Timestamp, o.Headers = r.Key, r.Value, r.Time, r.Headers
	}
	f := &flight{log: l, tp: a.TP, wait: wait, done: a.Done}
	for i := range out {
		f.hand(client, &out[i], i, a.Records[i].size())
	}
	return nil
}

// flight is an append that was handed over: nothing but what has to be told at its end, for it may wait long.
type flight struct {
	log  *Log
	tp   TP
	wait bool
	done func(i int, offset int64, err error)
}

// hand gives the client one record. The context is the background one, always: the client looks at the context of a
// partition's first record and fails every record behind it.
func (f *flight) hand(client *kgo.Client, r *kgo.Record, i int, size int64) {
	client.TryProduce(context.Background(), r, func(r *kgo.Record, err error) {
		f.log.buffer.release(f.tp, size, r.Timestamp, f.wait)
		f.done(i, r.Offset, err)
	})
}

// Write appends one record and waits for its offset. ReasonCapacity means that certainly nothing was written; after any
// other error, that of ctx among them, the record may or may not be in the log.
func (l *Log) Write(ctx context.Context, r Record) (offset int64, err error) {
	type result struct {
		offset int64
		err    error
	}
	done := make(chan result, 1)
	if err := l.Append(&Append{TP: r.TP, Records: []Record{r},
		Done: func(_ int, offset int64, err error) { done <- result{offset, err} }}); err != nil {
		return 0, err
	}
	select {
	case res := <-done:
		return res.offset, res.err
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

// InFlight tells how much was handed over and is not settled.
func (l *Log) InFlight() BufferUsage { return l.buffer.usage() }

// defaultBatch is what a topic takes when nobody said otherwise: Kafka's default max.message.bytes is 1,048,588.
const defaultBatch = 1_000_012

// Limit sets a topic's largest batch, which is its max.message.bytes, and returns the one that is in force. The
// producer asks once, at a topic's first append; a later change needs a new producer, and that one has to wait until
// nothing of the topic is in flight.
func (l *Log) Limit(topic string, maxMessageBytes int32) (inForce int32) {
	l.limiting.Lock() // else of two changes at once the one could undo the other
	defer l.limiting.Unlock()
	before, known := l.limits.Swap(topic, maxMessageBytes)
	if !known || before == maxMessageBytes || l.Renew(topic) {
		return maxMessageBytes
	}
	l.limits.Store(topic, before)
	return before.(int32)
}

// renewWait is how long appends of a topic are held back for what is in flight before them; usually that takes some
// milliseconds, and where a partition has no leader it would take for ever.
const renewWait = 500 * time.Millisecond

// Renew gives a topic a producer of its own, which knows nothing of the topic: after its batch limit changed, or after
// it was deleted and made again. What comes meanwhile is held back until the appends in flight are settled, for it
// would overtake them. When that takes too long nothing is done, and the answer is false.
//
// It has to be another producer, with another id. Made to forget a topic, the client would count its sequence from 0
// under the old id, and the broker would take what is new for a copy of what it has: acknowledged, and not written.
func (l *Log) Renew(topic string) bool {
	c, err := l.newProducer()
	if err != nil {
		l.logger.Error("renew the producer", "topic", topic, "error", err)
		return false
	}
	gate := make(chan struct{})
	l.mu.Lock()
	if _, renewing := l.gates[topic]; renewing {
		l.mu.Unlock()
		c.Close()
		return false
	}
	l.gates[topic] = gate
	l.mu.Unlock()

	settled := l.buffer.settled(topic, renewWait)

	l.mu.Lock()
	delete(l.gates, topic)
	old := l.renewed[topic]
	if settled {
		l.renewed[topic] = c
	}
	l.mu.Unlock()
	close(gate)
	switch {
	case !settled:
		c.Close()
	case old != nil:
		old.Close() // nothing is in flight in it: it served this topic alone
	}
	return settled
}

// producer reserves room for an append of that time and gives the client that serves the topic, and whether the append
// will have to wait. All happens under one lock, so that Renew sees every append that uses the old client.
func (l *Log) producer(tp TP, bytes, records int64, at time.Time) (c *kgo.Client, wait bool, err error) {
	l.mu.RLock()
	for gate := l.gates[tp.Topic]; gate != nil; gate = l.gates[tp.Topic] {
		l.mu.RUnlock()
		<-gate
		l.mu.RLock()
	}
	defer l.mu.RUnlock()
	if wait, err = l.buffer.reserve(tp, bytes, records, at); err != nil {
		return nil, false, err
	}
	if c, ok := l.renewed[tp.Topic]; ok {
		return c, wait, nil
	}
	return l.client, wait, nil
}

// Gone reports whether an append failed because the topic is not, or no longer, the one the producer knew.
func Gone(err error) bool {
	return errors.Is(err, kerr.UnknownTopicID) || errors.Is(err, kerr.UnknownTopicOrPartition)
}

// TooLarge reports whether an append failed because the record is larger than its topic takes.
func TooLarge(err error) bool { return errors.Is(err, kerr.MessageTooLarge) }

func (l *Log) batchLimit(topic string) int32 {
	if n, ok := l.limits.Load(topic); ok {
		return n.(int32)
	}
	return defaultBatch
}

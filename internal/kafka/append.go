// SPDX-License-Identifier: Apache-2.0

package kafka

import (
	"context"
	"errors"

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
// ReasonCapacity is the usual one. Records are in the order in which Append was called.
func (l *Log) Append(a *Append) error {
	var bytes int64
	for i := range a.Records {
		bytes += a.Records[i].size()
	}
	if err := l.buffer.reserve(a.TP, bytes, int64(len(a.Records))); err != nil {
		return err
	}
	out := make([]kgo.Record, len(a.Records))
	for i := range a.Records {
		r, o := &a.Records[i], &out[i]
		o.Topic, o.Partition = a.TP.Topic, a.TP.Partition
		o.Key, o.Value, o.Timestamp = r.Key, r.Value, r.Time
		o.Headers = make([]kgo.RecordHeader, len(r.Headers))
		for j, h := range r.Headers {
			o.Headers[j] = kgo.RecordHeader{Key: h.Key, Value: h.Value}
		}
	}
	for i := range out {
		size := a.Records[i].size()
		// The background context, always: the client looks at the context of a partition's first record and fails
		// every record behind it.
		l.client.TryProduce(context.Background(), &out[i], func(r *kgo.Record, err error) {
			l.buffer.release(a.TP, size)
			a.Done(i, r.Offset, err)
		})
	}
	return nil
}

// InFlight tells how much was handed over and is not settled.
func (l *Log) InFlight() BufferUsage { return l.buffer.usage() }

// defaultBatch is what a topic takes when nobody said otherwise: Kafka's default max.message.bytes is 1,048,588.
const defaultBatch = 1_000_012

// Limit sets a topic's largest batch, which is its max.message.bytes, and reports whether that limit is in force. The
// producer asks once, at a topic's first append; a later change has to wait until nothing of the topic is in flight.
func (l *Log) Limit(topic string, maxMessageBytes int32) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	before, known := l.limits[topic]
	if before == maxMessageBytes {
		return true
	}
	if known {
		if l.buffer.holds(topic) {
			return false
		}
		l.Forget(topic)
	}
	l.limits[topic] = maxMessageBytes
	return true
}

// Forget drops what the producer remembers of a topic: its batch limit and its id, which changes when a topic is
// deleted and created again. Records still in flight get an error, for they would wait for ever.
func (l *Log) Forget(topic string) { l.client.PurgeTopicsFromProducing(topic) }

// Gone reports whether an append failed because the topic is not, or no longer, the one the producer knew.
func Gone(err error) bool {
	return errors.Is(err, kerr.UnknownTopicID) || errors.Is(err, kerr.UnknownTopicOrPartition)
}

func (l *Log) batchLimit(topic string) int32 {
	l.mu.Lock()
	defer l.mu.Unlock()
	if n, ok := l.limits[topic]; ok {
		return n
	}
	return defaultBatch
}

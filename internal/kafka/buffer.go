// SPDX-License-Identifier: Apache-2.0

package kafka

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/autobus-io/autobus"
)

const (
	// maxRecords is what the client may hold. Our own bound is half of it, so that the client itself never refuses
	// in the middle of an append.
	maxRecords = 1 << 20
	// perRecord is what a record costs beside its bytes.
	perRecord = 128
)

// buffer admits appends before the first record of them is handed over. One partition takes at most a quarter, so
// that a partition without a leader starves nobody else; an empty partition always admits one append, so that no
// append is too large for ever.
type buffer struct {
	limit   int64
	metrics bufferMetrics

	mu    sync.Mutex
	total usage
	parts map[TP]*usage
	idle  map[string]chan struct{} // topic -> closed when nothing of it is in flight
}

type usage struct{ bytes, records int64 }

// BufferUsage is what is in flight between the gateway and the brokers.
type BufferUsage struct {
	Bytes   int64 `json:"bytes"`
	Records int64 `json:"records"`
	Limit   int64 `json:"limit"`
}

type bufferMetrics struct {
	refused, lost prometheus.Counter
}

func newBuffer(limit int64, reg prometheus.Registerer) *buffer {
	b := &buffer{limit: limit, parts: map[TP]*usage{}, idle: map[string]chan struct{}{}}
	b.metrics = bufferMetrics{
		refused: prometheus.NewCounter(prometheus.CounterOpts{Name: "autobus_kafka_appends_refused_total",
			Help: "Appends refused because the buffer of a partition was full."}),
		lost: prometheus.NewCounter(prometheus.CounterOpts{Name: "autobus_kafka_data_loss_total",
			Help: "Times the brokers were seen to have lost acknowledged records."}),
	}
	if reg != nil {
		reg.MustRegister(b.metrics.refused, b.metrics.lost,
			prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "autobus_kafka_buffer_bytes",
				Help: "Bytes handed to the brokers and not yet acknowledged."},
				func() float64 { return float64(b.usage().Bytes) }))
	}
	return b
}

// reserve takes room for one append, whole or not at all.
func (b *buffer) reserve(tp TP, bytes, records int64) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	p := b.parts[tp]
	if p == nil {
		p = &usage{}
		b.parts[tp] = p
	}
	if p.records > 0 {
		full := p.bytes+bytes > b.limit/4 || p.records+records > maxRecords/8 ||
			b.total.bytes+bytes > b.limit || b.total.records+records > maxRecords/2
		if full {
			b.metrics.refused.Inc()
			e := autobus.NewError(autobus.ReasonCapacity, "partition %d of %s has %d bytes waiting for its leader",
				tp.Partition, tp.Topic, p.bytes)
			e.RetryAfter = time.Second
			return e
		}
	}
	p.bytes += bytes
	p.records += records
	b.total.bytes += bytes
	b.total.records += records
	return nil
}

// release gives back one record's share.
func (b *buffer) release(tp TP, bytes int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	p := b.parts[tp]
	p.bytes -= bytes
	p.records--
	if p.records == 0 {
		delete(b.parts, tp)
		if idle := b.idle[tp.Topic]; idle != nil && !b.holds(tp.Topic) {
			close(idle)
			delete(b.idle, tp.Topic)
		}
	}
	b.total.bytes -= bytes
	b.total.records--
}

func (b *buffer) usage() BufferUsage {
	b.mu.Lock()
	defer b.mu.Unlock()
	return BufferUsage{Bytes: b.total.bytes, Records: b.total.records, Limit: b.limit}
}

// settled waits until nothing of a topic is in flight, and reports whether that was so in time.
func (b *buffer) settled(topic string, within time.Duration) bool {
	b.mu.Lock()
	if !b.holds(topic) {
		b.mu.Unlock()
		return true
	}
	idle := b.idle[topic]
	if idle == nil {
		idle = make(chan struct{})
		b.idle[topic] = idle
	}
	b.mu.Unlock()
	select {
	case <-idle:
		return true
	case <-time.After(within):
		return false
	}
}

// holds reports whether anything of a topic is in flight.
func (b *buffer) holds(topic string) bool {
	for tp := range b.parts {
		if tp.Topic == topic {
			return true
		}
	}
	return false
}

func (b *buffer) dataLoss() { b.metrics.lost.Inc() }

// Size is what the record takes, about: its bytes and what there is around them.
func (r *Record) Size() int { return int(r.size()) }

func (r *Record) size() int64 {
	n := len(r.Key) + len(r.Value) + perRecord
	for i := range r.Headers {
		n += len(r.Headers[i].Key) + len(r.Headers[i].Value)
	}
	return int64(n)
}

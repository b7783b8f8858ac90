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

// buffer admits appends before the first record of them is handed over. One partition takes at most a quarter and one
// topic at most half, so that neither a partition without a leader nor a burst of one type starves anybody else; an
// empty partition always admits one append, so that no append is too large for ever.
type buffer struct {
	limit   int64
	metrics bufferMetrics

	mu     sync.Mutex
	total  usage
	late   int64             // bytes of what had to wait when it came
	topics map[string]*usage // those of which something is in flight
	parts  map[TP]*share
	idle   map[string]chan struct{} // topic -> closed when nothing of it is in flight
}

type usage struct{ bytes, records int64 }

// share is what is in flight of a partition, and the time of the newest record of it that was answered: how far that is
// behind a new one is how long appends take at the moment.
type share struct {
	usage
	answered time.Time
}

// waits is how far behind its newest record a partition's answers are when what comes has to wait. Brokers that are
// well take milliseconds.
const waits = 250 * time.Millisecond

// BufferUsage is what is in flight between the gateway and the brokers.
type BufferUsage struct {
	Bytes   int64 `json:"bytes"`
	Records int64 `json:"records"`
	Limit   int64 `json:"limit"`
	Waiting int64 `json:"-"` // those of the bytes that came while the brokers had not answered for a while
}

type bufferMetrics struct {
	refused, lost prometheus.Counter
}

func newBuffer(limit int64, reg prometheus.Registerer) *buffer {
	b := &buffer{limit: limit, topics: map[string]*usage{}, parts: map[TP]*share{}, idle: map[string]chan struct{}{}}
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

// reserve takes room for one append of that time, whole or not at all, and tells whether it will have to wait there.
func (b *buffer) reserve(tp TP, bytes, records int64, at time.Time) (wait bool, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	p := b.parts[tp]
	if p == nil {
		p = &share{answered: at}
		b.parts[tp] = p
	}
	t := b.topics[tp.Topic]
	if t == nil {
		t = &usage{}
		b.topics[tp.Topic] = t
	}
	if p.records > 0 {
		full := p.exceeds(bytes, records, b.limit/4, maxRecords/8) || t.exceeds(bytes, records, b.limit/2, maxRecords/4) ||
			b.total.exceeds(bytes, records, b.limit, maxRecords/2)
		if full {
			b.metrics.refused.Inc()
			e := autobus.NewError(autobus.ReasonCapacity, "%s has %d bytes waiting for the brokers, its partition %d %d",
				tp.Topic, t.bytes, tp.Partition, p.bytes)
			e.RetryAfter = time.Second
			return false, e
		}
	}
	for _, u := range []*usage{&p.usage, t, &b.total} {
		u.bytes += bytes
		u.records += records
	}
	if wait = at.Sub(p.answered) > waits; wait {
		b.late += bytes
	}
	return wait, nil
}

// exceeds reports whether so much more would be over a limit.
func (u *usage) exceeds(bytes, records, limit, most int64) bool {
	return u.bytes+bytes > limit || u.records+records > most
}

// release gives back the share of one record, which is of that time and had to wait or not.
func (b *buffer) release(tp TP, bytes int64, at time.Time, waited bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	p, t := b.parts[tp], b.topics[tp.Topic]
	p.answered = at
	if waited {
		b.late -= bytes
	}
	for _, u := range []*usage{&p.usage, t, &b.total} {
		u.bytes -= bytes
		u.records--
	}
	if p.records == 0 {
		delete(b.parts, tp)
	}
	if t.records == 0 {
		delete(b.topics, tp.Topic)
		if idle := b.idle[tp.Topic]; idle != nil {
			close(idle)
			delete(b.idle, tp.Topic)
		}
	}
}

func (b *buffer) usage() BufferUsage {
	b.mu.Lock()
	defer b.mu.Unlock()
	return BufferUsage{Bytes: b.total.bytes, Records: b.total.records, Limit: b.limit, Waiting: b.late}
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
func (b *buffer) holds(topic string) bool { return b.topics[topic] != nil }

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

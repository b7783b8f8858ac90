// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/kafka"
)

// publisher sends batches for callers; each caller has what it needs to itself, as services have.
type publisher struct {
	send func(ctx context.Context, caller, first int) error
}

// publish prepares rounds of publishing.
func (r *rig) publish(ctx context.Context) (w work, err error) {
	direct, err := r.directly(ctx, r.values, r.Callers, r.Batch, r.Clients)
	if err != nil {
		return w, err
	}
	l := load{callers: r.Callers, batch: r.Batch, rate: r.Rate, lasts: r.plan.Round}
	w.direct = func(ctx context.Context) (*measured, error) { return r.loaded(ctx, l, direct) }
	if r.Mode == Direct {
		return w, r.touch(ctx, l, direct)
	}
	bus, err := r.byBus(ctx, r.values, r.Callers, r.Batch)
	if err != nil {
		return w, err
	}
	w.bus = func(ctx context.Context) (*measured, error) { return r.loaded(ctx, l, bus) }
	return w, r.touch(ctx, l, direct, bus)
}

// touch sends one batch of each caller, so that no round pays for connections, metadata and checks of a route.
func (r *rig) touch(ctx context.Context, l load, publishers ...publisher) error {
	for _, p := range publishers {
		for c := range l.callers {
			if err := p.send(ctx, c, 0); err != nil {
				return err
			}
			r.acked += int64(l.batch)
		}
	}
	return nil
}

func (r *rig) loaded(ctx context.Context, l load, p publisher) (*measured, error) {
	return r.around(func(func() error) (*sample, error) {
		s, err := l.run(ctx, p.send)
		r.acked += s.events
		return s, err
	})
}

// Shape of the load that warms up: many small events, so that it is work for the processors and not for the disk.
const (
	warmCallers = 16
	warmBatch   = 100
	warmSize    = 100
)

// warmUp loads the brokers, then the gateway: a broker on a Java machine is three times slower in its first seconds.
func (r *rig) warmUp(ctx context.Context) error {
	if r.plan.WarmUp <= 0 {
		return nil
	}
	defer r.closeTo(len(r.closes))
	values := pool(r.Value, warmSize)
	l := load{callers: warmCallers, batch: warmBatch, lasts: r.plan.WarmUp}
	if r.Mode != Direct {
		l.lasts /= 2
		if r.Transport == Single {
			l.batch = 1
		}
		bus, err := r.byBus(ctx, values, l.callers, l.batch)
		if err != nil {
			return err
		}
		if _, err = r.loaded(ctx, l, bus); err != nil {
			return err
		}
	}
	direct, err := r.directly(ctx, values, l.callers, l.batch, 1)
	if err == nil {
		_, err = r.loaded(ctx, l, direct)
	}
	return err
}

// directly opens Kafka clients that write to direct's topic, and deals them out to callers.
func (r *rig) directly(ctx context.Context, values []payload, callers, batch, clients int) (publisher, error) {
	return r.producers(ctx, r.direct, values, callers, batch, clients)
}

func (r *rig) producers(ctx context.Context, topic string, values []payload, callers, batch, clients int) (
	publisher, error) {
	open := make([]*kafka.Bare, clients)
	for i := range open {
		c, err := r.writer(ctx)
		if err != nil {
			return publisher{}, err
		}
		open[i] = c
	}
	producers := make([]*producer, callers)
	for i := range producers {
		producers[i] = r.newProducer(topic, fmt.Sprintf("%s-%d-", r.name, i))
	}
	return publisher{send: func(ctx context.Context, caller, first int) error {
		p := producers[caller]
		p.fill(values, caller*len(values)/callers+first, batch)
		return open[caller%clients].Produce(ctx, &p.batch)
	}}, nil
}

// producer makes one caller's records: the very ones that the bus writes, with headers and key. Its memory is used
// again and again.
type producer struct {
	topic      string
	partitions int32
	batch      kafka.BareBatch
	headers    []kafka.Header
	keyed      int // index of the header that repeats the key; -1 = none
	ids        []byte
	prefix     string
	n          int64
}

// Indexes in producer.headers.
const headerID, headerTime = 1, 4

func (r *rig) newProducer(topic, prefix string) *producer {
	p := &producer{topic: topic, partitions: int32(r.Partitions), prefix: prefix, keyed: -1}
	content := "application/json"
	if r.Value == Opaque {
		content = opaqueContent
	}
	for _, h := range [][2]string{{"ce_specversion", "1.0"}, {"ce_id", ""}, {"ce_source", "/bench"}, {"ce_type", r.typ},
		{"ce_time", ""}, {"content-type", content}, {"autobus-epoch", "1"}} {
		p.headers = append(p.headers, kafka.Header{Key: h[0], Value: []byte(h[1])})
	}
	if r.Value == Opaque {
		p.keyed = len(p.headers)
		p.headers = append(p.headers, kafka.Header{Key: "ce_" + autobus.ExtPartitionKey})
	}
	return p
}

const opaqueContent = "application/octet-stream"

// idBytes is how long ids are: as long as a UUID, which the bus gives.
const idBytes = 36

func (p *producer) fill(values []payload, first, batch int) {
	p.begin(batch)
	for i := range batch {
		at := len(p.ids)
		p.ids = append(p.ids, p.prefix...)
		p.ids = strconv.AppendInt(p.ids, p.n, 10)
		for len(p.ids)-at < idBytes {
			p.ids = append(p.ids, '.')
		}
		p.n++
		p.add(p.ids[at:len(p.ids):len(p.ids)], &values[(first+i)%len(values)])
	}
}

// begin empties the batch. Its records share a time, as those of a publish do.
func (p *producer) begin(batch int) {
	p.batch.Reset()
	p.ids = p.ids[:0]
	if cap(p.ids) < batch*idBytes {
		p.ids = make([]byte, 0, batch*idBytes)
	}
	at := &p.headers[headerTime].Value
	*at = time.Now().UTC().AppendFormat((*at)[:0], time.RFC3339Nano)
}

func (p *producer) add(id []byte, v *payload) {
	p.headers[headerID].Value = id
	if p.keyed >= 0 {
		p.headers[p.keyed].Value = v.key
	}
	tp := kafka.TP{Topic: p.topic, Partition: kafka.PartitionOf(kafka.Murmur2, v.key, p.partitions)}
	p.batch.Add(tp, v.key, v.data, p.headers)
}

// byBus opens connections to the gateway and deals them out to callers.
func (r *rig) byBus(ctx context.Context, values []payload, callers, batch int) (publisher, error) {
	if r.Transport != Frames {
		return r.byHTTP(values, callers, batch)
	}
	open, err := r.dial(ctx, r.Connections)
	if err != nil {
		return publisher{}, err
	}
	batches := make([]*autobus.Batch, callers)
	for i := range batches {
		batches[i] = &autobus.Batch{Events: make([]autobus.Event, batch)}
	}
	return publisher{send: func(ctx context.Context, caller, first int) error {
		b := batches[caller]
		for i := range b.Events {
			v := &values[(caller*len(values)/callers+first+i)%len(values)]
			b.Events[i] = r.event(v)
		}
		return written(ctx, open[caller%len(open)], b)
	}}, nil
}

func (r *rig) event(v *payload) autobus.Event {
	e := autobus.Event{Type: r.typ, Data: v.data}
	if r.Value == Opaque {
		e.ContentType = opaqueContent
		e.Extensions = []autobus.Extension{{Name: autobus.ExtPartitionKey, Value: string(v.key)}}
	}
	return e
}

func (r *rig) dial(ctx context.Context, n int) ([]autobus.Bus, error) {
	open := make([]autobus.Bus, n)
	for i := range open {
		bus, hangUp, err := r.Dial(ctx)
		if err != nil {
			return nil, err
		}
		r.defers(hangUp)
		open[i] = bus
	}
	return open, nil
}

// written publishes a batch and wants all of it to be written.
func written(ctx context.Context, bus autobus.Bus, b *autobus.Batch) error {
	if err := bus.Publish(ctx, b); err != nil {
		return err
	}
	for _, rc := range b.Wait(ctx) {
		if rc.Status != autobus.Written {
			return rc.Err
		}
	}
	return nil
}

// SPDX-License-Identifier: Apache-2.0

package kafka

import (
	"context"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/autobus-io/autobus"
)

// Bare is a Kafka client as a service without the bus would have it, tuned by hand: the yardstick of autobus bench. It
// waits for all in-sync replicas and writes each record once, as the bus does; it admits, counts and renews nothing.
type Bare struct {
	client *kgo.Client
	cfg    Config
}

// OpenBare connects one producer.
func OpenBare(ctx context.Context, cfg Config) (*Bare, error) {
	return bare(ctx, cfg,
		kgo.RequiredAcks(kgo.AllISRAcks()),
		kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.ProducerLinger(0), // what waits for a broker's answer goes out together as it is
		kgo.ProducerBatchCompression(kgo.NoCompression()),
		kgo.MaxBufferedRecords(maxRecords))
}

// OpenBareGroup joins a consumer group that reads a topic from its beginning.
func OpenBareGroup(ctx context.Context, cfg Config, group, topic string) (*Bare, error) {
	return bare(ctx, cfg, kgo.ConsumerGroup(group), kgo.ConsumeTopics(topic), kgo.DisableAutoCommit(),
		kgo.Balancers(kgo.CooperativeStickyBalancer()), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
}

// OpenBareReader reads partitions from given offsets on.
func OpenBareReader(ctx context.Context, cfg Config, from map[TP]int64) (*Bare, error) {
	return bare(ctx, cfg, kgo.ConsumePartitions(offsets(from)))
}

func bare(ctx context.Context, cfg Config, more ...kgo.Opt) (*Bare, error) {
	opts, err := connectOptions(cfg)
	if err != nil {
		return nil, err
	}
	client, err := kgo.NewClient(append(opts, more...)...)
	if err != nil {
		return nil, autobus.NewError(autobus.ReasonConfigInvalid, "kafka: %v", err).WithCause(err)
	}
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	if err := client.Ping(ctx); err != nil {
		client.Close()
		return nil, unreachable(cfg, err)
	}
	return &Bare{client: client, cfg: cfg}, nil
}

// Close ends the client; a member leaves its group.
func (b *Bare) Close() { b.client.Close() }

// BareBatch is records to write. One that is used again costs no memory, as a producer tuned by hand would have it.
type BareBatch struct {
	records []kgo.Record
	sent    []*kgo.Record
	headers []Header
}

// Reset forgets the records.
func (b *BareBatch) Reset() { b.records, b.headers = b.records[:0], b.headers[:0] }

// Add adds a record. The headers are copied; key, value and what headers point to stay the caller's, and must not
// change before Produce returned.
func (b *BareBatch) Add(tp TP, key, value []byte, headers []Header) {
	at := len(b.headers)
	b.headers = append(b.headers, headers...)
	b.records = append(b.records, kgo.Record{Topic: tp.Topic, Partition: tp.Partition, Key: key, Value: value,
		Headers: b.headers[at:len(b.headers):len(b.headers)]})
}

// Produce writes the records and waits until every in-sync replica has them all.
func (b *Bare) Produce(ctx context.Context, batch *BareBatch) error {
	batch.sent = batch.sent[:0]
	for i := range batch.records {
		batch.sent = append(batch.sent, &batch.records[i])
	}
	return b.client.ProduceSync(ctx, batch.sent...).FirstErr()
}

// Poll waits for records and tells how many came; id, unless nil, is called with the header ce_id of each. The error is
// ctx's own or what the brokers answered.
func (b *Bare) Poll(ctx context.Context, id func([]byte)) (int, error) {
	fetches := b.client.PollFetches(ctx)
	if errs := fetches.Errors(); len(errs) > 0 {
		if ctx.Err() != nil {
			return 0, ctx.Err()
		}
		return 0, readError(errs[0])
	}
	n := fetches.NumRecords()
	if id != nil {
		fetches.EachRecord(func(r *kgo.Record) {
			for _, h := range r.Headers {
				if h.Key == "ce_id" {
					id(h.Value)
				}
			}
		})
	}
	return n, nil
}

// Commit commits what was polled.
func (b *Bare) Commit(ctx context.Context) error { return b.client.CommitUncommittedOffsets(ctx) }

// SPDX-License-Identifier: Apache-2.0

package kafka

import (
	"context"
	"errors"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/autobus-io/autobus"
)

// Reader reads partitions from given offsets on, without a group. It never jumps: where the offset is gone it says so.
type Reader struct {
	client *kgo.Client
}

// Limits of one reader's memory: a fetch is held twice at most for each broker, and a batch that some writer compressed
// may not unpack to more than maxUnpacked. How many brokers are asked at a time is not limited: those that have nothing
// hold their answer back, and those that have something would wait for them.
const (
	fetchBytes  = 2 << 20
	pollRecords = 1000
	maxUnpacked = 64 << 20
)

// Read opens a reader. Only committed records are read; what is being written in a transaction is waited for.
func (l *Log) Read(from map[TP]int64) (*Reader, error) { return l.read(from) }

// ReadPlaces is Read, with the markers of transactions as records: for who has to know how far he is.
func (l *Log) ReadPlaces(from map[TP]int64) (*Reader, error) {
	return l.read(from, kgo.KeepControlRecords())
}

// Follow opens a reader for a log of the bus's own, in which every offset counts: what somebody writes in a transaction
// is read as it comes, so that an open one holds up nothing, and its markers come as records.
func (l *Log) Follow(from map[TP]int64) (*Reader, error) {
	return l.read(from, kgo.FetchIsolationLevel(kgo.ReadUncommitted()), kgo.KeepControlRecords())
}

func (l *Log) read(from map[TP]int64, more ...kgo.Opt) (*Reader, error) {
	opts, err := connectOptions(l.cfg)
	if err != nil {
		return nil, err
	}
	opts = append(append(opts, fetchOptions(l.cfg.times())...), kgo.ConsumePartitions(offsets(from)))
	c, err := kgo.NewClient(append(opts, more...)...)
	if err != nil {
		return nil, autobus.NewError(autobus.ReasonConfigInvalid, "kafka: %v", err).WithCause(err)
	}
	return &Reader{client: c}, nil
}

// fetchOptions are those of every client that reads, alone or in a group.
func fetchOptions(t Times) []kgo.Opt {
	return []kgo.Opt{
		kgo.ConsumeResetOffset(kgo.NoResetOffset()), // a position that is gone is said, never jumped over
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.FetchMaxBytes(fetchBytes),
		kgo.FetchMaxPartitionBytes(fetchBytes / 4),
		kgo.FetchMaxWait(t.Fetch),
		kgo.MaxDecompressBatchBytes(maxUnpacked),
	}
}

// Add reads further partitions as well.
func (r *Reader) Add(from map[TP]int64) { r.client.AddConsumePartitions(offsets(from)) }

// Poll waits for records and returns them, those of one partition in order. The error is ctx's own, or
// ReasonPositionLost when a position fell behind the log's start, or what the brokers answered; after one the reader
// is to be closed.
func (r *Reader) Poll(ctx context.Context) ([]Record, error) {
	fetches := r.client.PollRecords(ctx, pollRecords)
	if errs := fetches.Errors(); len(errs) > 0 {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, readError(errs[0])
	}
	out := make([]Record, 0, fetches.NumRecords())
	fetches.EachRecord(func(k *kgo.Record) { out = append(out, record(k)) })
	return out, nil
}

func record(k *kgo.Record) Record {
	if k.Attrs.IsControl() {
		return Record{TP: TP{k.Topic, k.Partition}, Offset: k.Offset, Time: k.Timestamp, Marker: true}
	}
	return Record{TP: TP{k.Topic, k.Partition}, Offset: k.Offset, Time: k.Timestamp, Key: k.Key, Value: k.Value,
		Headers: k.Headers}
}

// Close ends the reader.
func (r *Reader) Close() { r.client.Close() }

func readError(fe kgo.FetchError) error {
	var loss *kgo.ErrDataLoss
	switch {
	case errors.Is(fe.Err, kerr.OffsetOutOfRange), errors.As(fe.Err, &loss):
		return autobus.NewError(autobus.ReasonPositionLost, "partition %d of %s no longer has the position asked for",
			fe.Partition, fe.Topic).WithCause(fe.Err)
	case errors.Is(fe.Err, kerr.UnknownTopicID), errors.Is(fe.Err, kerr.InconsistentTopicID):
		return autobus.NewError(autobus.ReasonPositionLost, "topic %s was deleted, and perhaps made again", fe.Topic).
			WithCause(fe.Err)
	case errors.Is(fe.Err, kgo.ErrClientClosed):
		return context.Canceled
	}
	return autobus.NewError(autobus.ReasonClusterUnreachable, "reading partition %d of %s: %v", fe.Partition, fe.Topic,
		fe.Err).WithCause(fe.Err)
}

func offsets(from map[TP]int64) map[string]map[int32]kgo.Offset {
	out := map[string]map[int32]kgo.Offset{}
	for tp, at := range from {
		if out[tp.Topic] == nil {
			out[tp.Topic] = map[int32]kgo.Offset{}
		}
		out[tp.Topic][tp.Partition] = kgo.NewOffset().At(at)
	}
	return out
}

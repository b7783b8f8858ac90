// SPDX-License-Identifier: Apache-2.0

// Package kafka is the log: it connects to one cluster, appends records, reads them back alone or as a member of a
// consumer group, describes and creates topics, and runs the embedded broker. It is the only package that imports a
// Kafka client.
//
// What it owns: admission of appends per partition, the settings of the client under which order and acknowledgement
// can be promised, which partitions a group's member holds, and the translation of the client's errors. What it refuses
// to know: events, types, specs, what a commit's metadata means, who is asking. Above it an event has an outcome; here
// a record has an offset or an error.
//
// Invariants: an Append that returns an error has certainly written nothing; once it returned nil, Done is called
// exactly once per record, and an error there means that the record may or may not be in the log. No context of a
// caller ever reaches the producer, because the client would fail every buffered record of a partition when the
// context of its first one ends. A record that was handed over is never given up while the process lives. A group's
// member reads a partition from where it was told, and commits only while it has held it without a break.
package kafka

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"math"
	"net"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"

	"github.com/autobus-io/autobus"
)

// TP names one partition.
type TP struct {
	Topic     string
	Partition int32
}

// Header is one record header: Key and Value. It is the client's own type, so that a record's headers reach the client,
// and come from it, without a copy of each.
type Header = kgo.RecordHeader

// Record is one record of a partition. Offset is the log's to give; it is ignored by Append.
type Record struct {
	TP
	Offset  int64
	Time    time.Time
	Key     []byte // nil is no key
	Value   []byte // nil is a tombstone
	Headers []Header
	Marker  bool // a marker of a transaction: an offset and nothing else; only ReadPlaces, Follow and members give them
}

// Clone is a copy that shares no memory with what was fetched with the record. It takes three pieces of memory,
// however many headers there are.
func (r Record) Clone() Record {
	size, names := len(r.Key)+len(r.Value), 0
	for i := range r.Headers {
		size += len(r.Headers[i].Value)
		names += len(r.Headers[i].Key)
	}
	block := make([]byte, 0, size)
	own := func(b []byte) []byte {
		if b == nil {
			return nil
		}
		n := len(block)
		block = append(block, b...)
		return block[n:len(block):len(block)]
	}
	r.Key, r.Value = own(r.Key), own(r.Value)
	if len(r.Headers) == 0 {
		return r
	}
	var all strings.Builder
	all.Grow(names)
	for i := range r.Headers {
		all.WriteString(r.Headers[i].Key)
	}
	keys := all.String()
	headers := make([]Header, len(r.Headers))
	for i, h := range r.Headers {
		headers[i] = Header{Key: keys[:len(h.Key)], Value: own(h.Value)}
		keys = keys[len(h.Key):]
	}
	r.Headers = headers
	return r
}

// Config says how to reach one cluster.
type Config struct {
	Name     string   // what the bus calls the cluster
	Brokers  []string // host:port, any of the cluster's brokers
	ClientID string   // "autobus/<instance>/<advertised address>"; how instances find each other
	TLS      *tls.Config
	SASL     *SASL
	Buffer   int64 // bytes of appends in flight; 0 = the smaller of 256 MiB and a quarter of the memory limit
	Logger   *slog.Logger
	Metrics  prometheus.Registerer // nil = none

	// Dial makes the connections; nil = TCP, with TLS if that is set.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)

	Times *Times // nil = those that a real cluster wants
}

func (c Config) times() Times {
	if c.Times != nil {
		return *c.Times
	}
	return defaultTimes()
}

// SASL names the mechanism (plain, scram-sha-256 or scram-sha-512) and the credentials.
type SASL struct{ Mechanism, User, Password string }

// Log is a handle on one cluster: a producer that the topics share, and an admin client. Safe for concurrent use.
type Log struct {
	cfg    Config
	client *kgo.Client
	admin  *kadm.Client
	buffer *buffer
	logger *slog.Logger
	limits sync.Map // topic -> int32, its largest batch in bytes

	limiting sync.Mutex // held around a change of a limit

	mu      sync.RWMutex
	renewed map[string]*kgo.Client   // topic -> producer of its own, see Renew
	gates   map[string]chan struct{} // topic -> closed when appends may go on
}

// connectTimeout bounds the first contact: a cluster that is there answers well within it.
const connectTimeout = 10 * time.Second

// Open connects and proves that a broker answers; ReasonClusterUnreachable otherwise.
func Open(ctx context.Context, cfg Config) (*Log, error) {
	if cfg.Buffer == 0 {
		cfg.Buffer = defaultBuffer()
	}
	l := &Log{cfg: cfg, logger: cfg.Logger, buffer: newBuffer(cfg.Buffer, cfg.Metrics),
		renewed: map[string]*kgo.Client{}, gates: map[string]chan struct{}{}}
	var err error
	if l.client, err = l.newProducer(); err != nil {
		return nil, err
	}
	l.admin = kadm.NewClient(l.client)
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	if err := ping(ctx, l.client); err != nil {
		l.client.Close()
		return nil, unreachable(cfg, err)
	}
	return l, nil
}

// ping waits for a broker's answer. One that starts is connected to for some seconds before it answers.
func ping(ctx context.Context, client *kgo.Client) error {
	for {
		err := client.Ping(ctx)
		if !errors.Is(err, errSilent) {
			return err
		}
		select {
		case <-time.After(shunned):
		case <-ctx.Done():
			return err
		}
	}
}

// Name is what the bus calls the cluster.
func (l *Log) Name() string { return l.cfg.Name }

// Close waits for the appends in flight until ctx ends, then closes. What was still in flight gets an error in Done.
func (l *Log) Close(ctx context.Context) error {
	err := l.Flush(ctx)
	for _, c := range l.producers() {
		c.Close()
	}
	if err != nil {
		return fmt.Errorf("close the log: appends were still in flight: %w", err)
	}
	return nil
}

// connectOptions are those of every client of the cluster, producer or reader.
func connectOptions(cfg Config) ([]kgo.Opt, error) {
	opts := []kgo.Opt{
		kgo.SeedBrokers(cfg.Brokers...),
		kgo.ClientID(cfg.ClientID),
		// The defaults (5 s, 10 s, 10 s) make a stopped leader cost 20 s.
		kgo.MetadataMinAge(250 * time.Millisecond),
		kgo.DialTimeout(dialTimeout),
		kgo.RequestTimeoutOverhead(3 * time.Second),
		// A broker that restarts closes connections in the middle of a handshake, which would look like a wrong
		// password. Whether the connection works at all is proven by Open.
		kgo.AlwaysRetryEOF(),
		kgo.DisableClientMetrics(),
	}
	switch {
	case cfg.Dial != nil:
		opts = append(opts, kgo.Dialer(cfg.Dial))
	case cfg.TLS != nil:
		opts = append(opts, kgo.DialTLSConfig(cfg.TLS))
	}
	if cfg.SASL != nil {
		m, err := mechanism(*cfg.SASL)
		if err != nil {
			return nil, err
		}
		opts = append(opts, kgo.SASL(m))
	}
	return opts, nil
}

// newProducer makes a client with a producer id of its own. It must not be called under l.mu: the client asks for batch
// limits.
func (l *Log) newProducer() (*kgo.Client, error) {
	cfg := l.cfg
	cfg.Dial = newDialer(cfg).Dial
	opts, err := connectOptions(cfg)
	if err != nil {
		return nil, err
	}
	c, err := kgo.NewClient(append(opts, l.producerOptions()...)...)
	if err != nil {
		return nil, autobus.NewError(autobus.ReasonConfigInvalid, "kafka: %v", err).WithCause(err)
	}
	return c, nil
}

func (l *Log) producers() []*kgo.Client {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return append(slices.Collect(maps.Values(l.renewed)), l.client)
}

func (l *Log) producerOptions() []kgo.Opt {
	return []kgo.Opt{
		kgo.RequiredAcks(kgo.AllISRAcks()),
		kgo.RecordPartitioner(kgo.ManualPartitioner()), // the route decides, never what metadata says
		kgo.ProducerLinger(0),                          // lingering would be added to every acknowledgement
		kgo.ProducerBatchCompression(kgo.NoCompression()),
		kgo.MaxBufferedRecords(maxRecords),
		kgo.ProducerBatchMaxBytesFn(l.batchLimit),
		kgo.ProduceRequestTimeout(5 * time.Second),
		kgo.ProducerOnDataLossDetected(func(topic string, partition int32) {
			l.logger.Error("the brokers lost acknowledged records", "topic", topic, "partition", partition)
			l.buffer.dataLoss()
		}),
	}
}

func mechanism(s SASL) (sasl.Mechanism, error) {
	switch s.Mechanism {
	case "plain":
		return plain.Auth{User: s.User, Pass: s.Password}.AsMechanism(), nil
	case "scram-sha-256":
		return scram.Auth{User: s.User, Pass: s.Password}.AsSha256Mechanism(), nil
	case "scram-sha-512":
		return scram.Auth{User: s.User, Pass: s.Password}.AsSha512Mechanism(), nil
	}
	return nil, autobus.NewError(autobus.ReasonConfigInvalid, "SASL mechanism %q is not known", s.Mechanism).
		WithHint("Use plain, scram-sha-256 or scram-sha-512.")
}

func unreachable(cfg Config, err error) error {
	e := autobus.NewError(autobus.ReasonClusterUnreachable, "no broker of cluster %s at %v answers: %v",
		cfg.Name, cfg.Brokers, err).WithCause(err)
	if errors.Is(err, io.EOF) {
		return e.WithHint("A broker that closes the connection at once wants TLS, or another user or password.")
	}
	return e
}

func defaultBuffer() int64 {
	limit := debug.SetMemoryLimit(-1)
	if limit == math.MaxInt64 {
		return 256 << 20
	}
	return min(256<<20, limit/4)
}

// Flush waits until nothing is in flight or ctx ends.
func (l *Log) Flush(ctx context.Context) error {
	for _, c := range l.producers() {
		if err := c.Flush(ctx); err != nil {
			return err
		}
	}
	return nil
}

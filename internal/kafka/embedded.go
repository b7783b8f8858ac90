// SPDX-License-Identifier: Apache-2.0

package kafka

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/autobus-io/autobus"
)

// DefaultBudget is how many bytes the embedded broker's folder may hold.
const DefaultBudget = 2 << 30

// EmbeddedConfig says where the embedded broker listens and keeps its data.
type EmbeddedConfig struct {
	Dir       string        // folder of the data; "" = memory only, gone with the process
	Addr      string        // where to listen, "127.0.0.1:9092"; port 0 = any free one
	Advertise string        // host:port told to clients; "" = the listener's own
	Fsync     bool          // acknowledge only what the disk has; else a kill loses nothing, but a power cut may
	Budget    int64         // bytes of the folder; 0 = DefaultBudget
	Retain    time.Duration // how often records past their topic's retention are deleted; 0 = every minute
	Logger    *slog.Logger
}

// Embedded is a broker in this process that speaks Kafka's protocol: one node, one copy. It adds to the broker of
// franz-go a lock on its folder, retention on a timer, a byte budget and a watch over the disk's free space.
type Embedded struct {
	cfg     EmbeddedConfig
	cluster *kfake.Cluster
	lock    *os.File
	listens string // where
	addr    string // what clients are told
	storage atomic.Pointer[Storage]
	since   atomic.Int64 // bytes let in since the folder was measured
}

// Intervals of the embedded broker's own housekeeping.
const (
	measureEvery = time.Second
	retainEvery  = time.Minute
)

// OpenEmbedded starts the broker. ReasonDataLocked: another process has the folder. ReasonPortTaken: the address is
// in use.
func OpenEmbedded(cfg EmbeddedConfig) (*Embedded, error) {
	if cfg.Budget == 0 {
		cfg.Budget = DefaultBudget
	}
	if cfg.Retain == 0 {
		cfg.Retain = retainEvery
	}
	e := &Embedded{cfg: cfg}
	e.storage.Store(&Storage{Budget: cfg.Budget})
	if cfg.Dir != "" {
		if err := e.takeLock(); err != nil {
			return nil, err
		}
	}
	opts := []kfake.Opt{
		kfake.NumBrokers(1),
		kfake.ClusterID("autobus-embedded"),
		kfake.ListenFn(func(network, _ string) (net.Listener, error) {
			ln, err := net.Listen(network, cfg.Addr)
			if err == nil {
				e.listens = ln.Addr().String()
			}
			if err == nil && cfg.Advertise != "" {
				return advertised{ln, cfg.Advertise}, nil
			}
			return ln, err
		}),
	}
	if cfg.Dir != "" {
		opts = append(opts, kfake.DataDir(e.dataDir()))
	}
	if cfg.Fsync {
		opts = append(opts, kfake.SyncWrites())
	}
	cluster, err := kfake.NewCluster(opts...)
	if err != nil {
		e.unlock()
		if errors.Is(err, syscall.EADDRINUSE) {
			return nil, autobus.NewError(autobus.ReasonPortTaken, "another process listens on %s", cfg.Addr).
				WithCause(err)
		}
		return nil, autobus.NewError(autobus.ReasonConfigInvalid, "embedded broker: %v", err).WithCause(err).
			WithHint("If the folder %s was damaged, move it away; the bus then starts empty.", cfg.Dir)
	}
	e.cluster = cluster
	e.addr = cluster.ListenAddrs()[0]
	e.measure()
	return e, nil
}

// Addr is the address told to clients.
func (e *Embedded) Addr() string { return e.addr }

// Dial reaches the broker under the address told to clients, also where only others can resolve that one.
func (e *Embedded) Dial(ctx context.Context, network, addr string) (net.Conn, error) {
	if addr == e.addr {
		addr = e.listens
	}
	return new(net.Dialer).DialContext(ctx, network, addr)
}

// Run keeps house until ctx ends: it deletes what retention says and measures the folder.
func (e *Embedded) Run(ctx context.Context) error {
	measure, retain := time.NewTicker(measureEvery), time.NewTicker(e.cfg.Retain)
	defer measure.Stop()
	defer retain.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-measure.C:
			e.measure()
		case <-retain.C:
			// The broker's own timer runs once an hour, and only if a topic names a retention.
			e.cluster.ApplyRetention()
		}
	}
}

// Close stops the broker and gives the folder back.
func (e *Embedded) Close() error {
	e.cluster.Close()
	e.unlock()
	return nil
}

func (e *Embedded) dataDir() string { return filepath.Join(e.cfg.Dir, "kafka") }

// advertised is a listener that gives out another address than the one it listens on.
type advertised struct {
	net.Listener
	addr string
}

func (a advertised) Addr() net.Addr { return advertisedAddr(a.addr) }

type advertisedAddr string

func (advertisedAddr) Network() string  { return "tcp" }
func (a advertisedAddr) String() string { return string(a) }

// SPDX-License-Identifier: Apache-2.0

// Package delay keeps records in the log until their time, be it seconds or months away, and hands them over then.
//
//	a record due in 40 minutes:  delay.6 ... delay.5 ... delay.5 ... delay.3 ... delay.due --Release--> its topic
//	                             1024 s      256 s       256 s       64 s        in memory
//
// Each tier _autobus.delay.<n> holds what it has for one constant time, 1 s x 4^n, so that its partitions are queues:
// only the head is waited for, there is no index and nothing to build again. From a tier a record hops to the largest
// one that it still has time for. What is due soon stands in _autobus.delay.due, whose worker holds it in memory.
//
// It owns these topics, the group that shares them between instances, and where each of its partitions stands. It
// refuses to know what a record is: who made it, what becomes of it when it is due and whether it was cancelled are
// Release's to say.
//
// Invariants: nothing is handed over before its time, by this instance's clock. A hop is an append and then a commit:
// a crash in between repeats it, so a record may be handed over twice, and none is lost. Records that are due at the
// same time have no order among each other.
package delay

import (
	"cmp"
	"context"
	"hash/fnv"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/kafka"
)

// Group is the Kafka group whose members work on the delayed records. The names of its topics begin with it.
const Group = "_autobus.delay"

// Longest is the longest time for which a record is kept.
const Longest = autobus.MaxDelay

// Config is what a Keeper stands on.
type Config struct {
	Name       string // of the group and its topics; "" = Group. Tests that share a cluster have their own
	Log        *kafka.Log
	Partitions int32 // of each topic, where it has to be made

	// Release takes records whose time has come, and says of each when it is done with it: nil, and it will not come
	// again, or why it has to. Calls for different partitions run side by side. It has to end with ctx; then nothing is
	// known of the records, and they come again.
	Release func(ctx context.Context, due []Entry) []error

	// Saved and Save keep a copy of a position, because Kafka forgets what a group committed when it had no members for
	// some days. id is the topic's.
	Saved func(tp kafka.TP, id [16]byte) (offset int64, ok bool)
	Save  func(ctx context.Context, tp kafka.TP, id [16]byte, offset int64) error

	Logger  *slog.Logger
	Metrics prometheus.Registerer // nil = none
}

// Keeper keeps delayed records, together with those of the other instances. Safe for concurrent use.
type Keeper struct {
	cfg     Config
	metrics *metrics
	topics  atomic.Pointer[topics] // nil = nobody delayed anything yet, as far as is known

	making chan struct{} // a token: who has it makes the topics
	made   chan struct{} // closed when topics is set

	mu      sync.Mutex
	stop    context.CancelFunc // ends the work of Run
	stopped chan struct{}      // closed when it ended
	drained bool
}

// New makes a Keeper. Run has to run for what is due to be handed over.
func New(cfg Config) *Keeper {
	cfg.Name = cmp.Or(cfg.Name, Group)
	return &Keeper{cfg: cfg, metrics: newMetrics(cfg.Metrics), making: make(chan struct{}, 1), made: make(chan struct{}),
		stopped: make(chan struct{})}
}

// Record is what has to be appended so that an entry is kept. Ready has to have been called.
func (k *Keeper) Record(e Entry) kafka.Record {
	now := time.Now()
	r := e.record(now)
	r.TP = k.place(e.ID, e.Due.Sub(now))
	return r
}

// place is where a record waits that has so much time left. All its hops go to the same partition of their topics.
func (k *Keeper) place(id string, left time.Duration) kafka.TP {
	h := fnv.New32a()
	_, _ = h.Write([]byte(id))
	t := k.cfg.tierFor(left)
	return kafka.TP{Topic: t.topic, Partition: int32(h.Sum32() % uint32(k.topics.Load().partitions[t.topic]))}
}

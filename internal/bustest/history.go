// SPDX-License-Identifier: Apache-2.0

package bustest

import (
	"hash/maphash"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/kafka"
)

// History records what was attempted, what was delivered and what the log holds, for Check to judge. Safe for
// concurrent use.
//
// A run calls Begin before each attempt and End with its receipt; an attempt without an End (the connection or the bus
// died) counts as unknown. Group, its sessions and Settle note what is consumed, Wait what is asked. At last Read takes
// the whole log, once per reader, and Replies that of replies.
type History struct {
	// Hops is how many copies of scheduled events the run explains, beside those that their attempts do: a hop from topic
	// to topic that was under way when an instance died is made again. Set it before Check.
	Hops int

	seed        maphash.Seed
	mu          sync.Mutex
	now         func() time.Time
	clock       []time.Time // of every moment, in order
	attempts    []*Attempt
	reads       [][]entry
	ends        []map[kafka.TP]int64
	control     []kafka.Record
	groups      []*Group
	settlements []*settlement
	waiters     []*Waiter
	replies     []kafka.Record // of the log of replies
}

// Attempt is one try to publish an event. Several tries of one event share its id.
type Attempt struct {
	id, stream, topic, key string
	value                  uint64    // hash of the data
	due                    time.Time // of a scheduled event: not to be in the log before; zero = at once

	// Set by End.
	status    autobus.Status
	partition int32
	offset    int64
}

// entry is a record of the log.
type entry struct {
	recorded
	epoch  string // of the route by which it was written, as the record says
	record *kafka.Record
}

// recorded is what of a record all readers have to agree on.
type recorded struct {
	place
	id    string
	key   string
	keyed bool // an empty key is another one than none
	value uint64
}

// moment is a point in a history's one order. What returned before another thing began has the lower number.
type moment int

// NewHistory returns an empty history.
func NewHistory() *History { return &History{seed: maphash.MakeSeed(), now: time.Now} }

// tick gives the next moment. h.mu is held.
func (h *History) tick() moment {
	h.clock = append(h.clock, h.now())
	return moment(len(h.clock))
}

// Begin notes that an event is about to be sent on a stream: the events of one stream and key are promised to stand in
// the log in the order of their Begin, but for those with a deliverat. key is what its record will carry.
func (h *History) Begin(stream string, e autobus.Event, key string) *Attempt {
	a := &Attempt{id: e.ID, stream: stream, topic: e.Type, key: key, value: maphash.Bytes(h.seed, e.Data)}
	if at, ok := e.Ext(autobus.ExtDeliverAt); ok {
		a.due, _ = autobus.ParseTime(at)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.attempts = append(h.attempts, a)
	return a
}

// End notes the outcome. Pending counts as unknown.
func (a *Attempt) End(r autobus.Receipt) {
	a.status, a.partition, a.offset = r.Status, r.Partition, r.Offset
}

// Read adds what one reader found in the log. Where the history published nothing to a topic, the log is right: only
// deliveries are held against it.
func (h *History) Read(records []kafka.Record) {
	es := make([]entry, 0, len(records))
	for i := range records {
		r := &records[i]
		id, _ := header(*r, "ce_id")
		epoch, _ := header(*r, "autobus-epoch")
		es = append(es, entry{recorded{place{r.TP, r.Offset}, id, string(r.Key), r.Key != nil,
			maphash.Bytes(h.seed, r.Value)}, epoch, r})
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.reads = append(h.reads, es)
}

// Ends notes where partitions ended as one reader was told, before anybody asks again.
func (h *History) Ends(ends map[kafka.TP]int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ends = append(h.ends, maps.Clone(ends))
}

// Control takes the whole control log, in order.
func (h *History) Control(records []kafka.Record) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.control = slices.Clone(records)
}

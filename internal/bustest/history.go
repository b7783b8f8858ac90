// SPDX-License-Identifier: Apache-2.0

package bustest

import (
	"hash/maphash"
	"sync"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/kafka"
)

// History records what was attempted and what the log holds, for Check to judge. Safe for concurrent use.
//
// A run calls Begin before each attempt and End with its receipt; an attempt without an End (the connection or the bus
// died) counts as unknown. At last Read takes the whole log, once per reader.
type History struct {
	seed     maphash.Seed
	mu       sync.Mutex
	attempts []*Attempt
	reads    [][]entry
}

// Attempt is one try to publish an event. Several tries of one event share its id.
type Attempt struct {
	id, stream, topic, key string
	value                  uint64 // hash of the data

	// Set by End.
	status    autobus.Status
	partition int32
	offset    int64
}

// entry is a record of the log.
type entry struct {
	tp     kafka.TP
	offset int64
	id     string
	key    string
	value  uint64
}

// NewHistory returns an empty history.
func NewHistory() *History { return &History{seed: maphash.MakeSeed()} }

// Begin notes that an event is about to be sent on a stream: the events of one stream and key are promised to stand in
// the log in the order of their Begin. key is what its record will carry.
func (h *History) Begin(stream string, e autobus.Event, key string) *Attempt {
	a := &Attempt{id: e.ID, stream: stream, topic: e.Type, key: key, value: maphash.Bytes(h.seed, e.Data)}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.attempts = append(h.attempts, a)
	return a
}

// End notes the outcome. Pending counts as unknown.
func (a *Attempt) End(r autobus.Receipt) {
	a.status, a.partition, a.offset = r.Status, r.Partition, r.Offset
}

// Read adds what one reader found in the log. Records of topics to which the history published nothing are left out.
func (h *History) Read(records []kafka.Record) {
	es := make([]entry, 0, len(records))
	for _, r := range records {
		id, _ := header(r, "ce_id")
		es = append(es, entry{r.TP, r.Offset, id, string(r.Key), maphash.Bytes(h.seed, r.Value)})
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.reads = append(h.reads, es)
}

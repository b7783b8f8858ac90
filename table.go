// SPDX-License-Identifier: Apache-2.0

package autobus

import (
	"context"
	"sync"
)

// Table is a copy of the newest event of each key, for caches and reference books: first the state, then every change.
// It is for types that keep the last event of each key (cleanup.policy compact in the spec), and holds all of it in
// memory. Make it by NewTable, run it by Run, wait for Ready.
type Table struct {
	// Changed, if it is set before Run, is called for each change in turn, the state at the beginning included: an event
	// without data says that its key is gone. It must not wait.
	Changed func(e *Event)

	mu    sync.RWMutex
	rows  map[tableKey]Event
	ready chan struct{}
}

type tableKey struct{ typ, key string }

// NewTable makes an empty table.
func NewTable() *Table { return &Table{rows: map[tableKey]Event{}, ready: make(chan struct{})} }

// Run fills the table with the types, which may be patterns, and follows them until ctx ends, which is no error. Events
// without a key are passed over.
func (t *Table) Run(ctx context.Context, b Bus, types ...string) error {
	ready := sync.OnceFunc(func() { close(t.ready) })
	return b.Subscribe(ctx, Subscription{Tail: types, From: Start{Earliest: true}, Moved: func(at TailPosition) {
		if at.CaughtUp {
			ready()
		}
	}}, func(_ context.Context, ds []Delivery) {
		for i := range ds {
			t.apply(&ds[i].Event)
		}
	})
}

func (t *Table) apply(e *Event) {
	if e.Key == nil {
		return
	}
	k := tableKey{e.Type, string(e.Key)}
	t.mu.Lock()
	if e.Data == nil {
		delete(t.rows, k)
	} else {
		t.rows[k] = *e
	}
	t.mu.Unlock()
	if t.Changed != nil {
		t.Changed(e)
	}
}

// Ready is closed when the table has all that was there when it began.
func (t *Table) Ready() <-chan struct{} { return t.ready }

// Get gives the newest event of a key. Its Data is not to be changed.
func (t *Table) Get(typ, key string) (e Event, ok bool) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	e, ok = t.rows[tableKey{typ, key}]
	return e, ok
}

// Len is how many keys have an event.
func (t *Table) Len() int {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return len(t.rows)
}

// All calls f for each event, in no order, until it answers false. The table does not change meanwhile.
func (t *Table) All(f func(e *Event) bool) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	for _, e := range t.rows {
		if !f(&e) {
			return
		}
	}
}

// SPDX-License-Identifier: Apache-2.0

package autobus

import (
	"context"
	"sync"
	"time"
)

// Mode says how the failure of one item touches later items of its batch or stream.
type Mode int

const (
	// Independent: items stand alone, except that after a transient refusal or an unknown later items of the same
	// key are refused (ReasonPredecessorFailed), so that order per key survives.
	Independent Mode = iota
	// Ordered: any failure stops its key.
	Ordered
)

// Status is the outcome of one event of a batch.
type Status int

// The outcomes. Pending is not one: it says that none is known yet.
const (
	Pending Status = iota
	Written        // every in-sync replica has it
	Refused        // this attempt certainly wrote nothing
	Unknown        // it may still appear; send it again under the same id
)

// String is the word of the wire protocol.
func (s Status) String() string {
	return [...]string{"pending", "written", "refused", "unknown"}[s]
}

// Receipt is the outcome of one event.
type Receipt struct {
	Status    Status
	Duplicate bool // Written before, under the same id: partition and offset are those of the first copy
	Partition int32
	Offset    int64
	Err       *Error // why, when Refused or Unknown
	Hint      string // advice beside Written, such as that no spec declares the type

	// Responders are the subscriptions whose workers are to reply to a request: those that name its type in full. Only a
	// request has them.
	Responders []string

	// Scheduled is set when the event will be published later: every in-sync replica has it, but not in its topic, so
	// that there is neither partition nor offset yet.
	Scheduled *Scheduled
}

// Scheduled says when an event will be published, and the name by which that can be cancelled.
type Scheduled struct {
	ID string    `json:"id"`
	At time.Time `json:"at"` // in whole milliseconds, not before what was asked for
}

// Batch is a publish of one or more events. The caller owns it and may use it again once every receipt is settled.
// Publish fills in absent ids, sources, times and the keys in Events.
type Batch struct {
	Mode   Mode
	Events []Event
	Stream *Stream      // ties batches that one connection sends in order; nil = this batch stands alone
	Done   func(*Batch) // called once, when every receipt is settled, possibly before Publish returns

	// Receipts has one entry per event. Read it from Done or through Wait; before that it is being written.
	Receipts []Receipt

	mu      sync.Mutex
	pending int
	settled chan struct{}
	own     Stream // when Stream is nil
	watcher func(i int, r Receipt)
	over    bool // forgotten while events were pending
}

// watch has f told each receipt of the next publish before anybody else hears of it. It fails while the batch is in
// flight. unwatch is for a publish that failed as a whole; else it ends by itself.
func (b *Batch) watch(f func(i int, r Receipt)) (unwatch func(), err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.pending > 0 {
		return nil, b.inFlight()
	}
	outer := b.watcher
	b.watcher = func(i int, r Receipt) {
		f(i, r)
		if outer != nil {
			outer(i, r)
		}
	}
	return func() { b.watcher = outer }, nil
}

func (b *Batch) inFlight() *Error {
	return NewError(ReasonBatchInFlight, "the batch has %d unsettled events of an earlier publish", b.pending)
}

// Open readies the batch for an implementation of Bus: one pending receipt per event. It fails while receipts of an
// earlier use are pending.
func (b *Batch) Open() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.pending > 0 {
		return b.inFlight()
	}
	if cap(b.Receipts) < len(b.Events) {
		b.Receipts = make([]Receipt, len(b.Events))
	}
	b.Receipts = b.Receipts[:len(b.Events)]
	clear(b.Receipts)
	b.own.reset()
	b.pending = len(b.Events)
	b.settled = make(chan struct{})
	if b.pending == 0 {
		close(b.settled)
	}
	return nil
}

// Resolve settles the receipt of event i, for an implementation of Bus: exactly once per event.
func (b *Batch) Resolve(i int, r Receipt) {
	if b.watcher != nil {
		b.watcher(i, r)
	}
	b.mu.Lock()
	if !b.over {
		b.Receipts[i] = r
		b.follow(i, r)
	}
	b.pending--
	last, settled, done := b.pending == 0, b.settled, b.Done // from now on the batch may be used again
	if last {
		b.watcher = nil // it has heard of all: those who told it before have been here since
	}
	b.mu.Unlock()
	if last {
		close(settled)
		if done != nil {
			done(b)
		}
	}
}

// Wait returns the receipts when all are settled. When ctx ends first, the pending ones are returned as Unknown with
// ReasonOutcomeUnknown, whose cause is ctx's, and the batch stays in flight: its events may still be written. A batch
// at which Publish did not look, as its error said, has no receipts: nil.
func (b *Batch) Wait(ctx context.Context) []Receipt {
	if b.settled == nil {
		return nil
	}
	select {
	case <-b.settled:
		return b.Receipts
	default:
	}
	select {
	case <-b.settled:
		return b.Receipts
	case <-ctx.Done():
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	out := make([]Receipt, len(b.Receipts))
	copy(out, b.Receipts)
	for i := range out {
		if out[i].Status == Pending {
			out[i] = Receipt{Status: Unknown, Err: NewError(ReasonOutcomeUnknown,
				"no answer came in time; the event may still be written").WithCause(context.Cause(ctx))}
			b.follow(i, out[i])
		}
	}
	return out
}

// Forget lets go of all that the batch holds, for a caller whose Wait ended with its context and who told what he had:
// the outcomes still to come may be long in coming, and are told nobody. The batch must not be used again.
func (b *Batch) Forget() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.pending > 0 {
		b.over = true
		b.Events, b.Receipts, b.Stream, b.Done = nil, nil, nil, nil
	}
}

// Admit reports whether event i may follow what came before it in its stream, or in the batch itself; else it gives the
// id of the failed event of the same key that has to come first. Admitting that one frees the key: what follows it now
// is appended behind it. For an implementation of Bus, once per event.
func (b *Batch) Admit(i int) (predecessor string, ok bool) { return b.stream().admit(&b.Events[i]) }

func (b *Batch) follow(i int, r Receipt) { b.stream().settled(b.Mode, &b.Events[i], r) }

func (b *Batch) stream() *Stream {
	if b.Stream != nil {
		return b.Stream
	}
	return &b.own
}

// maxBlockedKeys bounds what a Stream remembers; beyond it every key counts as blocked.
const maxBlockedKeys = 10_000

// Stream remembers which keys of one connection must wait: after a transient refusal or an unknown outcome (under
// Ordered, after any failure) later events of that key are refused until the failed id itself is sent again. The zero
// value is ready; a producer has one for each of its sources of events, and sets it in all batches of that source.
type Stream struct {
	mu      sync.Mutex
	blocked map[string]string // type and key -> id of the event that failed
	full    bool
}

func (s *Stream) admit(e *Event) (predecessor string, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	k := streamKey(e)
	id, blocked := s.blocked[k]
	if !blocked && e.Key != nil {
		k = e.Type // an event of the type failed before its key was known: it may have been this one
		id, blocked = s.blocked[k]
	}
	if blocked && id != "" && id == e.ID {
		delete(s.blocked, k)
		return "", true
	}
	return id, !blocked && !s.full
}

func (s *Stream) reset() { s.blocked, s.full = nil, false }

// settled notes a failure. That an event was written after all frees nothing: its sender was told otherwise, and what
// he sent in between was refused.
func (s *Stream) settled(m Mode, e *Event, r Receipt) {
	if !stops(m, e, r) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	k := streamKey(e)
	if _, ok := s.blocked[k]; ok {
		return
	}
	if len(s.blocked) >= maxBlockedKeys {
		s.full = true
		return
	}
	if s.blocked == nil {
		s.blocked = map[string]string{}
	}
	s.blocked[k] = e.ID
}

// stops reports whether an outcome holds back later events of the key. Events without a key have no order to keep; one
// whose type could not be looked up may have a key all the same.
func stops(m Mode, e *Event, r Receipt) bool {
	switch {
	case r.Status == Written, r.Err == nil, r.Err.Reason == ReasonPredecessorFailed:
		return false
	case m == Ordered:
		return true
	case e.Key == nil && r.Err.Reason != ReasonClusterUnreachable:
		return false
	}
	return r.Err.Retriable()
}

// streamKey names a key within a stream; the bare type stands for an event whose key is none or not known.
func streamKey(e *Event) string {
	if e.Key == nil {
		return e.Type
	}
	return e.Type + "\x00" + string(e.Key)
}

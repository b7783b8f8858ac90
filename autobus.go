// SPDX-License-Identifier: Apache-2.0

// Package autobus is the vocabulary of an events bus in front of Apache Kafka: events, batches, receipts, deliveries,
// errors, and the one interface Bus that everything able to carry events implements.
//
// It owns the words and their rules (what an event is, what an outcome means, which reasons exist) and imports only
// the standard library. It refuses to know how events travel: Kafka lives in internal/kafka, the publishing rules in
// internal/bus, protocols under internal/edge.
//
// On top of Bus stands a layer for people, which works on every Bus: Send and SendAsync publish in one line, Worker and
// Work handle the events of a subscription, Typed and Mux make handlers, Hooks are called around all of it.
//
// Three outcomes of a publish exist, everywhere: Written (all in-sync replicas have the event), Refused (this attempt
// certainly wrote nothing) and Unknown (it may still appear). A timeout is never Refused.
package autobus

import (
	"context"
	"errors"
	"time"
)

// A Bus carries events. The gateway's hot path and its clients implement it alike.
//
// The principal who acts travels in the context (WithPrincipal); without one everything is refused.
type Bus interface {
	// Publish returns when every event of the batch is refused or appended, in order; the outcome of each comes by
	// Batch.Wait or Batch.Done. The error is for a batch that was not looked at at all: it is still in flight, too
	// large, or asks for a mode that does not exist. Nothing of it was written then.
	Publish(ctx context.Context, b *Batch) error

	// Subscribe hands events to h until ctx ends, which is not an error, or until it cannot go on.
	Subscribe(ctx context.Context, s Subscription, h Handler) error

	// Settle tells outcomes of deliveries; it may be called in any process and at any instance. Each settlement that
	// did not count carries its own Err afterwards.
	Settle(ctx context.Context, s []Settlement) error
}

// Handler takes deliveries in order. It must not wait for the work on them: what it does not take, the reading waits
// for, which is how a slow reader gets back-pressure. The slice is the caller's again when Handler returns.
type Handler func(ctx context.Context, ds []Delivery)

// Subscription says what to deliver. Exactly one of Name, Tail and Inbox is set. The functions are called one at a time
// and must not wait.
type Subscription struct {
	Name   string        // a durable consumer group
	Create *Policy       // with Name: makes it when there is none; nil = it has to exist
	Tail   []string      // type patterns (see MatchType), read without a group: every reader gets everything
	Inbox  bool          // a reply address of one's own, see Address
	From   Start         // where a tail begins; with Address: since when replies are wanted, its Time
	Filter string        // of a tail: CEL over data, id, source, type, subject, time, key, ext; empty = everything
	Window *Window       // with Name: most unsettled events and bytes; nil = the policy's
	Resize <-chan Window // with Name: another window for the session, at any time

	// Address goes on with an inbox that was opened before, also at another instance: the replies that came since From
	// are delivered, those that there are before Opened is called. Only who opened it may. Empty = a new inbox.
	Address Address

	// Detached leases outlive Subscribe until they are settled or their time is up: for readers that settle by other
	// calls. Without it the end of Subscribe takes them away; when the cause of ctx is ErrReaderDied, that counts as
	// the death of a worker, by which an event that kills its workers is found out.
	Detached bool

	// Moved is told, with Tail, where the tail stands: everything before is handed out. First before Opened, then as it
	// changes without a delivery that shows it, and once when it has what was there when it was opened. It may wait.
	Moved func(TailPosition)

	Opened   func(Address)            // called once when deliveries can come
	Revoke   func(ls []Lease)         // work on these leases should stop: they are somebody else's now
	Draining func(deadline time.Time) // the instance is going down: no more deliveries come, settle until then
	Lost     func(PositionLost)       // retention overtook the subscription; the partition stands until somebody acts
}

// ErrReaderDied is the cause of a context that ends because the reader is gone without a goodbye.
var ErrReaderDied = errors.New("the reader died")

// TailPosition is where a tail stands.
type TailPosition struct {
	Cursors  map[string]map[int32]int64 `json:"cursors"`             // next offset by type, partition
	CaughtUp bool                       `json:"caught_up,omitempty"` // all that was there at the beginning is handed out
}

// PositionLost says that the events from From to To, exclusive, were deleted before the subscription read them.
type PositionLost struct {
	Type      string
	Partition int32
	From, To  int64
}

// Window bounds what a session holds unsettled. Events = 1 is lock-step.
type Window struct {
	Events int `json:"events,omitempty"` // 0 = DefaultEvents
	Bytes  int `json:"bytes,omitempty"`  // 0 = DefaultBytes; one event always fits
}

// NoMoreEvents in a Window means: nothing new, and the session ends (ReasonNotOwner) when nothing is held. Instances
// tell it each other when one takes its workers back from another; of anybody else it is no window.
const NoMoreEvents = -1

// NoMore reports whether the window is the one of NoMoreEvents.
func (w Window) NoMore() bool { return w.Events == NoMoreEvents }

// Address is where replies are sent: opaque, unguessable, made by the bus for one principal. A request names it as
// ExtReplyTo. It is empty for a subscription without an inbox.
type Address string

// SPDX-License-Identifier: Apache-2.0

// Package autobus is the vocabulary of an events bus in front of Apache Kafka: events, batches, receipts, deliveries,
// errors, and the one interface Bus that everything able to carry events implements.
//
// It owns the words and their rules (what an event is, what an outcome means, which reasons exist) and imports only
// the standard library. It refuses to know how events travel: Kafka lives in internal/kafka, the publishing rules in
// internal/bus, protocols under internal/edge.
//
// Three outcomes of a publish exist, everywhere: Written (all in-sync replicas have the event), Refused (this attempt
// certainly wrote nothing) and Unknown (it may still appear). A timeout is never Refused.
package autobus

import "context"

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

// Subscription says what to deliver. Exactly one of Name, Tail and Inbox is set.
type Subscription struct {
	Name   string           // a durable consumer group
	Tail   []string         // type patterns (see MatchType), read without a group: every reader gets everything
	Inbox  bool             // a reply address of one's own
	From   Start            // where a tail begins
	Filter string           // a CEL expression over data, id, source, type, subject, time, key, ext; empty = everything
	Window *Window          // most unsettled events and bytes; nil = the subscription's own
	Opened func(Address)    // called once when deliveries can come
	Revoke func(ls []Lease) // called when work on these leases should stop
}

// Window bounds what a session holds unsettled. Events = 1 is lock-step.
type Window struct {
	Events int
	Bytes  int
}

// Address is where replies are sent: opaque, unguessable. It is empty for a subscription without an inbox.
type Address string

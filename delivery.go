// SPDX-License-Identifier: Apache-2.0

package autobus

import "time"

// Delivery is an event handed to a reader. A tail's deliveries carry no lease: there is nothing to settle.
type Delivery struct {
	Event
	Lease     Lease
	Partition int32
	Offset    int64
	Attempt   int       // 1 for the first delivery
	Fence     uint64    // grows per partition, so that a consumer's database can refuse a zombie
	Deadline  time.Time // settle or extend before; zero without a lease
}

// Lease is the right to settle one delivery: opaque, good for one partition incarnation.
type Lease string

// OutcomeKind is what became of a delivery.
type OutcomeKind string

// The outcomes of a delivery.
const (
	Ack    OutcomeKind = "ack"    // done
	Retry  OutcomeKind = "retry"  // again, after Delay
	Skip   OutcomeKind = "skip"   // done without work, counted apart
	Reject OutcomeKind = "reject" // exhausted at once: the subscription's on_exhausted applies
	Extend OutcomeKind = "extend" // still at it: renew by ack_wait
)

// Outcome is what a worker says of a delivery.
type Outcome struct {
	Kind   OutcomeKind
	Delay  time.Duration // of a Retry; 0 = the subscription's backoff
	Reason string        // kept with a dead letter
}

// Settlement tells the outcome of one lease. Err is set by Settle when it did not count: ReasonLeaseStale, or
// ReasonLeaseUnknown for a lease that this bus never gave.
type Settlement struct {
	Lease        Lease
	Subscription string // whose lease it has to be; empty = any
	Outcome      Outcome
	Err          *Error
}

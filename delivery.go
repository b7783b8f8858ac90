// SPDX-License-Identifier: Apache-2.0

package autobus

import (
	"strconv"
	"strings"
	"time"
)

// Delivery is an event handed to a reader. A tail's deliveries carry no lease: there is nothing to settle.
type Delivery struct {
	Event
	Lease     Lease
	Partition int32
	Offset    int64
	Attempt   int       // 1 for the first delivery
	Fence     uint64    // grows with every handing out of a partition, so that a database can refuse a zombie
	Deadline  time.Time // settle or extend before; zero without a lease
}

// Lease is the right to settle one delivery: opaque, good for one partition incarnation. What was handed out together
// of one partition has leases that differ in what follows the last dot, the offset: the rest is the frame's lease.
type Lease string

// At makes the lease of one record of the lease of its frame.
func (l Lease) At(offset int64) Lease {
	var buf [20]byte
	return l + "." + Lease(strconv.AppendInt(buf[:0], offset, 10))
}

// Cut is the reverse of At. False: the lease was not made by it.
func (l Lease) Cut() (frame Lease, offset int64, ok bool) {
	i := strings.LastIndexByte(string(l), '.')
	if i < 0 {
		return "", 0, false
	}
	offset, err := strconv.ParseInt(string(l[i+1:]), 10, 64)
	// One offset has one form, or one delivery could have two leases.
	if err != nil || offset < 0 || l[i+1] == '+' || l[i+1] == '-' || l[i+1] == '0' && i+2 < len(l) {
		return "", 0, false
	}
	return l[:i], offset, true
}

// OutcomeKind is what became of a delivery.
type OutcomeKind string

// The outcomes of a delivery.
const (
	Ack    OutcomeKind = "ack"    // done
	Retry  OutcomeKind = "retry"  // again, after Delay
	Skip   OutcomeKind = "skip"   // done without work, counted apart
	Reject OutcomeKind = "reject" // exhausted at once: the subscription's on_exhausted applies
	Extend OutcomeKind = "extend" // still at it: renew by ack_wait

	// Release gives a delivery back that no worker saw: it comes again at once and counts as no attempt. Instances tell it
	// each other; of anybody else it is no outcome.
	Release OutcomeKind = "release"
)

// Outcome is what a worker says of a delivery.
type Outcome struct {
	Kind   OutcomeKind
	Delay  time.Duration // of a Retry; 0 = the subscription's backoff
	Reason string        // kept with a dead letter
}

// Check refuses what no worker may say: a kind that is none, or a delay that does not go with it. ReasonOutcomeInvalid.
func (o Outcome) Check() *Error {
	switch o.Kind {
	case Ack, Retry, Skip, Reject, Extend:
	default:
		return NewError(ReasonOutcomeInvalid, "there is no outcome %q", o.Kind)
	}
	switch {
	case o.Delay != 0 && o.Kind != Retry:
		return NewError(ReasonOutcomeInvalid, "%s takes no delay", o.Kind)
	case o.Delay < 0, o.Delay > time.Duration(MaxRetryDelay):
		return NewError(ReasonOutcomeInvalid, "the delay %s is not between 0s and %s", o.Delay, MaxRetryDelay)
	}
	return nil
}

// Settlement tells the outcome of one lease. Err is set by Settle when it did not count: ReasonLeaseStale, or
// ReasonLeaseUnknown for a lease that this bus never gave.
type Settlement struct {
	Lease        Lease
	Subscription string // whose lease it has to be; empty = any
	Outcome      Outcome
	Err          *Error
}

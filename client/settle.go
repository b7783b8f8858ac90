// SPDX-License-Identifier: Apache-2.0

package client

import (
	"cmp"
	"context"
	"sync"
	"time"

	"github.com/autobus-io/autobus"
)

// maxOffsets is how many outcomes one frame tells where the gateway does not say.
const maxOffsets = 10_000

// settling is one call of Settle.
type settling struct {
	mu       sync.Mutex
	ss       []autobus.Settlement // nil = the caller is gone
	left     int
	answered bool           // the gateway said something of at least one
	lost     *autobus.Error // why it did not of another
	over     chan struct{}
}

func (c *settling) tell(at int, err, lost *autobus.Error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ss != nil {
		c.ss[at].Err = cmp.Or(err, lost)
	}
	if lost != nil {
		c.lost = lost
	} else {
		c.answered = true
	}
	if c.left--; c.left == 0 {
		close(c.over)
	}
}

// Settle implements autobus.Bus. Outcomes of many callers travel together. The error says that no outcome was answered:
// there is no connection, or it broke (ReasonServerUnreachable), or ctx ended; what was answered can be seen by no
// caller then.
func (c *Client) Settle(ctx context.Context, ss []autobus.Settlement) error {
	if err := c.Live(); err != nil {
		return err
	}
	call := &settling{ss: ss, left: len(ss) + 1, over: make(chan struct{})}
	var told []outcomeTold
	var main *conn
	for i := range ss {
		ss[i].Err = nil
		to, err := c.address(&ss[i])
		if err == nil && to.conn == nil {
			if main == nil {
				main, err = c.mainOne(ctx)
			}
			to.conn = main
			if err != nil {
				call.tell(i, nil, err)
				continue
			}
		}
		if err != nil {
			call.tell(i, err, nil)
			continue
		}
		to.caller = caller{call, i}
		told = append(told, to)
	}
	for len(told) > 0 { // those of one connection at once, so that they travel together
		n := 1
		for n < len(told) && told[n].conn == told[0].conn {
			n++
		}
		told[0].conn.settle(told[:n])
		told = told[n:]
	}
	call.mu.Lock()
	call.left--
	done := call.left == 0
	call.mu.Unlock()
	if !done {
		select {
		case <-call.over:
		case <-ctx.Done():
			call.mu.Lock()
			defer call.mu.Unlock()
			if call.left > 0 {
				call.ss = nil
				return autobus.NewError(autobus.ReasonServerUnreachable, "the gateway did not answer in time").
					WithCause(context.Cause(ctx))
			}
		}
	}
	if call.lost != nil && !call.answered {
		return call.lost
	}
	return nil
}

// outcomeTold is a settlement on its way.
type outcomeTold struct {
	ackKey
	conn   *conn // nil = the main one
	offset int64
	caller caller
}

// address says what to tell, and over which connection.
func (c *Client) address(s *autobus.Settlement) (to outcomeTold, err *autobus.Error) {
	frame, offset, err := readLease(s)
	if err != nil {
		return to, err
	}
	o := &s.Outcome
	to.offset = offset
	to.ackKey = ackKey{frame, s.Subscription, o.Kind, autobus.Duration(o.Delay), clip(o.Reason)}
	if by := c.leases.by(frame); by != nil {
		to.conn = by.conn
		if s.Subscription != "" && s.Subscription != by.sub.s.Name {
			return to, autobus.NewError(autobus.ReasonLeaseUnknown, "the lease is of the subscription %s", by.sub.s.Name)
		}
	}
	return to, nil
}

// readLease refuses what no gateway has to be asked about.
func readLease(s *autobus.Settlement) (frame autobus.Lease, offset int64, err *autobus.Error) {
	o := &s.Outcome
	switch o.Kind {
	case autobus.Ack, autobus.Retry, autobus.Skip, autobus.Reject, autobus.Extend, autobus.Release:
	default:
		return "", 0, autobus.NewError(autobus.ReasonOutcomeInvalid, "there is no outcome %q", o.Kind)
	}
	if o.Delay != 0 && o.Kind != autobus.Retry || o.Delay < 0 || o.Delay > time.Duration(autobus.MaxRetryDelay) {
		return "", 0, autobus.NewError(autobus.ReasonOutcomeInvalid, "%s takes no delay of %s", o.Kind, o.Delay)
	}
	frame, offset, ok := s.Lease.Cut()
	if !ok || frame == "" {
		return "", 0, autobus.NewError(autobus.ReasonLeaseUnknown, "no gateway gives such a lease")
	}
	return frame, offset, nil
}

const maxReason = 1 << 10 // what a gateway keeps of a reason

func clip(s string) string { return s[:min(len(s), maxReason)] }

// mainOne waits for the main connection.
func (c *Client) mainOne(ctx context.Context) (*conn, *autobus.Error) {
	for {
		main, err, changed := c.pool.state()
		switch {
		case main != nil && main.alive():
			return main, nil
		case main != nil:
			err = unreachable("the connection was lost") // and will be replaced
		case permanent(err):
			return nil, err
		}
		select {
		case <-changed:
		case <-c.ending:
			return nil, closed()
		case <-ctx.Done():
			return nil, unreachable("there was no connection in time: %s", err.Detail).WithCause(context.Cause(ctx))
		}
	}
}

// settle lets outcomes wait for the writer.
func (n *conn) settle(told []outcomeTold) {
	n.mu.Lock()
	over := n.settling == nil || n.lost != nil
	if !over {
		for i := range told {
			n.acks.add(told[i].ackKey, told[i].offset, told[i].caller, cmp.Or(n.hello.Limits.AckResults, maxOffsets))
		}
	}
	n.mu.Unlock()
	if !over {
		n.signal()
		return
	}
	for i := range told {
		told[i].caller.call.tell(told[i].caller.at, nil, unreachable("the connection was lost"))
	}
}

// SPDX-License-Identifier: Apache-2.0

package client

import "github.com/autobus-io/autobus"

// ackKey is what outcomes have to have in common to travel in one frame.
type ackKey struct {
	lease        autobus.Lease // of the frame of deliveries
	subscription string
	kind         autobus.OutcomeKind
	delay        autobus.Duration
	reason       string
}

// ackGroup is a frame of outcomes.
type ackGroup struct {
	ackKey
	seq     int64
	offsets []int64
	callers []caller // of each offset
}

// caller is whose settlement an offset is.
type caller struct {
	call *settling
	at   int
}

// acks are the outcomes that wait to be written.
type acks struct {
	groups []*ackGroup
	open   map[ackKey]*ackGroup
}

func newAcks() acks { return acks{open: map[ackKey]*ackGroup{}} }

func (a *acks) add(k ackKey, offset int64, c caller, most int) {
	g := a.open[k]
	if g == nil || len(g.offsets) >= most {
		g = &ackGroup{ackKey: k}
		a.open[k] = g
		a.groups = append(a.groups, g)
	}
	g.offsets = append(g.offsets, offset)
	g.callers = append(g.callers, c)
}

func (a *acks) take() []*ackGroup {
	groups := a.groups
	if len(groups) > 0 {
		a.groups = nil
		clear(a.open)
	}
	return groups
}

// answered tells the callers what did not count, and takes the leases back.
func (g *ackGroup) answered(l *leases, results []result) {
	errs := make(map[int]*autobus.Error, len(results))
	for _, r := range results {
		errs[r.Index] = r.verdict()
	}
	l.settled(g.lease, g.offsets, func(i int) bool {
		err := errs[i]
		return err == nil && g.kind == autobus.Extend || err != nil && err.Reason == autobus.ReasonOutcomeInvalid
	})
	for i, c := range g.callers {
		c.call.tell(c.at, errs[i], nil)
	}
}

// verdict is why an outcome did not count.
func (r *result) verdict() *autobus.Error {
	if r.Error != nil {
		return r.Error.err()
	}
	switch r.Status {
	case "stale":
		return autobus.NewError(autobus.ReasonLeaseStale, "the delivery was settled before, or its lease was taken away")
	case "unknown":
		return autobus.NewError(autobus.ReasonLeaseUnknown, "the gateway never gave that lease")
	case "invalid":
		return autobus.NewError(autobus.ReasonOutcomeInvalid, "the gateway takes no such outcome")
	}
	return autobus.NewError(autobus.ReasonInternal, "the gateway says of the outcome: %s", r.Status)
}

// failed tells the callers that the frame as a whole was not answered, or refused.
func (g *ackGroup) failed(err *autobus.Error) {
	for _, c := range g.callers {
		c.call.tell(c.at, nil, err)
	}
}

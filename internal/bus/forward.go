// SPDX-License-Identifier: Apache-2.0

package bus

import (
	"context"
	"sync"
	"time"

	"github.com/autobus-io/autobus"
)

// forwardTimeout is how long other instances may take to judge their leases.
const forwardTimeout = 5 * time.Second

// Words of the metric of forwarded settlements.
const (
	forwardedJudged = "judged"
	forwardedFailed = "failed"
)

// errand is what has to be settled at other instances, by their names.
type errand map[string][]*autobus.Settlement

func (e *errand) add(instance string, s *autobus.Settlement) {
	if *e == nil {
		*e = errand{}
	}
	(*e)[instance] = append((*e)[instance], s)
}

// forward lets the instances that gave leases judge them, all at the same time, each by one call.
func (b *Bus) forward(ctx context.Context, away errand) {
	ctx, cancel := context.WithTimeout(ctx, forwardTimeout)
	defer cancel()
	var asking sync.WaitGroup
	for instance, ss := range away {
		asking.Go(func() { b.forwardTo(ctx, instance, ss) })
	}
	asking.Wait()
}

func (b *Bus) forwardTo(ctx context.Context, instance string, ss []*autobus.Settlement) {
	own := make([]autobus.Settlement, len(ss)) // a call that is given up may still write into it
	for i, s := range ss {
		own[i] = *s
	}
	err := b.ask(ctx, instance, own)
	for i, s := range ss {
		if s.Err = own[i].Err; err != nil {
			s.Err = err
		}
		switch {
		case s.Err == nil, s.Err.Reason == autobus.ReasonLeaseStale, s.Err.Reason == autobus.ReasonLeaseUnknown:
			b.metrics.forwarded.WithLabelValues(forwardedJudged).Inc()
		default:
			b.metrics.forwarded.WithLabelValues(forwardedFailed).Inc()
			continue
		}
		if s.Err != nil || s.Outcome.Kind != autobus.Extend {
			b.settledAbroad(s.Lease)
		}
	}
}

// ask tells outcomes to an instance. The error is for all of them.
func (b *Bus) ask(ctx context.Context, instance string, ss []autobus.Settlement) *autobus.Error {
	p, ok, err := b.peers.find(ctx, instance)
	if err != nil {
		return peerUnreachable(instance, err)
	}
	if !ok {
		// Its partitions went to others, and its leases ended with that.
		return autobus.NewError(autobus.ReasonLeaseStale, "no instance of the lease's name works for a subscription")
	}
	there, err := b.cfg.Dial(p.instance, p.address)
	if err == nil {
		err = there.Settle(ctx, ss)
	}
	if err != nil {
		b.peers.forget(p)
		return peerUnreachable(instance, err)
	}
	for i := range ss {
		if e := ss[i].Err; e != nil && (e.Reason == autobus.ReasonNotOwner || e.Reason == autobus.ReasonServerUnreachable) {
			b.peers.forget(p) // another one has that address now, or none
			ss[i].Err = peerUnreachable(instance, e)
		}
	}
	return nil
}

func peerUnreachable(instance string, cause error) *autobus.Error {
	return autobus.NewError(autobus.ReasonPeerUnreachable, "the instance %s, which gave the lease, does not answer: %v",
		clipName(instance), cause).WithCause(cause)
}

// settledAbroad makes room for a delivery of another instance that is done.
func (b *Bus) settledAbroad(lease autobus.Lease) {
	if l, ok := b.abroad.LoadAndDelete(lease); ok {
		l.(*link).settled(lease)
	}
}

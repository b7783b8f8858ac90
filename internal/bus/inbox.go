// SPDX-License-Identifier: Apache-2.0

package bus

import (
	"context"
	"sync"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/kafka"
)

// maxInboxBytes is what may wait in one inbox for its reader.
const maxInboxBytes = 32 << 20

// inbox is one that is open at this instance.
type inbox struct {
	wake chan struct{} // one token: there is something

	mu    sync.Mutex
	queue []autobus.Delivery
	bytes int
	err   *autobus.Error // why it ends
}

func newInbox() *inbox { return &inbox{wake: make(chan struct{}, 1)} }

// put adds a reply. It never waits: all inboxes share one reader, so one that takes nothing ends.
func (in *inbox) put(d autobus.Delivery) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if size := d.Size(); in.err == nil && (in.bytes == 0 || in.bytes+size <= maxInboxBytes) {
		in.queue = append(in.queue, d)
		in.bytes += size
	} else if in.err == nil {
		in.err = autobus.NewError(autobus.ReasonSlowConsumer, "more than %d bytes of replies wait for the reader",
			maxInboxBytes)
	}
	signal(in.wake)
}

func (in *inbox) take() ([]autobus.Delivery, *autobus.Error) {
	in.mu.Lock()
	defer in.mu.Unlock()
	ds := in.queue
	in.queue, in.bytes = nil, 0
	return ds, in.err
}

// receive serves Subscribe for an inbox.
func (b *Bus) receive(ctx context.Context, who autobus.Principal, s autobus.Subscription, h autobus.Handler) error {
	if s.Name != "" || len(s.Tail) > 0 || s.Filter != "" {
		return autobus.NewError(autobus.ReasonRequestInvalid, "an inbox has neither a name nor types nor a filter")
	}
	if !who.MayAny(autobus.VerbRequest, "*") {
		return autobus.NewError(autobus.ReasonForbidden, "%s has no grant to request anything", who.Name)
	}
	if s.Address != "" {
		return b.replies.resume(ctx, who, s, h)
	}
	return b.replies.serve(ctx, who, s, h)
}

// serve opens a new inbox.
func (rs *replies) serve(ctx context.Context, who autobus.Principal, s autobus.Subscription, h autobus.Handler) error {
	sign, err := rs.sign(ctx, true)
	if err == nil && sign == nil {
		err = autobus.NewError(autobus.ReasonControlConflict, "the secret of reply addresses could not be made")
	}
	if err != nil {
		return err
	}
	partition, err := rs.begin(ctx)
	if err != nil {
		return err
	}
	at, in := sign.newAddress(who.Name, partition), newInbox()
	rs.mu.Lock()
	rs.inboxes[at.nonce] = in
	rs.mu.Unlock()
	rs.bus.metrics.inboxes.Inc()
	defer func() {
		rs.mu.Lock()
		delete(rs.inboxes, at.nonce)
		rs.mu.Unlock()
		rs.bus.metrics.inboxes.Dec()
	}()
	if s.Opened != nil {
		s.Opened(sign.text(at))
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-in.wake:
		}
		ds, end := in.take()
		if over(ctx) {
			return nil
		}
		if len(ds) > 0 {
			h(ctx, ds)
		}
		if end != nil {
			return end
		}
	}
}

// since finds where to begin.
func (rs *replies) since(ctx context.Context, tp kafka.TP, from autobus.Start) (int64, error) {
	if from.IsZero() {
		return rs.end(ctx, tp)
	}
	ask := func() (map[kafka.TP]int64, error) { return rs.bus.cfg.Log.Starts(ctx, tp.Topic) }
	if !from.Time.IsZero() {
		ask = func() (map[kafka.TP]int64, error) { return rs.bus.cfg.Log.At(ctx, from.Time, tp.Topic) }
	}
	at, err := ask()
	if err != nil {
		return 0, err
	}
	return at[tp], nil
}

// own reads an address that has to be one of the principal's own.
func (s *signer) own(text autobus.Address, principal string) (a address, err *autobus.Error) {
	if s != nil {
		var ok bool
		if a, ok = s.read(text); ok && a.owner == s.owner(principal) {
			return a, nil
		}
	}
	return a, autobus.NewError(autobus.ReasonReplyAddress, "the reply address is not one that the bus gave %s", principal)
}

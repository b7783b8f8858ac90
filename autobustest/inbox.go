// SPDX-License-Identifier: Apache-2.0

package autobustest

import (
	"context"
	"crypto/rand"
	"maps"
	"slices"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/spec"
)

// inbox is one that is open. It is guarded by its Bus.
type inbox struct {
	address autobus.Address
	queue   []autobus.Delivery
	err     *autobus.Error // why it ends
	wake    chan struct{}  // holds one token
}

// receive serves Subscribe for an inbox.
func (b *Bus) receive(ctx context.Context, who autobus.Principal, s autobus.Subscription, h autobus.Handler) error {
	in, err := b.openInbox(who, s)
	if err != nil {
		return err
	}
	defer func() {
		b.lock()
		defer b.unlock()
		delete(b.inboxes, in)
	}()
	opened := false
	for {
		b.lock()
		ds, end := in.queue, in.err
		in.queue = nil
		b.unlock()
		switch {
		case ctx.Err() != nil:
			return nil
		case len(ds) > 0:
			h(ctx, ds)
		}
		if end != nil {
			return end
		}
		if !opened && s.Opened != nil {
			s.Opened(in.address)
		}
		opened = true
		select {
		case <-ctx.Done():
			return nil
		case <-in.wake:
		}
	}
}

func (b *Bus) openInbox(who autobus.Principal, s autobus.Subscription) (*inbox, error) {
	b.lock()
	defer b.unlock()
	switch {
	case b.ended:
		return nil, autobus.NewError(autobus.ReasonShuttingDown, "the test is over")
	case s.Name != "" || len(s.Tail) > 0 || s.Filter != "":
		return nil, autobus.NewError(autobus.ReasonRequestInvalid, "an inbox has neither a name nor types nor a filter")
	case !who.MayAny(autobus.VerbRequest, "*"):
		return nil, autobus.NewError(autobus.ReasonForbidden, "%s has no grant to request anything", who.Name)
	case s.Address != "" && b.addresses[s.Address] != who.Name:
		return nil, notGiven(who)
	}
	in := &inbox{address: s.Address, wake: make(chan struct{}, 1)}
	if in.address == "" {
		in.address = autobus.Address("inbox-" + rand.Text())
		b.addresses[in.address] = who.Name
	}
	for _, r := range b.written {
		if r.reply && (s.From.Earliest || !s.From.Time.IsZero() && !r.at.Before(s.From.Time)) {
			in.see(r)
		}
	}
	b.inboxes[in] = struct{}{}
	return in, nil
}

func notGiven(who autobus.Principal) *autobus.Error {
	return autobus.NewError(autobus.ReasonReplyAddress, "the reply address is not one that the bus gave %s", who.Name)
}

// hand gives a reply to the inboxes that have its address.
func (b *Bus) hand(r *record) {
	for in := range b.inboxes {
		in.see(r)
	}
}

func (in *inbox) see(r *record) {
	if to, _ := r.event.Ext(autobus.ExtTo); autobus.Address(to) == in.address {
		in.queue = append(in.queue, autobus.Delivery{Event: clone(&r.event), Partition: r.partition, Offset: r.offset,
			Attempt: 1})
		signal(in.wake)
	}
}

// request judges what an event has beyond others when it asks for something, and gives who is to answer.
func (b *Bus) request(who autobus.Principal, t *spec.Type, e *autobus.Event) ([]string, *autobus.Error) {
	asks := t != nil && t.Kind != "event"
	to, wantsReply := e.Ext(autobus.ExtReplyTo)
	switch {
	case !wantsReply && !who.May(autobus.VerbPublish, e.Type) && !asks:
		return nil, autobus.NewError(autobus.ReasonForbidden, "%s has no grant to publish %q", who.Name, e.Type)
	case wantsReply && !who.May(autobus.VerbRequest, e.Type):
		return nil, autobus.NewError(autobus.ReasonForbidden, "%s has no grant to request %q", who.Name, e.Type)
	}
	b.lock()
	defer b.unlock()
	if asks || wantsReply {
		if err := spec.CheckDeadline(e, b.clock.now()); err != nil {
			return nil, err
		}
	}
	if !wantsReply {
		return nil, nil
	}
	if of, given := b.addresses[autobus.Address(to)]; !given || of != who.Name {
		return nil, notGiven(who)
	}
	responders := b.responders(e.Type)
	if len(responders) == 0 {
		return nil, autobus.NewError(autobus.ReasonNoResponder, "no subscription serves %s", e.Type)
	}
	return responders, nil
}

// responders lists the subscriptions that name a type in full.
func (b *Bus) responders(typ string) (names []string) {
	for _, name := range slices.Sorted(maps.Keys(b.groups)) {
		if slices.Contains(b.groups[name].policy.Types, typ) {
			names = append(names, name)
		}
	}
	return names
}

// reply takes a reply through the steps of publish. It goes to the inbox that the request named.
func (b *Bus) reply(who autobus.Principal, batch *autobus.Batch, i int, request string) *autobus.Error {
	e := &batch.Events[i]
	if !who.May(autobus.VerbSubscribe, request) {
		return autobus.NewError(autobus.ReasonForbidden, "%s has no grant to serve %q", who.Name, request)
	}
	b.lock()
	err := b.exists(who, request)
	b.unlock()
	if err != nil {
		return err
	}
	typ, _ := b.specs.Type(request)
	if err := spec.CheckReply(typ, e); err != nil {
		return err
	}
	to, _ := e.Ext(autobus.ExtTo)
	id, _ := e.Ext(autobus.ExtCausationID)
	if to == "" || id == "" || len(id) > autobus.MaxIDBytes {
		return autobus.NewError(autobus.ReasonEventInvalid, "the reply has no extension %s or %s", autobus.ExtTo,
			autobus.ExtCausationID)
	}
	b.lock()
	_, given := b.addresses[autobus.Address(to)]
	may := slices.DeleteFunc(b.responders(request), func(name string) bool {
		return !who.May(autobus.VerbSubscribe, name)
	})
	b.unlock()
	if !given {
		return autobus.NewError(autobus.ReasonReplyAddress, "the bus never gave that reply address")
	}
	if name, said := e.Ext(autobus.ExtResponder); said &&
		(!autobus.ValidSubscription(name) || !who.May(autobus.VerbSubscribe, name)) {
		return autobus.NewError(autobus.ReasonForbidden, "%s may not reply as a worker of %q", who.Name, name)
	} else if !said && len(may) == 1 {
		e.SetExt(autobus.ExtResponder, may[0])
	}
	e.Key = []byte(id)
	if id, ok := batch.Admit(i); !ok {
		return predecessorFailed(id)
	}
	return b.write(who, b.replies, e, func(r autobus.Receipt) { batch.Resolve(i, r) })
}

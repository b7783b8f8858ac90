// SPDX-License-Identifier: Apache-2.0

package autobustest

import (
	"context"
	"time"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/spec"
)

// Publish implements autobus.Bus. Receipts are settled before it returns, unless a planned failure delays them.
func (b *Bus) Publish(ctx context.Context, batch *autobus.Batch) error {
	b.lock()
	ended := b.ended
	b.unlock()
	switch {
	case ended:
		return autobus.NewError(autobus.ReasonShuttingDown, "the test is over")
	case batch.Mode != autobus.Independent && batch.Mode != autobus.Ordered:
		return autobus.NewError(autobus.ReasonModeInvalid, "there is no mode %d", batch.Mode)
	case len(batch.Events) > autobus.MaxBatchEvents:
		return autobus.NewError(autobus.ReasonBatchTooLarge, "%d events, at most %d", len(batch.Events),
			autobus.MaxBatchEvents)
	}
	size := 0
	for i := range batch.Events {
		size += batch.Events[i].Size()
	}
	if size > autobus.MaxBatchBytes { // as clients refuse it, and gateways a request
		return autobus.NewError(autobus.ReasonBatchTooLarge, "%d bytes, at most %d", size, autobus.MaxBatchBytes)
	}
	if err := batch.Open(); err != nil {
		return err
	}
	who := b.principal(ctx)
	for i := range batch.Events {
		if err := b.publish(who, batch, i); err != nil {
			b.refuse(batch, i, err)
		}
	}
	return nil
}

// publish takes one event through the steps of the bus: authorize, resolve, validate, stamp, append. Without an error
// its receipt is on its way.
func (b *Bus) publish(who autobus.Principal, batch *autobus.Batch, i int) *autobus.Error {
	e := &batch.Events[i]
	if request, ok := autobus.RequestType(e.Type); ok {
		return b.reply(who, batch, i, request)
	}
	if err := authorize(who, e); err != nil {
		return err
	}
	t, err := b.resolve(who, e.Type)
	if err != nil {
		return err
	}
	if err := spec.CheckEvent(t.spec, e, t.maxEvent()); err != nil {
		return err
	}
	responders, err := b.request(who, t.spec, e)
	if err != nil {
		return err
	}
	if id, ok := batch.Admit(i); !ok {
		return predecessorFailed(id)
	}
	receipt := func(r autobus.Receipt) {
		if r.Status == autobus.Written {
			r.Responders = responders
		}
		batch.Resolve(i, r)
	}
	if at, later := e.Ext(autobus.ExtDeliverAt); later {
		return b.schedule(who, t, e, at, receipt)
	}
	return b.write(who, t, e, receipt)
}

func predecessorFailed(id string) *autobus.Error {
	if id == "" {
		return autobus.NewError(autobus.ReasonPredecessorFailed,
			"an earlier event was not written that was of the same key, or may have been, and had no id")
	}
	return autobus.NewError(autobus.ReasonPredecessorFailed, "event %s of the same key was not written", id)
}

// refuse settles an event that was not written. Its key is looked for even so: the failure may stop it.
func (b *Bus) refuse(batch *autobus.Batch, i int, err *autobus.Error) {
	if e := &batch.Events[i]; e.Key == nil {
		t, _ := b.specs.Type(e.Type)
		_ = spec.TakeKey(t, e)
	}
	batch.Resolve(i, autobus.Receipt{Status: autobus.Refused, Err: err})
}

// identity is what makes an event known again. A request is another one for each inbox.
type identity struct {
	principal, source, id string
	inbox                 autobus.Address
}

// attempt is the first one under an identity.
type attempt struct {
	event   autobus.Event // as it was sent
	receipt autobus.Receipt
	at      time.Time
	joined  []func(autobus.Receipt) // of those who sent it again while it is pending
}

// duplicateAge is how long ids are remembered.
const duplicateAge = 10 * time.Minute

// write fills in what is absent and writes the event, unless it is known already or a failure was planned. receipt is
// called without the mutex, once, unless there is an error.
func (b *Bus) write(who autobus.Principal, t *topic, e *autobus.Event, receipt func(autobus.Receipt)) *autobus.Error {
	b.lock()
	defer b.unlock()
	now := b.clock.now().UTC()
	if e.Source == "" {
		e.Source = "/" + who.Name
	}
	if e.Time.IsZero() {
		e.Time = now
	}
	id := identity{who.Name, e.Source, e.ID, e.ReplyTo()}
	if e.ID == "" {
		e.ID = autobus.NewID(now) // new, so there is nothing to compare it with
		id.id = e.ID
	}
	if known := b.duplicates[id]; known != nil && now.Sub(known.at) <= duplicateAge {
		return b.again(known, e, receipt)
	}
	first := &attempt{event: clone(e), at: now}
	if t.spec != nil && e.DataSchema == "" {
		uri, _, _ := t.spec.SchemaHeaders()
		first.event.DataSchema = string(uri)
	}
	b.duplicates[id] = first
	b.perform(t, first, func(r autobus.Receipt) {
		first.receipt = r
		if r.Status != autobus.Written {
			delete(b.duplicates, id)
		}
		joined := first.joined
		b.later = append(b.later, func() {
			receipt(r)
			r.Duplicate, r.Hint = r.Status == autobus.Written, ""
			for _, f := range joined {
				f(r)
			}
		})
	})
	return nil
}

// again answers for an event that came before.
func (b *Bus) again(known *attempt, e *autobus.Event, receipt func(autobus.Receipt)) *autobus.Error {
	if k := &known.event; k.Type != e.Type || string(k.Key) != string(e.Key) || string(k.Data) != string(e.Data) {
		return autobus.NewError(autobus.ReasonIDConflict, "id %s of source %s was used for another type, key or data", e.ID,
			e.Source)
	}
	if known.receipt.Status == autobus.Pending {
		known.joined = append(known.joined, receipt)
		return nil
	}
	r := known.receipt
	r.Duplicate, r.Hint = true, ""
	b.later = append(b.later, func() { receipt(r) })
	return nil
}

// perform appends the event, or lets the failure happen that was planned for it. settle is called once.
func (b *Bus) perform(t *topic, a *attempt, settle func(autobus.Receipt)) {
	f := b.failureOf(&a.event, nil)
	switch f.kind {
	case refuse:
		settle(autobus.Receipt{Status: autobus.Refused, Err: f.error()})
		return
	case loseRequest:
		settle(autobus.Receipt{Status: autobus.Unknown, Err: f.error()})
		return
	default:
	}
	r := b.append(t, &a.event, nil)
	written := autobus.Receipt{Status: autobus.Written, Partition: r.partition, Offset: r.offset, Hint: t.hint}
	switch f.kind {
	case loseAnswer:
		settle(autobus.Receipt{Status: autobus.Unknown, Err: f.error()})
	case delay:
		b.clock.set(b.clock.now().Add(f.delay), func() { settle(written) })
	default:
		settle(written)
	}
}

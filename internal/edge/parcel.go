// SPDX-License-Identifier: Apache-2.0

package edge

import (
	"context"
	"net/http"
	"slices"
	"time"

	"github.com/autobus-io/autobus"
)

// Parcel is what one request or frame publishes together: the events that could be read and, in their places, the
// refusals of the rest. Use it in this order: NewParcel, Add, then either Publish and Wait, or Begin and Outcomes, then
// AppendResults and Forget.
type Parcel struct {
	// Broken: in mode ordered an item without a readable key may have been of any key, so it stops them all. A stream
	// hands it on from one parcel to the next.
	Broken bool

	r       *http.Request
	first   int
	items   []item
	refused []refusal // those that never came into the batch, in order
	whole   *autobus.Error
	batch   autobus.Batch

	ctx    context.Context //nolint:containedctx // ends when the outcome is no longer waited for
	cancel context.CancelFunc
}

// item says of one event what it brought along, or that it was refused. What the bus fills in, the answer tells.
type item byte

const (
	ownID item = 1 << iota
	ownSource
	ownTime
	unread

	ownAll = ownID | ownSource | ownTime
)

// refusal is why an item never came into the batch.
type refusal struct {
	index int
	err   *autobus.Error
	id    string // as far as it could be read
}

// NewParcel makes an empty parcel for the request r, whose context bounds it. first is the index of its first item as
// results tell it; stream ties parcels that one connection sends in order, nil = it stands alone.
func NewParcel(r *http.Request, mode autobus.Mode, stream *autobus.Stream, first int) *Parcel {
	p := &Parcel{r: r, first: first}
	p.batch.Mode, p.batch.Stream = mode, stream
	return p
}

// Grow makes room for n items.
func (p *Parcel) Grow(n int) {
	p.items = slices.Grow(p.items, n)
	p.batch.Events = slices.Grow(p.batch.Events, n)
}

// Add takes an event, or why it could not be read; then ev holds what could be.
func (p *Parcel) Add(ev autobus.Event, err *autobus.Error) {
	if err == nil && p.Broken {
		err = autobus.NewError(autobus.ReasonPredecessorFailed, "an earlier event of this request could not be read")
	}
	if err != nil {
		p.refused = append(p.refused, refusal{len(p.items), err, ev.ID})
		p.items = append(p.items, unread)
		p.Broken = p.Broken || p.batch.Mode == autobus.Ordered
		return
	}
	var own item
	if ev.ID != "" {
		own |= ownID
	}
	if ev.Source != "" {
		own |= ownSource
	}
	if !ev.Time.IsZero() {
		own |= ownTime
	}
	p.items = append(p.items, own)
	p.batch.Events = append(p.batch.Events, ev)
}

// Len is the number of items.
func (p *Parcel) Len() int { return len(p.items) }

// Publish appends what could be read. The error means that nothing of it was looked at; then every item is refused.
func (p *Parcel) Publish(bus autobus.Bus, timeout time.Duration) *autobus.Error {
	ctx, release := OutcomeContext(p.r.Context())
	bounded, cancel := context.WithTimeout(ctx, timeout)
	p.ctx, p.cancel = bounded, func() { cancel(); release() }
	if len(p.batch.Events) == 0 {
		return nil
	}
	return p.append(p.ctx, bus)
}

// Begin is Publish for those who do not wait: settled is called once when every outcome is known, possibly before Begin
// returns, and must not take long. ctx bounds the appending alone. With an error settled is not called.
func (p *Parcel) Begin(ctx context.Context, bus autobus.Bus, settled func(*autobus.Batch)) *autobus.Error {
	if len(p.batch.Events) == 0 {
		settled(&p.batch)
		return nil
	}
	p.batch.Done = settled
	return p.append(ctx, bus)
}

func (p *Parcel) append(ctx context.Context, bus autobus.Bus) *autobus.Error {
	if err := bus.Publish(ctx, &p.batch); err != nil {
		p.whole = autobus.AsError(err)
		LogCause(p.r, p.whole)
	}
	return p.whole
}

// Cancel lets go of a published parcel whose outcome nobody waits for.
func (p *Parcel) Cancel() {
	p.cancel()
	p.Forget()
}

// Forget lets go of what was answered. An event whose outcome came too late may wait for the brokers for as long as
// they are away, and must not hold the request that brought it.
func (p *Parcel) Forget() {
	p.batch.Forget()
	p.r, p.ctx, p.cancel = nil, nil, nil
}

// Wait gives the outcome of each item, in order, and lets go of the parcel's context.
func (p *Parcel) Wait() []autobus.Receipt {
	defer p.cancel()
	return p.Outcomes(p.ctx)
}

// Outcomes waits for the outcome of each item until ctx ends; those that are not known by then are unknown.
func (p *Parcel) Outcomes(ctx context.Context) []autobus.Receipt {
	var settled []autobus.Receipt
	switch {
	case p.whole != nil:
		settled = slices.Repeat([]autobus.Receipt{{Status: autobus.Refused, Err: p.whole}}, len(p.batch.Events))
	case len(p.batch.Events) > 0:
		settled = p.batch.Wait(ctx)
		for i := range settled {
			if settled[i].Err != nil {
				LogCause(p.r, settled[i].Err)
			}
		}
	}
	if len(p.refused) == 0 {
		return settled
	}
	out := make([]autobus.Receipt, 0, len(p.items))
	for _, refused := range p.refused {
		n := refused.index - len(out)
		out = append(out, settled[:n]...)
		out = append(out, autobus.Receipt{Status: autobus.Refused, Err: refused.err})
		settled = settled[n:]
	}
	return append(out, settled...)
}

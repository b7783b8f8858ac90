// SPDX-License-Identifier: Apache-2.0

package edge

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"github.com/autobus-io/autobus"
)

// Parcel is what one request or frame publishes together: the events that could be read and, in their places, the
// refusals of the rest. Use it in this order: New, Add, Publish, Wait, AppendResults.
type Parcel struct {
	// Broken: in mode ordered an item without a readable key may have been of any key, so it stops them all. A stream
	// hands it on from one parcel to the next.
	Broken bool

	r     *http.Request
	first int
	items []item
	batch autobus.Batch

	ctx    context.Context //nolint:containedctx // ends when the outcome is no longer waited for
	cancel context.CancelFunc
}

// item is one event of the parcel.
type item struct {
	at                 int            // its place in the batch
	refused            *autobus.Error // why it never came into the batch
	id                 string         // of a refused one, as far as it could be read
	ownSource, ownTime bool           // brought along; what the bus fills in, the answer tells
}

// NewParcel makes an empty parcel for the request r, whose context bounds it. first is the index of its first item as
// results tell it; stream ties parcels that one connection sends in order, nil = it stands alone.
func NewParcel(r *http.Request, mode autobus.Mode, stream *autobus.Stream, first int) *Parcel {
	p := &Parcel{r: r, first: first}
	p.batch.Mode, p.batch.Stream = mode, stream
	return p
}

// Add takes an event, or why it could not be read; then ev holds what could be.
func (p *Parcel) Add(ev autobus.Event, err *autobus.Error) {
	if err == nil && p.Broken {
		err = autobus.NewError(autobus.ReasonPredecessorFailed, "an earlier event of this request could not be read")
	}
	if err != nil {
		p.items = append(p.items, item{refused: err, id: ev.ID})
		p.Broken = p.Broken || p.batch.Mode == autobus.Ordered
		return
	}
	p.items = append(p.items, item{at: len(p.batch.Events), ownSource: ev.Source != "", ownTime: !ev.Time.IsZero()})
	p.batch.Events = append(p.batch.Events, ev)
}

// Len is the number of items.
func (p *Parcel) Len() int { return len(p.items) }

// Publish appends what could be read. The error means that nothing of it was looked at; then every item is refused.
func (p *Parcel) Publish(bus autobus.Bus, timeout time.Duration) *autobus.Error {
	ctx, release := outcomeContext(p.r.Context())
	bounded, cancel := context.WithTimeout(ctx, timeout)
	p.ctx, p.cancel = bounded, func() { cancel(); release() }
	if len(p.batch.Events) == 0 {
		return nil
	}
	err := autobus.AsError(bus.Publish(p.ctx, &p.batch))
	if err == nil {
		return nil
	}
	LogCause(p.r, err)
	for i := range p.items {
		if it := &p.items[i]; it.refused == nil {
			it.refused, it.id = err, p.batch.Events[it.at].ID
		}
	}
	p.batch.Events = nil
	return err
}

// Cancel lets go of a published parcel whose outcome nobody waits for.
func (p *Parcel) Cancel() { p.cancel() }

// Wait gives the outcome of each item, in order, and lets go of the parcel's context.
func (p *Parcel) Wait() []autobus.Receipt {
	defer p.cancel()
	var settled []autobus.Receipt
	if len(p.batch.Events) > 0 {
		settled = p.batch.Wait(p.ctx)
	}
	out := make([]autobus.Receipt, len(p.items))
	for i, it := range p.items {
		if it.refused != nil {
			out[i] = autobus.Receipt{Status: autobus.Refused, Err: it.refused}
			continue
		}
		out[i] = settled[it.at]
		if out[i].Err != nil {
			LogCause(p.r, out[i].Err)
		}
	}
	return out
}

// AppendResults appends the JSON array of all results.
func (p *Parcel) AppendResults(dst []byte, receipts []autobus.Receipt) []byte {
	dst = append(dst, '[')
	for i, rc := range receipts {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = p.AppendResult(dst, i, rc)
	}
	return append(dst, ']')
}

// AppendResult appends the result of item i as the wire protocol lays it out.
func (p *Parcel) AppendResult(dst []byte, i int, rc autobus.Receipt) []byte {
	it := p.items[i]
	ev := autobus.Event{ID: it.id}
	if it.refused == nil {
		ev = p.batch.Events[it.at]
	}
	dst = append(dst, `{"index":`...)
	dst = strconv.AppendInt(dst, int64(p.first+i), 10)
	if ev.ID != "" {
		dst = append(dst, `,"id":`...)
		dst = autobus.AppendString(dst, ev.ID)
	}
	dst = append(dst, `,"status":"`...)
	dst = append(dst, rc.Status.String()...)
	dst = append(dst, '"')
	if rc.Duplicate {
		dst = append(dst, `,"duplicate":true`...)
	}
	if rc.Status == autobus.Written {
		dst = append(dst, `,"type":`...)
		dst = autobus.AppendString(dst, ev.Type)
		dst = append(dst, `,"partition":`...)
		dst = strconv.AppendInt(dst, int64(rc.Partition), 10)
		dst = append(dst, `,"offset":`...)
		dst = strconv.AppendInt(dst, rc.Offset, 10)
	}
	if rc.Status != autobus.Refused {
		dst = it.appendFilled(dst, &ev, rc.Duplicate)
	}
	if rc.Hint != "" {
		dst = append(dst, `,"hint":`...)
		dst = autobus.AppendString(dst, rc.Hint)
	}
	if rc.Err != nil {
		dst = append(dst, `,"error":`...)
		dst = AppendProblem(dst, rc.Err, RequestID(p.r.Context()))
	}
	return append(dst, '}')
}

// appendFilled tells what the bus filled in; the id stands in every result anyway. The time of a duplicate is that of
// the first copy, which is not known here.
func (it item) appendFilled(dst []byte, ev *autobus.Event, duplicate bool) []byte {
	if !it.ownSource && ev.Source != "" {
		dst = append(dst, `,"source":`...)
		dst = autobus.AppendString(dst, ev.Source)
	}
	if !it.ownTime && !duplicate && !ev.Time.IsZero() {
		dst = append(dst, `,"time":"`...)
		dst = ev.Time.AppendFormat(dst, time.RFC3339Nano)
		dst = append(dst, '"')
	}
	return dst
}

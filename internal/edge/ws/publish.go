// SPDX-License-Identifier: Apache-2.0

package ws

import (
	"bytes"
	"context"
	"encoding/json"
	"time"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/edge"
	"github.com/autobus-io/autobus/internal/wire"
)

// publish appends the events of a frame before the next frame is read; the answer comes when all are settled.
func (c *conn) publish(f frame) *autobus.Error {
	raw := f.fields["events"]
	elements, err := autobus.SplitBatch(raw)
	if err != nil {
		return err
	}
	p, err := c.parcel(f)
	if err != nil {
		return err
	}
	p.Grow(len(elements))
	for _, e := range elements {
		p.Add(autobus.ParseEvent(e))
	}
	return c.send(&publication{seq: f.seq, parcel: p, size: len(raw)})
}

// parcel begins what a frame publishes, in its mode and stream.
func (c *conn) parcel(f frame) (*edge.Parcel, *autobus.Error) {
	mode := autobus.Independent
	if f.fields["mode"] != nil {
		var word string
		err := f.get("mode", &word)
		if err == nil {
			mode, err = edge.ParseMode(word)
		}
		if err != nil {
			return nil, err
		}
	}
	stream, err := c.stream(f)
	if err != nil {
		return nil, err
	}
	return edge.NewParcel(c.who, mode, stream, 0), nil
}

// publishOne publishes a text frame that is one structured event.
func (c *conn) publishOne(raw []byte) {
	if !json.Valid(raw) {
		c.reply(c.appendError(nil, nil, "", nil, invalid("the frame is not one event in JSON")))
		return
	}
	p := edge.NewParcel(c.who, autobus.Independent, &c.order.own, 0)
	p.Add(autobus.ParseEvent(bytes.Clone(raw)))
	if err := c.send(&publication{parcel: p, size: len(raw)}); err != nil {
		c.reply(c.appendError(nil, nil, "", nil, err))
	}
}

// send waits for room and appends a parcel; its outcome is waited for elsewhere. With an error nothing of it was looked
// at: it is of the wrong form, or this instance takes no more events at all, so that nothing after it can overtake it.
func (c *conn) send(p *publication) *autobus.Error {
	p.weight = p.size + p.parcel.Len()*perEvent
	if ok, full := c.inflight.enter(p, c.over); full != nil {
		c.fail(p.seq, full) // the connection with it, so that nothing overtakes it
		return nil
	} else if !ok {
		return nil // there is nobody to answer
	}
	p.conn, p.began = c, time.Now()
	c.work.Add(1)
	ctx, cancel := context.WithTimeout(c.outcome, publishTime)
	defer cancel()
	if err := p.parcel.Begin(ctx, c.edge.bus, p.settled); err != nil {
		c.work.Done()
		c.inflight.leave(p)
		return err
	}
	c.inflight.await(p)
	if c.outcome.Err() != nil {
		c.overdue(true)
	}
	return nil
}

// appendPublished appends the answer to a publish, in the form in which it was asked.
func (c *conn) appendPublished(dst []byte, p *publication) []byte {
	defer p.parcel.Forget()
	receipts := p.parcel.Outcomes(c.past)
	if !p.binary {
		dst = append(appendHead(dst, "published", p.seq, ""), `,"results":`...)
		return append(p.parcel.AppendResults(dst, receipts), '}')
	}
	c.head = p.parcel.AppendNotable(appendHead(c.head[:0], "published", p.seq, ""), receipts)
	dst = wire.AppendHeader(dst, append(c.head, '}'))
	for i := range receipts {
		dst = wire.AppendReceipt(dst, receipts[i])
	}
	return dst
}

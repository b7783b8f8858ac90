// SPDX-License-Identifier: Apache-2.0

package ws

import (
	"bytes"
	"context"

	"github.com/coder/websocket"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/edge"
	"github.com/autobus-io/autobus/internal/wire"
)

// bodied are the operations whose binary frame is not the text frame with nothing behind it.
var bodied = map[string]operation{
	"publish": {[]string{"mode", "stream", "type", "source", "datacontenttype"}, []string{"seq"},
		(*conn).publishRecords},
	"ack": {[]string{"seq", "subscription", "delay", "reason"}, []string{"lease", "outcome"}, (*conn).ackOffsets},
}

// readBinary does what a binary frame asks.
func (c *conn) readBinary(raw []byte) {
	header, body, err := wire.Split(raw)
	if err != nil {
		c.refuse(nil, err)
		return
	}
	f := frame{binary: true, body: body}
	if err = f.parse(header); err == nil {
		err = f.run(c, f)
	}
	if err != nil {
		c.refuse(f.seq, err)
	}
}

// publishRecords publishes the records of a binary frame. One that cannot be read at all refuses the frame.
func (c *conn) publishRecords(f frame) *autobus.Error {
	var shared wire.Shared
	for _, field := range [...]struct {
		name string
		v    *string
	}{{"type", &shared.Type}, {"source", &shared.Source}, {"datacontenttype", &shared.ContentType}} {
		if err := f.get(field.name, field.v); err != nil {
			return err
		}
	}
	n, err := wire.CountRecords(f.body)
	switch {
	case err != nil:
		return err
	case n > autobus.MaxBatchEvents:
		return autobus.NewError(autobus.ReasonBatchTooLarge, "%d events, at most %d", n, autobus.MaxBatchEvents)
	}
	p, err := c.parcel(f)
	if err != nil {
		return err
	}
	p.Grow(n)
	// The events are parts of it for as long as the bus needs them, and the next frame takes the reader's buffer.
	records := wire.NewRecords(bytes.Clone(f.body), shared)
	for {
		var e autobus.Event
		_, refused, ok := records.Next(&e)
		if !ok {
			break
		}
		if refused == nil && e.Key != nil {
			refused = autobus.NewError(autobus.ReasonEventInvalid, "the record has a key of its own").
				WithHint("Send the partition key as header ce_partitionkey, and the record's key as null.")
		}
		p.Add(e, refused)
	}
	if err := records.Err(); err != nil {
		return err
	}
	return c.send(&publication{seq: f.seq, parcel: p, binary: true, size: len(f.body)})
}

// ackOffsets settles records of one frame of deliveries.
func (c *conn) ackOffsets(f frame) *autobus.Error {
	var lease autobus.Lease
	var kind autobus.OutcomeKind
	var delay *autobus.Duration
	var reason, subscription string
	for name, v := range map[string]any{"lease": &lease, "outcome": &kind, "delay": &delay, "reason": &reason,
		"subscription": &subscription} {
		if err := f.get(name, v); err != nil {
			return err
		}
	}
	if lease == "" {
		return invalid("the lease is empty")
	}
	outcome, err := edge.Outcome(kind, delay, reason)
	if err != nil {
		return err
	}
	var offsets []int64
	n := 0
	err = wire.ReadOffsets(f.body, func(offset int64) {
		if n++; n <= edge.MaxSettlements {
			offsets = append(offsets, offset)
		}
	})
	if err == nil {
		err = edge.TooManySettlements(n)
	}
	if err != nil {
		return err
	}
	settled, err := edge.SettleFrame(c.who.Context(), c.edge.bus, subscription, lease, outcome, offsets)
	return c.settled(f, settled, err)
}

// sendRecords sends deliveries as binary frames.
func (c *conn) sendRecords(ctx context.Context, subscription string, seq *int64, ds []autobus.Delivery) error {
	const around = 256 // bytes of header, and of what stands around an event
	return wire.Frames(ds, edge.FrameBytes, func(part []*autobus.Delivery) error {
		size := around
		for _, d := range part {
			size += d.Size() + around/4
		}
		events := wire.AppendEvents(make([]byte, 0, size), subscription, seq, part)
		return c.out.sendAs(ctx, websocket.MessageBinary, events)
	})
}

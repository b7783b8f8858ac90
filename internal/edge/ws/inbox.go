// SPDX-License-Identifier: Apache-2.0

package ws

import (
	"context"
	"time"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/edge"
)

// inbox opens a reply address, or goes on with one that was opened before, here or at another instance; a connection
// can have several, told apart by their seq. Replies come as a tail's events do, and an unsubscribe with the seq ends
// it.
func (c *conn) inbox(f frame) *autobus.Error {
	s := autobus.Subscription{Inbox: true}
	var from string
	if err := f.get("address", &s.Address); err != nil {
		return err
	}
	if err := f.get("from", &from); err != nil {
		return err
	}
	var err *autobus.Error
	if s.From, err = edge.ParseFrom(from, time.Now()); err != nil {
		return err
	}
	if from != "" && s.Address == "" {
		return invalid("from goes with the address of an inbox that was opened before")
	}
	s.Opened = func(a autobus.Address) {
		opened := append(appendHead(nil, "inbox", f.seq, ""), `,"address":`...)
		c.out.push(append(autobus.AppendString(opened, string(a)), '}'))
	}
	return c.open(&subscription{seq: f.seq}, s, c.tailed(f))
}

// tailed is how deliveries without leases are sent, in the form of the frame that asked for them.
func (c *conn) tailed(f frame) func(context.Context, []autobus.Delivery) error {
	return func(ctx context.Context, ds []autobus.Delivery) error {
		if f.binary {
			return c.sendRecords(ctx, "", f.seq, ds)
		}
		return edge.Portions(ds, func(part []autobus.Delivery) error {
			events := edge.AppendDeliveries(append(appendHead(nil, "events", f.seq, ""), ','), part, edge.AppendTailed)
			return c.out.send(ctx, append(events, '}'))
		})
	}
}

// SPDX-License-Identifier: Apache-2.0

package ws

import (
	"context"
	"time"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/edge"
)

// tail opens a reader without a group; a connection can have several, told apart by their seq.
func (c *conn) tail(f frame) *autobus.Error {
	var s autobus.Subscription
	var from string
	for name, v := range map[string]any{"types": &s.Tail, "filter": &s.Filter, "from": &from} {
		if err := f.get(name, v); err != nil {
			return err
		}
	}
	if len(s.Tail) == 0 {
		return invalid("tail names no types")
	}
	var err *autobus.Error
	if s.From, err = edge.ParseFrom(from, time.Now()); err != nil {
		return err
	}
	s.Opened = func(autobus.Address) { c.out.push(append(appendHead(nil, "subscribed", f.seq, ""), '}')) }
	return c.open(&subscription{seq: f.seq}, s, c.tailed(f))
}

// tailEvents tails for a client of plain events: each is a frame of its own.
func (c *conn) tailEvents(s autobus.Subscription) {
	sub := &subscription{}
	bad := c.open(sub, s, func(ctx context.Context, ds []autobus.Delivery) error {
		for i := range ds {
			if err := c.out.send(ctx, autobus.AppendEvent(nil, &ds[i].Event)); err != nil {
				return err
			}
		}
		return nil
	})
	if bad != nil {
		c.fail(nil, bad)
	}
}

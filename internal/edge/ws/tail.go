// SPDX-License-Identifier: Apache-2.0

package ws

import (
	"context"
	"encoding/json"
	"time"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/edge"
)

// tail opens a reader without a group; a connection can have several, told apart by their seq.
func (c *conn) tail(f frame) *autobus.Error {
	var s autobus.Subscription
	var from string
	var told bool
	fields := map[string]any{"types": &s.Tail, "filter": &s.Filter, "from": &from, "cursors": &told}
	if raw := f.fields["from"]; len(raw) > 0 && raw[0] == '{' {
		from = string(raw)
		delete(fields, "from")
	}
	for name, v := range fields {
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
	var at *autobus.TailPosition
	opened := false
	s.Opened = func(autobus.Address) {
		opened = true
		c.out.push(append(appendPosition(appendHead(nil, "subscribed", f.seq, ""), at), '}'))
	}
	if told {
		s.Moved = func(p autobus.TailPosition) {
			if at = &p; opened { // behind the events, as they are
				_ = c.out.send(c.ctx, append(appendPosition(appendHead(nil, "cursors", f.seq, ""), at), '}'))
			}
		}
	}
	return c.open(&subscription{seq: f.seq}, s, c.tailed(f))
}

// appendPosition appends the members of a position, if there is one to tell.
func appendPosition(dst []byte, at *autobus.TailPosition) []byte {
	if at == nil {
		return dst
	}
	raw, _ := json.Marshal(at) // maps of numbers
	return append(append(dst, ','), raw[1:len(raw)-1]...)
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

// SPDX-License-Identifier: Apache-2.0

package ws

import (
	"encoding/json"
	"strconv"

	"github.com/coder/websocket"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/edge"
	"github.com/autobus-io/autobus/internal/wire"
)

// ack settles deliveries before the next frame is read.
func (c *conn) ack(f frame) *autobus.Error {
	var items []json.RawMessage
	if err := f.get("results", &items); err != nil {
		return err
	}
	var subscription string
	if err := f.get("subscription", &subscription); err != nil {
		return err
	}
	settled, err := edge.Settle(c.who.Context(), c.edge.bus, subscription, items)
	return c.settled(f, settled, err)
}

// settled answers an ack: one with a seq in any case, one without only where something did not count. The error means
// that nothing did.
func (c *conn) settled(f frame, settled []autobus.Settlement, err *autobus.Error) *autobus.Error {
	switch {
	case f.seq == nil:
		c.uncounted(settled, err)
		return nil
	case err != nil:
		return err
	}
	answer := c.appendAcked(nil, *f.seq, settled)
	if f.binary {
		c.replyAs(websocket.MessageBinary, wire.AppendHeader(nil, answer))
	} else {
		c.reply(answer)
	}
	return nil
}

// appendAcked appends {"op":"acked"} with what did not count.
func (c *conn) appendAcked(dst []byte, seq int64, settled []autobus.Settlement) []byte {
	dst = appendHead(dst, "acked", &seq, "")
	next := `,"results":[`
	for i := range settled {
		if settled[i].Err == nil {
			continue
		}
		dst = append(append(dst, next...), `{"index":`...)
		dst = append(strconv.AppendInt(dst, int64(i), 10), ',')
		dst = append(edge.AppendSettled(dst, c.r, &settled[i]), '}')
		next = ","
	}
	if next == "," {
		dst = append(dst, ']')
	}
	return append(dst, '}')
}

// uncounted answers an ack without a seq.
func (c *conn) uncounted(settled []autobus.Settlement, err *autobus.Error) {
	if err != nil {
		leases := make([]autobus.Lease, len(settled))
		for i, s := range settled {
			leases[i] = s.Lease
		}
		edge.LogCause(c.r, err)
		c.reply(c.appendError(nil, nil, "", leases, err))
		return
	}
	var stale []autobus.Lease
	other := map[autobus.Reason][]autobus.Lease{}
	var errs []*autobus.Error // the first of each reason in other
	for _, s := range settled {
		switch {
		case s.Err == nil:
		case s.Err.Reason == autobus.ReasonLeaseStale, s.Err.Reason == autobus.ReasonLeaseUnknown:
			stale = append(stale, s.Lease)
		default:
			if _, seen := other[s.Err.Reason]; !seen {
				errs = append(errs, s.Err)
			}
			other[s.Err.Reason] = append(other[s.Err.Reason], s.Lease)
		}
	}
	if len(stale) > 0 {
		c.reply(append(edge.AppendLeases(append(appendHead(nil, "stale", nil, ""), ','), stale), '}'))
	}
	for _, err := range errs {
		edge.LogCause(c.r, err)
		c.reply(c.appendError(nil, nil, "", other[err.Reason], err))
	}
}

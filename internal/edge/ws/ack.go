// SPDX-License-Identifier: Apache-2.0

package ws

import (
	"encoding/json"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/edge"
)

// ack settles deliveries before the next frame is read. Only what did not count is answered.
func (c *conn) ack(f frame) *autobus.Error {
	var items []json.RawMessage
	if err := f.get("results", &items); err != nil {
		return err
	}
	settled, err := edge.Settle(c.who.Context(), c.edge.bus, "", items)
	if err != nil {
		leases := make([]autobus.Lease, len(settled))
		for i, s := range settled {
			leases[i] = s.Lease
		}
		edge.LogCause(c.r, err)
		c.reply(c.appendError(nil, f.seq, "", leases, err))
		return nil
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
		c.reply(append(edge.AppendLeases(append(appendHead(nil, "stale", f.seq, ""), ','), stale), '}'))
	}
	for _, err := range errs {
		edge.LogCause(c.r, err)
		c.reply(c.appendError(nil, f.seq, "", other[err.Reason], err))
	}
	return nil
}

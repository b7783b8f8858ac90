// SPDX-License-Identifier: Apache-2.0

package conformance

import (
	"encoding/json"
	"fmt"
	"slices"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/wire"
)

// The binary frames of a client. Their layout is shared with the edge; its golden files hold it to the protocol.

// parseBinary reads a binary frame.
func (f *frame) parseBinary(raw []byte) error {
	header, body, bad := wire.Split(raw)
	if bad != nil {
		return bad
	}
	var op struct {
		Op string `json:"op"`
	}
	if err := json.Unmarshal(header, &op); err != nil {
		return err
	}
	f.binary, f.body = true, body
	if op.Op != "events" {
		return f.parse(header)
	}
	var h wire.Events
	if err := autobus.StrictJSON(header, &h); err != nil {
		return err
	}
	f.Op, f.Seq, f.Subscription = h.Op, h.Seq, h.Subscription
	if f.read, bad = h.Deliveries(body); bad != nil {
		return bad
	}
	return nil
}

// recordsOf makes the body of a publish whose header has nothing of the events.
func recordsOf(events []autobus.Event) (body []byte) {
	for i, e := range events {
		e.Key = nil // it is the bus's
		body = wire.AppendRecord(body, int64(i), &e, &wire.Shared{})
	}
	return body
}

// resolveReceipts settles a batch, which is open, by the answer to a binary frame.
func resolveReceipts(b *autobus.Batch, f frame) {
	receipts := make([]autobus.Receipt, len(b.Events))
	bad := wire.ReadReceipts(f.body, len(receipts), func(i int, r autobus.Receipt) { receipts[i] = r })
	told := make([]bool, len(receipts))
	for _, in := range f.Results {
		if bad != nil || in.Index < 0 || in.Index >= len(receipts) {
			bad = autobus.NewError(autobus.ReasonInternal, "there is no event %d", in.Index)
			break
		}
		r := in.receipt(&b.Events[in.Index])
		if short := receipts[in.Index]; short.Status != r.Status || short.Duplicate != r.Duplicate ||
			short.Partition != r.Partition || short.Offset != r.Offset {
			bad = autobus.NewError(autobus.ReasonInternal, "result %d is %+v and %+v", in.Index, short, r)
		}
		receipts[in.Index], told[in.Index] = r, true
	}
	for i, r := range receipts {
		switch {
		case bad != nil:
			r = autobus.Receipt{Status: autobus.Unknown, Err: bad}
		case r.Status != autobus.Written && !told[i]:
			r.Err = autobus.NewError(autobus.ReasonInternal, "nothing says why event %d is %s", i, r.Status)
		}
		b.Resolve(i, r)
	}
}

// settleFrames tells outcomes by binary frames: one for all that stand together and are of one frame and one outcome.
// What is no lease of a frame goes as text.
func (c *socket) settleFrames(ss []autobus.Settlement) error {
	for len(ss) > 0 {
		frame, _, ok := ss[0].Lease.Cut()
		n := slices.IndexFunc(ss, func(s autobus.Settlement) bool {
			other, _, cut := s.Lease.Cut()
			return other != frame || cut != ok || s.Outcome != ss[0].Outcome
		})
		if n < 0 {
			n = len(ss)
		}
		settle := c.settle
		if ok {
			settle = c.settleFrame
		}
		if err := settle(ss[:n]); err != nil {
			return err
		}
		ss = ss[n:]
	}
	return nil
}

func (c *socket) settleFrame(ss []autobus.Settlement) error {
	header := ackOf(&ss[0])
	header.Lease, _, _ = ss[0].Lease.Cut()
	var body []byte
	var before int64
	for _, s := range ss {
		_, offset, _ := s.Lease.Cut()
		body, before = wire.AppendOffset(body, before, offset), offset
	}
	answer := make(chan frame, 1)
	if _, err := c.askWith("ack", members(header), body, true, func(f frame) { answer <- f }); err != nil {
		return err
	}
	f := <-answer
	switch {
	case f.Op == "acked" && f.binary && len(f.body) == 0:
		return acked(ss, f.Verdicts)
	case f.Op == "acked":
		return fmt.Errorf("a binary ack is answered by %+v", f)
	case f.Error != nil && f.Error.Reason == autobus.ReasonOutcomeInvalid:
		for i := range ss {
			ss[i].Err = f.Error.err()
		}
		return nil
	}
	return f.failure()
}

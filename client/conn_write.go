// SPDX-License-Identifier: Apache-2.0

package client

import (
	"context"
	"errors"
	"runtime"
	"time"

	"github.com/coder/websocket"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/wire"
)

var errGoodbye = errors.New("the client said goodbye")

// write writes what there is: what opens and ends things first, then outcomes of deliveries, then a frame of events,
// into which goes all that came together while the one before was written.
func (n *conn) write() {
	var buf []byte
	for {
		out, acks, leaving, lost := n.next()
		if lost != nil {
			return
		}
		idle := len(out) == 0 && len(acks) == 0
		for _, o := range out {
			buf = o.append(buf[:0])
			if !n.put(buf) {
				return
			}
		}
		for _, g := range acks {
			buf = g.append(buf[:0])
			if !n.put(buf) {
				return
			}
		}
		s := n.client.courier.load(n)
		switch {
		case s != nil:
			buf = s.append(buf[:0])
			if !n.ship(s, buf) {
				return
			}
			if cap(buf) > maxBuffer {
				buf = nil
			}
		case idle && leaving:
			n.farewell()
			return
		case idle:
			<-n.wake
			runtime.Gosched() // who was told of an answer at the same moment may have more for this frame
		}
	}
}

// next takes what there is to write. Outcomes get their seq here, in the order in which they are written.
func (n *conn) next() (out []*outgoing, acks []*ackGroup, leaving bool, lost error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	out, n.out = n.out, nil
	acks = n.acks.take()
	for _, g := range acks {
		n.seq++
		g.seq = n.seq
		n.settling[g.seq] = g
	}
	return out, acks, n.leaving, n.lost
}

// ship writes a frame of events, unless the gateway would close the connection because of its size.
func (n *conn) ship(s *shipment, frame []byte) bool {
	if most := n.hello.Limits.FrameBytes; most > 0 && len(frame) > most {
		n.client.courier.sent(s)
		n.client.courier.refused(n, s.seq, autobus.NewError(autobus.ReasonBatchTooLarge,
			"the batch takes %d bytes, the gateway takes %d at once", len(frame), most))
		return true
	}
	defer n.client.courier.sent(s)
	return n.put(frame)
}

// put writes a frame. The guard sees to it that it does not take for ever.
func (n *conn) put(frame []byte) bool {
	n.writing.Store(max(1, int64(time.Since(n.born))))
	n.raw.begin()
	err := n.socket.Write(context.Background(), websocket.MessageBinary, frame)
	if err == nil {
		err = n.raw.end()
	}
	n.writing.Store(0)
	if err != nil {
		n.cut(err)
	}
	return err == nil
}

// farewell says goodbye, so that what the connection held counts for nobody.
func (n *conn) farewell() {
	_ = n.socket.Close(websocket.StatusNormalClosure, "") // the gateway may not wait for it
	n.cut(errGoodbye)
}

// append is the frame of one lease's outcome.
func (g *ackGroup) append(dst []byte) []byte {
	o := outgoing{Op: "ack", Seq: g.seq, Lease: g.lease, Outcome: g.kind, Delay: g.delay, Reason: g.reason,
		Subscription: g.subscription}
	dst = o.append(dst)
	var before int64
	for _, offset := range g.offsets {
		dst = wire.AppendOffset(dst, before, offset)
		before = offset
	}
	return dst
}

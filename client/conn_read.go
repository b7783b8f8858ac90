// SPDX-License-Identifier: Apache-2.0

package client

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"

	"github.com/coder/websocket"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/wire"
)

const maxBuffer = 2 << 20 // of a buffer that is kept for the next frame

// eventsHead is how the header of a frame of deliveries begins; every other is read as an object that has all fields.
var eventsHead = []byte(`{"op":"events"`)

// greet reads the hello, before the loops begin.
func (n *conn) greet(ctx context.Context) error {
	_, raw, err := n.socket.Read(ctx)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(raw, &n.hello); err != nil {
		return err
	}
	if n.hello.Op != "hello" {
		return autobus.NewError(autobus.ReasonFrameInvalid, "the first frame is %.20q", n.hello.Op)
	}
	n.touch()
	return nil
}

// read does what the frames say until the connection is over.
func (n *conn) read() {
	var buf bytes.Buffer
	for {
		buf.Reset()
		// The context is one without an end: the library would cut the connection when it ends.
		kind, r, err := n.socket.Reader(context.Background())
		if err == nil {
			_, err = buf.ReadFrom(touching{n, r})
		}
		if err != nil {
			n.cut(err)
			return
		}
		n.touch()
		n.busy.Store(true)
		if err := n.handle(kind, buf.Bytes()); err != nil {
			n.client.cfg.Logger.Error("the gateway sent what cannot be read", slog.Any("error", err))
			n.cut(err)
			return
		}
		n.touch()
		n.busy.Store(false)
		if buf.Cap() > maxBuffer {
			buf = bytes.Buffer{}
		}
	}
}

// touching notes that the gateway is there while a long frame comes in.
type touching struct {
	n *conn
	r io.Reader
}

func (t touching) Read(p []byte) (int, error) {
	const little = 64 << 10 // the library fills the whole of p before it returns
	k, err := t.r.Read(p[:min(len(p), little)])
	t.n.touch()
	return k, err
}

// handle does what one frame says.
func (n *conn) handle(kind websocket.MessageType, raw []byte) error {
	var f incoming
	head := raw
	if kind == websocket.MessageBinary {
		var err *autobus.Error
		if head, f.body, err = wire.Split(raw); err != nil {
			return err
		}
		if bytes.HasPrefix(head, eventsHead) {
			return n.events(head, f.body)
		}
	}
	if err := json.Unmarshal(head, &f); err != nil {
		return autobus.NewError(autobus.ReasonFrameInvalid, "a frame of the gateway cannot be read: %v", err)
	}
	switch f.Op {
	case "published":
		return n.client.courier.answered(n, &f)
	case "acked":
		n.acked(&f)
	case "inbox":
		if a := n.asker(&f); a != nil {
			a.sub.reachable(a, f.Address)
		}
	case "subscribed", "unsubscribed":
		if a := n.asker(&f); a != nil {
			a.sub.told(a, f.Op == "subscribed", f.TailPosition)
		}
	case "cursors":
		if a := n.asker(&f); a != nil {
			a.sub.inbox.put(item{what: moved, by: a, at: f.TailPosition})
		}
	case "revoke":
		if a := n.of(f.Subscription); a != nil {
			n.client.leases.remove(f.Leases)
			a.sub.revoke(a, f.Leases)
		}
	case "position_lost":
		if a := n.of(f.Subscription); a != nil {
			a.sub.lose(a, autobus.PositionLost{Type: f.Type, Partition: f.Partition, From: f.From, To: f.To})
		}
	case "drain":
		n.drain(f.Deadline)
	case "error":
		n.refused(&f)
	}
	return nil // what it does not know is of a newer gateway
}

// refused hands an error to whom it answers. One that answers nobody ends the connection soon.
func (n *conn) refused(f *incoming) {
	err := f.Error.err()
	if f.Seq == nil {
		n.client.cfg.Logger.Warn("the gateway reports an error", slog.String("reason", string(err.Reason)),
			slog.String("detail", err.Detail))
		return
	}
	if n.client.courier.refused(n, *f.Seq, err) {
		return
	}
	if g := n.settled(*f.Seq); g != nil {
		g.failed(err)
		return
	}
	if a := n.asker(f); a != nil {
		a.sub.refused(a, err)
	}
}

// settled gives the settlements that a frame answers; nil = it answers none.
func (n *conn) settled(seq int64) *ackGroup {
	n.mu.Lock()
	defer n.mu.Unlock()
	g := n.settling[seq]
	delete(n.settling, seq)
	return g
}

// asker is who asked for what a frame answers.
func (n *conn) asker(f *incoming) *attachment {
	n.mu.Lock()
	defer n.mu.Unlock()
	if f.Seq == nil {
		return nil
	}
	return n.asked[*f.Seq]
}

func (n *conn) of(subscription string) *attachment {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.named[subscription]
}

// events hands on a frame of deliveries.
func (n *conn) events(head, body []byte) error {
	var h wire.Events
	if err := json.Unmarshal(head, &h); err != nil {
		return autobus.NewError(autobus.ReasonFrameInvalid, "a frame of deliveries cannot be read: %v", err)
	}
	n.mu.Lock()
	a := n.named[h.Subscription]
	if h.Seq != nil {
		a = n.asked[*h.Seq]
	}
	n.mu.Unlock()
	if a == nil {
		return nil // it left
	}
	ds, err := h.Deliveries(bytes.Clone(body)) // keys and data lie in it
	if err != nil {
		return err
	}
	if h.Lease != "" && !a.sub.s.Detached {
		n.client.leases.add(h.Lease, a, ds)
	}
	a.sub.deliver(a, ds, len(body))
	return nil
}

// acked tells those who settled what did not count.
func (n *conn) acked(f *incoming) {
	if f.Seq == nil {
		return
	}
	if g := n.settled(*f.Seq); g != nil {
		g.answered(n.client.leases, f.Results)
	}
}

// SPDX-License-Identifier: Apache-2.0

package conformance

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/bustest"
)

// TestWebSocket runs all of the suite over text frames.
func TestWebSocket(t *testing.T) {
	transport(t, newWSBus, bustest.Exercise, bustest.Features{
		NoDetached: "leases end with the connection",
		NoOwner:    "an ack names no subscription: the lease says it all",
		NoInbox:    "this driver opens none; the client's does",
	})
}

// TestWebSocketFrames runs all of it over binary frames.
func TestWebSocketFrames(t *testing.T) {
	transport(t, newFramesBus, bustest.Exercise, bustest.Features{
		NoDetached: "leases end with the connection",
		NoOwner:    "an ack names no subscription: the lease says it all",
		NoInbox:    "this driver opens none; the client's does",
	})
}

// wsBus speaks frames: each session has a connection of its own, all streams of publishes share one, whatever else is
// asked goes over one that is free.
type wsBus struct {
	site   *site
	token  string
	binary bool

	mu      sync.Mutex
	free    []*socket
	shared  *socket // of all streams
	streams map[*autobus.Stream]int64
}

func newWSBus(s *site, token string) autobus.Bus { return openWSBus(s, token, false) }

func newFramesBus(s *site, token string) autobus.Bus { return openWSBus(s, token, true) }

func openWSBus(s *site, token string, binary bool) *wsBus {
	b := &wsBus{site: s, token: token, binary: binary, streams: map[*autobus.Stream]int64{}}
	s.t.Cleanup(b.close)
	return b
}

func (b *wsBus) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, c := range b.free {
		c.goodbye()
	}
	if b.shared != nil {
		b.shared.goodbye()
	}
}

// take gives a connection over which nothing is under way.
func (b *wsBus) take(ctx context.Context) (*socket, error) {
	b.mu.Lock()
	for n := len(b.free); n > 0; n = len(b.free) {
		c := b.free[n-1]
		b.free = b.free[:n-1]
		if c.alive() {
			b.mu.Unlock()
			return c, nil
		}
	}
	b.mu.Unlock()
	return b.dial(ctx, nil)
}

func (b *wsBus) dial(ctx context.Context, push func(frame)) (*socket, error) {
	c, err := dialSocket(ctx, b.site, b.token, push)
	if err == nil {
		c.binary = b.binary
	}
	return c, err
}

func (b *wsBus) give(c *socket) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.free = append(b.free, c)
}

// Publish does not wait when the batch belongs to a stream: any number of them is in flight then. One without stands
// alone on its connection too.
func (b *wsBus) Publish(ctx context.Context, batch *autobus.Batch) error {
	if batch.Stream != nil {
		return b.pipeline(ctx, batch)
	}
	c, err := b.take(ctx)
	if err != nil {
		return err
	}
	answer := make(chan frame, 1)
	if err := c.publish(batch, 0, func(f frame) { answer <- f }); err != nil {
		return err
	}
	f := <-answer
	b.give(c)
	if f.Op != "published" && !f.disconnected() {
		return f.failure()
	}
	if err := batch.Open(); err != nil {
		return err
	}
	published(batch, f)
	return nil
}

func (b *wsBus) pipeline(ctx context.Context, batch *autobus.Batch) error {
	c, stream, err := b.stream(ctx, batch.Stream)
	if err != nil {
		return err
	}
	if err := batch.Open(); err != nil {
		return err
	}
	if err := c.publish(batch, stream, func(f frame) { published(batch, f) }); err != nil {
		lose(batch, err)
	}
	return nil
}

func (b *wsBus) stream(ctx context.Context, s *autobus.Stream) (*socket, int64, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.shared == nil {
		c, err := b.dial(ctx, nil)
		if err != nil {
			return nil, 0, err
		}
		b.shared = c
	}
	if b.streams[s] == 0 {
		b.streams[s] = int64(len(b.streams) + 1)
	}
	return b.shared, b.streams[s], nil
}

// published settles a batch, which is open, by the answer to its frame.
func published(batch *autobus.Batch, f frame) {
	switch {
	case f.Op == "published" && f.binary:
		resolveReceipts(batch, f)
	case f.Op == "published":
		resolve(batch, f.Results)
	case f.disconnected():
		lose(batch, f.failure())
	default:
		for i := range batch.Events {
			batch.Resolve(i, autobus.Receipt{Status: autobus.Refused, Err: autobus.AsError(f.failure())})
		}
	}
}

func (c *socket) publish(batch *autobus.Batch, stream int64, hear func(frame)) (err error) {
	members := fmt.Appendf(nil, `"stream":%d,"mode":%q`, stream, modeWord(batch.Mode))
	if c.binary {
		_, err = c.askWith("publish", members, recordsOf(batch.Events), true, hear)
		return err
	}
	_, err = c.ask("publish", appendEvents(append(members, `,"events":`...), batch.Events), hear)
	return err
}

// Settle tells all outcomes in one text frame, or in several binary ones.
func (b *wsBus) Settle(ctx context.Context, ss []autobus.Settlement) error {
	c, err := b.take(ctx)
	if err != nil {
		return err
	}
	defer b.give(c)
	if b.binary {
		return c.settleFrames(ss)
	}
	return c.settle(ss)
}

func (c *socket) settle(ss []autobus.Settlement) error {
	acks := make([]ack, len(ss))
	for i := range ss {
		acks[i] = ackOf(&ss[i])
	}
	answer := make(chan frame, 1)
	_, err := c.askWith("ack", members(map[string]any{"results": acks}), nil, false, func(f frame) { answer <- f })
	if err != nil {
		return err
	}
	f := <-answer
	if f.Op != "acked" {
		return f.failure()
	}
	return acked(ss, f.Verdicts)
}

// acked notes what did not count.
func acked(ss []autobus.Settlement, verdicts []verdict) (err error) {
	for i := range ss {
		ss[i].Err = nil
	}
	for _, r := range verdicts {
		if r.Index < 0 || r.Index >= len(ss) || ss[r.Index].Lease != r.Lease {
			return fmt.Errorf("the answer to an ack names %q as result %d", r.Lease, r.Index)
		}
		if ss[r.Index].Err, err = r.read(); err != nil {
			return err
		}
	}
	return nil
}

// Subscribe has a connection for itself. Its goodbye is answered, so that the session is over when it returns; a death
// is the end of the connection.
func (b *wsBus) Subscribe(ctx context.Context, s autobus.Subscription, h autobus.Handler) error {
	if err := wellFormed(&s); err != nil {
		return err
	}
	ended := make(chan error, 1)
	hear := func(f frame) {
		if over, err := f.hear(ctx, &s, h); over || err != nil {
			select {
			case ended <- err:
			default: // it had ended before
			}
		}
	}
	c, err := b.dial(context.WithoutCancel(ctx), hear)
	if err != nil {
		return err
	}
	defer c.goodbye()
	op, asked := subscribeMembers(&s)
	seq, err := c.ask(op, asked, hear)
	for err == nil {
		select {
		case err := <-ended:
			return err
		case w := <-s.Resize:
			_, err = c.ask("window", members(map[string]any{"subscription": s.Name, "window": w}), hear)
		case <-ctx.Done():
			if errors.Is(context.Cause(ctx), autobus.ErrReaderDied) {
				c.cut()
				return nil
			}
			return leave(c, seq, s.Name, ended)
		}
	}
	return err
}

// leave says goodbye to a subscription, or to the tail of that seq, and waits for the answer.
func leave(c *socket, seq int64, name string, ended <-chan error) error {
	goodbye := map[string]any{"op": "unsubscribe", "seq": seq}
	if name != "" {
		goodbye["subscription"] = name
	}
	if err := c.write(append(append([]byte{'{'}, members(goodbye)...), '}'), nil, c.binary); err != nil {
		return err
	}
	select {
	case err := <-ended:
		return err
	case <-time.After(bustest.Patience):
		return errors.New("the goodbye was not answered")
	}
}

// hear does what a frame about a subscription says, which may be that it is over.
func (f *frame) hear(ctx context.Context, s *autobus.Subscription, h autobus.Handler) (over bool, err error) {
	switch f.Op {
	case "subscribed":
		if s.Opened != nil {
			s.Opened("")
		}
		return false, nil
	case "unsubscribed":
		return true, nil
	}
	return false, f.tell(ctx, s, h)
}

func subscribeMembers(s *autobus.Subscription) (op string, asked []byte) {
	m := map[string]any{}
	if s.Name == "" {
		m["types"], m["from"] = s.Tail, fromWord(s.From)
		if s.Filter != "" {
			m["filter"] = s.Filter
		}
		return "tail", members(m)
	}
	m["subscription"] = s.Name
	if s.Window != nil {
		m["window"] = s.Window
	}
	if s.Create != nil {
		m["create"] = s.Create
	}
	return "subscribe", members(m)
}

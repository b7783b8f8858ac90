// SPDX-License-Identifier: Apache-2.0

package ws

import (
	"bytes"
	"context"
	"encoding/json"
	"net"
	"net/http/httptest"
	"testing"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/edge"
)

// FuzzText has anything done as a text frame, in both subprotocols: it is answered by frames of JSON.
func FuzzText(f *testing.F) {
	for _, s := range []string{
		`{"op":"publish","seq":1,"mode":"ordered","stream":5,"events":[{"type":"a.b.v1","id":"1","source":"/s","data":{}}]}`,
		`{"op":"forget","stream":5}`,
		`{"op":"subscribe","seq":1,"subscription":"x","window":{"events":1},"create":{"types":["*"]}}`,
		`{"op":"window","subscription":"x","window":{"bytes":1}}`, `{"op":"unsubscribe","seq":2,"subscription":"x"}`,
		`{"op":"ack","seq":1,"results":[{"lease":"l","outcome":"ack"},{"lease":7}]}`,
		`{"op":"tail","seq":1,"types":["a.*"],"filter":"true","from":"earliest"}`, `{"op":"inbox","seq":1}`,
		`{"op":"auth","token":"x"}`, `{"op":"publish","op":"ack","seq":1.5}`, `{`, `null`, "\xff",
		`{"specversion":"1.0","id":"1","source":"/s","type":"a.b.v1","data_base64":"AA=="}`,
	} {
		f.Add([]byte(s), true)
		f.Add([]byte(s), false)
	}
	f.Fuzz(func(t *testing.T, raw []byte, frames bool) {
		c := fuzzed(t, raw, func(c *conn) {
			c.frames = frames
			if frames {
				c.readText(raw)
			} else {
				c.publishOne(raw)
			}
		})
		for m, _, ok := c.out.next(); ok; m, _, ok = c.out.next() {
			answer := m.frame
			if m.answer != nil {
				answer = c.appendPublished(nil, m.answer)
			}
			if !json.Valid(answer) {
				t.Errorf("%q was answered by %q", raw, answer)
			}
		}
	})
}

// fuzzed lets do handle a frame on a connection of its own, which is over when it returns, but for its answers. However
// the frame looks, it stays as it was, and no more is published and settled than one frame may.
func fuzzed(t *testing.T, raw []byte, do func(*conn)) *conn {
	t.Helper()
	published, settled := 0, 0
	bus := &fakeBus{
		before: func(b *autobus.Batch) error {
			published += len(b.Events)
			return nil
		},
		settle: func(_ context.Context, ss []autobus.Settlement) error {
			settled += len(ss)
			return nil
		},
		subscribe: func(ctx context.Context, _ autobus.Subscription, _ autobus.Handler) error {
			<-ctx.Done()
			return nil
		},
	}
	near, far := net.Pipe()
	defer far.Close()
	r := httptest.NewRequest("GET", "/v1/ws", nil)
	r = r.WithContext(autobus.WithPrincipal(r.Context(), autobus.Principal{Name: "fuzz"}))
	c := newConn(New(Config{Bus: bus}), r, nil, &corked{Conn: near})
	before := bytes.Clone(raw)
	do(c)
	c.cancel(nil)
	c.work.Wait()
	c.release()
	c.inflight.stop()
	c.hangUp()
	if !bytes.Equal(raw, before) {
		t.Error("the frame was changed")
	}
	if published > autobus.MaxBatchEvents || settled > edge.MaxSettlements {
		t.Errorf("%d events were published, %d settled", published, settled)
	}
	return c
}

// SPDX-License-Identifier: Apache-2.0

package conformance

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync"

	"github.com/coder/websocket"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/bustest"
	"github.com/autobus-io/autobus/internal/wire"
)

// socket is one WebSocket of a client. Its reader hands each frame to whoever asked by its seq, else to push.
type socket struct {
	conn   *websocket.Conn
	binary bool // it asks by binary frames
	push   func(frame)
	over   chan struct{} // closed when the reader has ended

	mu    sync.Mutex
	seq   int64
	asked map[int64]func(frame)
	lost  error
}

// dialSocket connects. push = nil: nothing may come that was not asked for.
func dialSocket(ctx context.Context, s *site, token string, push func(frame)) (*socket, error) {
	if push == nil {
		push = func(f frame) { s.t.Errorf("a frame that nobody asked for: %+v", f) }
	}
	ctx, cancel := context.WithTimeout(ctx, bustest.Patience)
	defer cancel()
	conn, _, err := websocket.Dial(ctx, "ws://"+s.addr+"/v1/ws", &websocket.DialOptions{HTTPClient: s.http,
		HTTPHeader: http.Header{"Authorization": {"Bearer " + token}}, Subprotocols: []string{"autobus.v1"}})
	if err != nil {
		return nil, unreachable(err)
	}
	conn.SetReadLimit(-1)
	c := &socket{conn: conn, push: push, over: make(chan struct{}), asked: map[int64]func(frame){}}
	if hello, err := c.next(); err != nil || hello.Op != "hello" {
		c.cut()
		return nil, unreachable(errors.Join(errors.New("there is no hello"), err))
	}
	go c.read()
	return c, nil
}

func (c *socket) next() (f frame, err error) {
	kind, raw, err := c.conn.Read(context.Background())
	switch {
	case err != nil:
	case kind == websocket.MessageBinary:
		err = f.parseBinary(raw)
	default:
		err = f.parse(raw)
	}
	return f, err
}

// parse reads a frame of JSON. Results are of two kinds.
func (f *frame) parse(raw []byte) error {
	if err := json.Unmarshal(raw, f); err != nil {
		return err
	}
	var err error
	switch f.Op {
	case "published":
		err = json.Unmarshal(raw, &struct {
			Results *[]result `json:"results"`
		}{&f.Results})
	case "acked":
		err = json.Unmarshal(raw, &struct {
			Results *[]verdict `json:"results"`
		}{&f.Verdicts})
	}
	return err
}

func (c *socket) read() {
	defer close(c.over)
	for {
		f, err := c.next()
		if err != nil {
			c.lose(err)
			return
		}
		c.route(f)(f)
	}
}

// route gives whoever a frame is for. What has one answer is not waited for any more.
func (c *socket) route(f frame) func(frame) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if f.Seq == nil || c.asked[*f.Seq] == nil {
		return c.push
	}
	hear := c.asked[*f.Seq]
	if f.Op == "published" || f.Op == "acked" || f.Op == "error" {
		delete(c.asked, *f.Seq)
	}
	return hear
}

// lose tells everybody who asked that the connection is gone.
func (c *socket) lose(err error) {
	c.mu.Lock()
	c.lost = unreachable(err)
	asked := c.asked
	c.asked = nil
	c.mu.Unlock()
	for _, hear := range asked {
		hear(frame{Op: "error", Error: &problem{Code: autobus.Unavailable, Reason: autobus.ReasonServerUnreachable,
			Detail: err.Error()}})
	}
}

// disconnected reports whether the frame is not the server's, but says that there is no connection any more.
func (f *frame) disconnected() bool {
	return f.Op == "error" && f.Error != nil && f.Error.Reason == autobus.ReasonServerUnreachable
}

// ask sends a frame with these members under the next seq. What answers it goes to hear, and so does the loss of the
// connection, unless it is lost already.
func (c *socket) ask(op string, rest []byte, hear func(frame)) (seq int64, err error) {
	return c.askWith(op, rest, nil, c.binary, hear)
}

// askWith is ask in the given form, with the body of a binary frame.
func (c *socket) askWith(op string, rest, body []byte, binary bool, hear func(frame)) (seq int64, err error) {
	c.mu.Lock()
	if c.lost != nil {
		c.mu.Unlock()
		return 0, c.lost
	}
	c.seq++
	seq = c.seq
	c.asked[seq] = hear
	c.mu.Unlock()
	object := append(append(fmt.Appendf(nil, `{"op":%q,"seq":%d,`, op, seq), rest...), '}')
	if err := c.write(object, body, binary); err != nil {
		c.cut() // whoever waits for an answer hears of it
	}
	return seq, nil
}

func (c *socket) write(object, body []byte, binary bool) error {
	if binary {
		frame := append(wire.AppendHeader(nil, object), body...)
		return c.conn.Write(context.Background(), websocket.MessageBinary, frame)
	}
	return c.conn.Write(context.Background(), websocket.MessageText, object)
}

// members gives the members of an object, which has some.
func members(object any) []byte {
	raw, err := json.Marshal(object)
	if err != nil {
		panic(err) // maps of strings and what the package autobus encodes itself
	}
	return raw[1 : len(raw)-1]
}

func (c *socket) alive() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.lost == nil
}

// goodbye closes the connection with a close frame, unless it is over. cut does without.
func (c *socket) goodbye() {
	_ = c.conn.Close(websocket.StatusNormalClosure, "") // the server may have been faster
	<-c.over
}

func (c *socket) cut() { _ = c.conn.CloseNow() }

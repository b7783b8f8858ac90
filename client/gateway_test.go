// SPDX-License-Identifier: Apache-2.0

package client_test

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/client"
	"github.com/autobus-io/autobus/internal/wire"
)

const (
	patience = 20 * time.Second
	placed   = "orders.order.placed.v1"
)

// gateway plays the server's side of the protocol. What it does by itself is what a good one does; a test takes over
// what it wants to be otherwise.
type gateway struct {
	t    testing.TB
	url  string
	stop func()

	// Taken over by tests before the first connection.
	accept func(w http.ResponseWriter, r *http.Request) bool // false = it has answered
	limits string
	// features of the hello; empty = none
	features string
	script   func(c *link, f *frame) bool // true = it has dealt with the frame

	mu    sync.Mutex
	links map[*link]bool
	made  int // connections so far
	log   []autobus.Event
	at    map[string]int64 // id -> offset
	news  chan struct{}    // closed at every change
}

// frame is what a client sent.
type frame struct {
	Op           string              `json:"op"`
	Seq          *int64              `json:"seq"`
	Subscription string              `json:"subscription"`
	Mode         string              `json:"mode"`
	Stream       *int64              `json:"stream"`
	Lease        autobus.Lease       `json:"lease"`
	Outcome      autobus.OutcomeKind `json:"outcome"`
	Token        string              `json:"token"`
	Types        []string            `json:"types"`
	From         place               `json:"from"`
	Cursors      bool                `json:"cursors"`
	Died         bool                `json:"died"`
	Window       *autobus.Window     `json:"window"`
	wire.Shared

	events  []autobus.Event
	offsets []int64
}

// place is where a tail is to begin: a word, or cursors.
type place struct {
	word string
	autobus.Start
}

func (p *place) UnmarshalJSON(b []byte) error {
	if b[0] == '{' {
		return p.Start.UnmarshalJSON(b)
	}
	return json.Unmarshal(b, &p.word)
}

// link is one connection of a client.
type link struct {
	g      *gateway
	number int
	socket *websocket.Conn
	r      *http.Request
}

func newGateway(t testing.TB) *gateway {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return newGatewayOn(t, l)
}

func newGatewayOn(t testing.TB, l net.Listener) *gateway {
	g := &gateway{t: t, links: map[*link]bool{}, at: map[string]int64{}, news: make(chan struct{})}
	server := &httptest.Server{Listener: l, Config: &http.Server{Handler: http.HandlerFunc(g.serve)}}
	server.Start()
	g.url = server.URL
	g.stop = sync.OnceFunc(func() {
		g.cut()
		server.Close()
	})
	t.Cleanup(g.stop)
	return g
}

// client makes a client that does not wait long. It is closed with the test.
func (g *gateway) client(change ...func(*client.Config)) *client.Client {
	g.t.Helper()
	cfg := client.Config{URL: g.url, MinBackoff: time.Millisecond, MaxBackoff: 20 * time.Millisecond,
		Logger: slog.New(slog.NewTextHandler(logs{g.t}, nil))}
	for _, f := range change {
		f(&cfg)
	}
	c, err := client.New(cfg)
	if err != nil {
		g.t.Fatal(err)
	}
	g.t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = c.Close(ctx) // what a test left in flight has no answer
	})
	return c
}

type logs struct{ t testing.TB }

func (l logs) Write(p []byte) (int, error) {
	l.t.Logf("%s", p)
	return len(p), nil
}

func (g *gateway) serve(w http.ResponseWriter, r *http.Request) {
	if g.accept != nil && !g.accept(w, r) {
		return
	}
	socket, err := websocket.Accept(w, r, &websocket.AcceptOptions{Subprotocols: []string{"autobus.v1"}})
	if err != nil {
		return
	}
	socket.SetReadLimit(-1)
	c := &link{g: g, socket: socket, r: r}
	g.change(func() {
		c.number = g.made
		g.made++
		g.links[c] = true
	})
	limits := g.limits
	if limits == "" {
		limits = "{}"
	}
	c.text(`{"op":"hello","server":"fake","instance":"i-%d","limits":%s,"features":%s}`, c.number, limits,
		cmp.Or(g.features, "[]"))
	for c.next() {
	}
	_ = socket.CloseNow()
	g.change(func() { delete(g.links, c) })
}

// change does something under the mutex and tells those who wait.
func (g *gateway) change(f func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	f()
	close(g.news)
	g.news = make(chan struct{})
}

// await waits until something holds.
func (g *gateway) await(what string, holds func() bool) {
	g.t.Helper()
	timeout := time.After(patience)
	for {
		g.mu.Lock()
		news, ok := g.news, holds()
		g.mu.Unlock()
		if ok {
			return
		}
		select {
		case <-news:
		case <-timeout:
			g.t.Fatalf("%s does not come", what)
		}
	}
}

// cut ends all connections without a word.
func (g *gateway) cut() {
	g.mu.Lock()
	defer g.mu.Unlock()
	for c := range g.links {
		_ = c.socket.CloseNow()
	}
}

func (c *link) next() bool {
	kind, raw, err := c.socket.Read(context.Background())
	if err != nil {
		return false
	}
	var f frame
	header, body := raw, []byte(nil)
	if kind == websocket.MessageBinary {
		var bad *autobus.Error
		if header, body, bad = wire.Split(raw); bad != nil {
			c.g.t.Errorf("the client sent a frame that cannot be split: %v", bad)
			return false
		}
	}
	if err := json.Unmarshal(header, &f); err != nil {
		c.g.t.Errorf("the client sent %q: %v", header, err)
		return false
	}
	switch f.Op {
	case "publish":
		records := wire.NewRecords(body, f.Shared)
		for {
			var e autobus.Event
			_, refused, ok := records.Next(&e)
			if !ok {
				break
			}
			if refused != nil || e.Key != nil {
				c.g.t.Errorf("the client sent an event that is refused: %v, key %q", refused, e.Key)
			}
			f.events = append(f.events, e)
		}
		if err := records.Err(); err != nil {
			c.g.t.Errorf("the client sent events that cannot be read: %v", err)
		}
	case "ack":
		if err := wire.ReadOffsets(body, func(o int64) { f.offsets = append(f.offsets, o) }); err != nil {
			c.g.t.Errorf("the client sent offsets that cannot be read: %v", err)
		}
	}
	if c.g.script == nil || !c.g.script(c, &f) {
		c.answer(&f)
	}
	return true
}

// answer does what a good gateway does.
func (c *link) answer(f *frame) {
	switch f.Op {
	case "publish":
		c.published(*f.Seq, "", c.g.write(f.events)...)
	case "subscribe", "tail":
		c.text(`{"op":"subscribed","seq":%d,"subscription":%q}`, *f.Seq, f.Subscription)
	case "unsubscribe":
		c.text(`{"op":"unsubscribed","seq":%d,"subscription":%q}`, *f.Seq, f.Subscription)
	case "ack":
		c.acked(*f.Seq, "")
	}
}

// write appends events to the log, each id once.
func (g *gateway) write(events []autobus.Event) []autobus.Receipt {
	rs := make([]autobus.Receipt, len(events))
	g.change(func() {
		for i, e := range events {
			at, twice := g.at[e.ID]
			if !twice {
				at = int64(len(g.log))
				g.at[e.ID] = at
				e.Data = append([]byte(nil), e.Data...)
				g.log = append(g.log, e)
			}
			rs[i] = autobus.Receipt{Status: autobus.Written, Duplicate: twice, Offset: at}
		}
	})
	return rs
}

// published answers a frame of events; more is what stands in the header beside.
func (c *link) published(seq int64, more string, rs ...autobus.Receipt) {
	frame := wire.AppendHeader(nil, fmt.Appendf(nil, `{"op":"published","seq":%d%s}`, seq, more))
	for _, r := range rs {
		frame = wire.AppendReceipt(frame, r)
	}
	c.binary(frame)
}

func (c *link) acked(seq int64, more string) {
	c.binary(wire.AppendHeader(nil, fmt.Appendf(nil, `{"op":"acked","seq":%d%s}`, seq, more)))
}

// refusedResult is the result of an event that was not written.
func refusedResult(index int, why autobus.Reason) string {
	return fmt.Sprintf(`{"index":%d,"status":"refused","error":%s}`, index, problem(why))
}

func problem(why autobus.Reason) string {
	return fmt.Sprintf(`{"code":%q,"reason":%q,"detail":"the test says so"}`, why.Info().Code, why)
}

// deliver hands out events of one frame.
func (c *link) deliver(subscription string, lease autobus.Lease, offset int64, n int) {
	ds := make([]autobus.Delivery, n)
	refs := make([]*autobus.Delivery, n)
	for i := range ds {
		at := offset + int64(i)
		ds[i] = autobus.Delivery{Event: autobus.Event{ID: fmt.Sprint(at), Type: placed, Source: "/test",
			Key: fmt.Append(nil, at), Data: fmt.Appendf(nil, `{"n":%d}`, at)}, Offset: at, Attempt: 1}
		if lease != "" {
			ds[i].Lease, ds[i].Deadline, ds[i].Fence = lease.At(at), time.Now().Add(time.Minute), 7
		}
		refs[i] = &ds[i]
	}
	c.binary(wire.AppendEvents(nil, subscription, nil, refs))
}

func (c *link) text(format string, args ...any) {
	c.send(websocket.MessageText, fmt.Appendf(nil, format, args...))
}

func (c *link) binary(frame []byte) { c.send(websocket.MessageBinary, frame) }

func (c *link) send(kind websocket.MessageType, frame []byte) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	_ = c.socket.Write(ctx, kind, frame) // the connection may be cut by now
}

// SPDX-License-Identifier: Apache-2.0

package ws

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/coder/websocket"
	"go.uber.org/goleak"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/edge"
	"github.com/autobus-io/autobus/internal/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fakeBus keeps what is published in memory and says of it what the test wants.
type fakeBus struct {
	judge     func(e *autobus.Event) *autobus.Error         // a refusal, or nil
	settled   func(b *autobus.Batch, i int, written func()) // nil = written at once
	before    func(b *autobus.Batch) error                  // of the batch as such
	subscribe func(context.Context, autobus.Subscription, autobus.Handler) error
	settle    func(context.Context, []autobus.Settlement) error

	mu  sync.Mutex
	log []autobus.Event
	who []string // by event
}

func (f *fakeBus) Publish(ctx context.Context, b *autobus.Batch) error {
	p, ok := autobus.PrincipalOf(ctx)
	if !ok {
		return autobus.NewError(autobus.ReasonUnauthenticated, "nobody")
	}
	if f.before != nil {
		if err := f.before(b); err != nil {
			return err
		}
	}
	if err := b.Open(); err != nil {
		return err
	}
	for i := range b.Events {
		e := &b.Events[i]
		if key, ok := e.Ext(autobus.ExtPartitionKey); ok {
			e.Key = []byte(key)
		}
		if err := f.refuse(b, i); err != nil {
			b.Resolve(i, autobus.Receipt{Status: autobus.Refused, Err: err})
			continue
		}
		f.mu.Lock()
		f.log, f.who = append(f.log, *e), append(f.who, p.Name)
		offset := int64(len(f.log) - 1)
		f.mu.Unlock()
		written := func() {
			b.Resolve(i, autobus.Receipt{Status: autobus.Written, Partition: 3, Offset: offset})
		}
		if f.settled != nil {
			f.settled(b, i, written)
		} else {
			written()
		}
	}
	return nil
}

func (f *fakeBus) refuse(b *autobus.Batch, i int) *autobus.Error {
	if id, ok := b.Admit(i); !ok {
		return autobus.NewError(autobus.ReasonPredecessorFailed, "event %s was not written", id)
	}
	if f.judge != nil {
		return f.judge(&b.Events[i])
	}
	return nil
}

func (f *fakeBus) Subscribe(ctx context.Context, s autobus.Subscription, h autobus.Handler) error {
	if _, ok := autobus.PrincipalOf(ctx); !ok {
		return autobus.NewError(autobus.ReasonUnauthenticated, "nobody")
	}
	return f.subscribe(ctx, s, h)
}

func (f *fakeBus) Settle(ctx context.Context, ss []autobus.Settlement) error {
	if _, ok := autobus.PrincipalOf(ctx); !ok {
		return autobus.NewError(autobus.ReasonUnauthenticated, "nobody")
	}
	return f.settle(ctx, ss)
}

func (f *fakeBus) ids() (ids []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, e := range f.log {
		ids = append(ids, e.ID)
	}
	return ids
}

// opened is one call of Subscribe as a test drives it.
type opened struct {
	autobus.Subscription
	ctx  context.Context
	hand autobus.Handler
	end  chan error // what Subscribe returns
}

// groups is a bus whose subscriptions the test drives: each is opened at once and lives until its context or end.
func groups() (*fakeBus, chan *opened) {
	calls := make(chan *opened, 200)
	return &fakeBus{subscribe: func(ctx context.Context, s autobus.Subscription, h autobus.Handler) error {
		o := &opened{s, ctx, h, make(chan error, 1)}
		if s.Opened != nil {
			s.Opened("")
		}
		calls <- o
		select {
		case <-ctx.Done():
			return nil
		case err := <-o.end:
			return err
		}
	}}, calls
}

// site is a running server.
type site struct {
	url  string
	dial func(ctx context.Context, network, addr string) (net.Conn, error) // nil = TCP
	stop context.CancelFunc                                                // begins the drain
	done chan error
}

func open() edge.Options { return edge.Options{Open: &autobus.Principal{Name: "dev"}} }

func serve(t *testing.T, bus autobus.Bus) *site { return serveOn(t, &edge.Server{}, bus, open()) }

func serveOn(t *testing.T, server *edge.Server, bus autobus.Bus, o edge.Options) *site {
	t.Helper()
	if server.Listener == nil {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		server.Listener = l
	}
	mux := http.NewServeMux()
	New(Config{Bus: bus, Instance: "one", Version: "0.1.0"}).Mount(mux)
	ctx, cancel := context.WithCancel(context.Background())
	s := &site{url: "http://" + server.Listener.Addr().String(), stop: cancel, done: make(chan error, 1)}
	server.Handler = edge.Handler(mux, o)
	go func() { s.done <- server.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-s.done; err != nil {
			t.Errorf("server: %v", err)
		}
	})
	return s
}

// got is everything a frame of the server can hold.
type got struct {
	Op           string            `json:"op"`
	Seq          *int64            `json:"seq"`
	Server       string            `json:"server"`
	Instance     string            `json:"instance"`
	Limits       map[string]int    `json:"limits"`
	Subscription string            `json:"subscription"`
	Results      []result          `json:"results"`
	Deliveries   []json.RawMessage `json:"deliveries"`
	autobus.TailPosition
	Leases      []string      `json:"leases"`
	Deadline    string        `json:"deadline"`
	Type        string        `json:"type"`
	From        int64         `json:"from"`
	To          int64         `json:"to"`
	Error       *edge.Details `json:"error"`
	SpecVersion string        `json:"specversion"`
	ID          string        `json:"id"`
}

type result struct {
	Index  int           `json:"index"`
	ID     string        `json:"id"`
	Lease  string        `json:"lease"`
	Status string        `json:"status"`
	Offset *int64        `json:"offset"`
	Error  *edge.Details `json:"error"`
}

func (g got) String() string {
	b, _ := json.Marshal(g)
	return string(b)
}

// is reports whether the frame is of this op and answers this seq; seq 0 = none.
func (g got) is(op string, seq int64) bool {
	if seq == 0 {
		return g.Op == op && g.Seq == nil
	}
	return g.Op == op && g.Seq != nil && *g.Seq == seq
}

func (g got) fails(seq int64, reason autobus.Reason) bool {
	return g.is("error", seq) && g.Error != nil && g.Error.Reason == reason
}

type client struct {
	t    *testing.T
	conn *websocket.Conn
}

func try(t *testing.T, s *site, path string, header http.Header, protocols ...string) (
	*websocket.Conn, *http.Response, error,
) {
	t.Helper()
	transport := &http.Transport{DialContext: s.dial}
	t.Cleanup(transport.CloseIdleConnections)
	return websocket.Dial(t.Context(), s.url+path, &websocket.DialOptions{
		HTTPClient: &http.Client{Transport: transport}, HTTPHeader: header, Subprotocols: protocols,
	})
}

// dial connects and takes the hello.
func dial(t *testing.T, s *site, headers ...string) *client {
	t.Helper()
	h := http.Header{}
	for i := 0; i < len(headers); i += 2 {
		h.Add(headers[i], headers[i+1])
	}
	conn, _, err := try(t, s, "/v1/ws", h, protocolFrames)
	if err != nil {
		t.Fatal(err)
	}
	conn.SetReadLimit(-1)
	t.Cleanup(func() { _ = conn.CloseNow() })
	c := &client{t, conn}
	if f := c.next(); f.Op != "hello" {
		t.Fatalf("the first frame is %s", f)
	}
	return c
}

func (c *client) send(format string, args ...any) {
	c.t.Helper()
	if len(args) > 0 {
		format = fmt.Sprintf(format, args...)
	}
	if err := c.conn.Write(context.Background(), websocket.MessageText, []byte(format)); err != nil {
		c.t.Fatal(err)
	}
}

// next takes a text frame.
func (c *client) next() (f got) {
	c.t.Helper()
	kind, raw, err := c.conn.Read(context.Background())
	if err != nil {
		c.t.Fatal(err)
	}
	if err := json.Unmarshal(raw, &f); err != nil || kind != websocket.MessageText {
		c.t.Fatalf("frame %q: %v", raw, err)
	}
	return f
}

// sendBinary sends a binary frame.
func (c *client) sendBinary(header string, body []byte) {
	c.t.Helper()
	c.sendRaw(append(wire.AppendHeader(nil, []byte(header)), body...))
}

func (c *client) sendRaw(raw []byte) {
	c.t.Helper()
	if err := c.conn.Write(context.Background(), websocket.MessageBinary, raw); err != nil {
		c.t.Fatal(err)
	}
}

// nextBinary takes a binary frame.
func (c *client) nextBinary() (f got, header string, body []byte) {
	c.t.Helper()
	kind, raw, err := c.conn.Read(context.Background())
	if err != nil {
		c.t.Fatal(err)
	}
	h, body, bad := wire.Split(raw)
	if kind != websocket.MessageBinary || bad != nil {
		c.t.Fatalf("instead of a binary frame %q came (%v)", raw, bad)
	}
	if err := json.Unmarshal(h, &f); err != nil {
		c.t.Fatalf("header %q: %v", h, err)
	}
	return f, string(h), body
}

// closed reads on until the close frame.
func (c *client) closed() (code websocket.StatusCode, before []got) {
	c.t.Helper()
	for {
		_, raw, err := c.conn.Read(context.Background())
		if err != nil {
			return websocket.CloseStatus(err), before
		}
		var f got
		if err := json.Unmarshal(raw, &f); err != nil {
			c.t.Fatalf("frame %q: %v", raw, err)
		}
		before = append(before, f)
	}
}

// alive asks for a round trip.
func (c *client) alive() {
	c.t.Helper()
	c.send(`{"op":"publish","seq":99,"events":[]}`)
	if f := c.next(); !f.is("published", 99) {
		c.t.Errorf("instead of an answer: %s", f)
	}
}

func event(id, key string) string {
	return fmt.Sprintf(`{"specversion":"1.0","type":"a.b.v1","id":%q,"partitionkey":%q,"data":{"n":1}}`, id, key)
}

func publishFrame(seq int, events ...string) string {
	return fmt.Sprintf(`{"op":"publish","seq":%d,"events":[%s]}`, seq, strings.Join(events, ","))
}

// pipes is a listener in memory, whose connections know deadlines and run on a bubble's time.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func newPipes() *pipes { return &pipes{conns: make(chan net.Conn), closed: make(chan struct{})} }

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	p.once.Do(func() { close(p.closed) })
	return nil
}

func (p *pipes) Addr() net.Addr { return &net.TCPAddr{} }

func (p *pipes) connect(context.Context, string, string) (net.Conn, error) {
	client, server := net.Pipe()
	p.conns <- server
	return client, nil
}

// bubble serves in memory, on the time of a bubble.
func bubble(t *testing.T, bus autobus.Bus) *site {
	t.Helper()
	l := newPipes()
	s := serveOn(t, &edge.Server{Listener: l}, bus, open())
	s.url, s.dial = "http://autobus", l.connect
	return s
}

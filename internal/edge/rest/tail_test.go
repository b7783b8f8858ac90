// SPDX-License-Identifier: Apache-2.0

package rest

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/edge"
)

// tailLine is one line of a tail.
type tailLine struct {
	Type        string          `json:"type"`
	Partition   int32           `json:"partition"`
	Offset      int64           `json:"offset"`
	Unspecified bool            `json:"unspecified"`
	Key         *string         `json:"key"`
	KeyBase64   string          `json:"key_base64"`
	Event       json.RawMessage `json:"event"`
	Heartbeat   string          `json:"heartbeat"`
	Error       *edge.Details   `json:"error"`
}

type tailReader struct {
	t     *testing.T
	resp  *http.Response
	lines *bufio.Scanner
}

func openTail(t *testing.T, s *site, path string, headers ...string) *tailReader {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.url+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := s.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = resp.Body.Close() })
	if resp.StatusCode != http.StatusOK || resp.Header.Get("Content-Type") != "application/x-ndjson" {
		t.Fatalf("%d %s", resp.StatusCode, resp.Header.Get("Content-Type"))
	}
	return &tailReader{t: t, resp: resp, lines: bufio.NewScanner(resp.Body)}
}

func (r *tailReader) next() (l tailLine, ok bool) {
	r.t.Helper()
	if !r.lines.Scan() {
		return l, false
	}
	if err := json.Unmarshal(r.lines.Bytes(), &l); err != nil {
		r.t.Fatalf("line %q: %v", r.lines.Bytes(), err)
	}
	return l, true
}

// tailNothing is a subscription on which nothing ever comes.
func tailNothing(ctx context.Context, s autobus.Subscription, _ autobus.Handler) error {
	s.Opened("")
	<-ctx.Done()
	return nil
}

func TestTailSendsHeadersBeforeEvents(t *testing.T) {
	feed := make(chan []autobus.Delivery)
	var asked autobus.Subscription
	bus := &fakeBus{subscribe: func(ctx context.Context, s autobus.Subscription, h autobus.Handler) error {
		asked = s
		s.Opened("")
		for {
			select {
			case ds := <-feed:
				h(ctx, ds)
			case <-ctx.Done():
				return nil
			}
		}
	}}
	s := serve(t, bus, open(), Config{})
	// openTail returns although nothing has been delivered.
	r := openTail(t, s, "/v1/tail?type=a.b.v1,orders.*&type=x.y.v1&filter=true&from=2026-01-01T00:00:00+03:00")
	if !slices.Equal(asked.Tail, []string{"a.b.v1", "orders.*", "x.y.v1"}) || asked.Filter != "true" ||
		!asked.From.Time.Equal(time.Date(2025, 12, 31, 21, 0, 0, 0, time.UTC)) {
		t.Errorf("subscribed to %+v", asked)
	}
	feed <- []autobus.Delivery{
		{Event: autobus.Event{ID: "1", Type: "a.b.v1", Data: []byte("{\n\"a\":1}"), Key: []byte("k"),
			Extensions: []autobus.Extension{{Name: "n", Value: "1"}}}, Partition: 2, Offset: 9},
		{Event: autobus.Event{ID: "t:0:1", Type: "t", Data: []byte{0xff}, Key: []byte{0xfe}, Unspecified: true}},
	}
	first, _ := r.next()
	want := `{"specversion":"1.0","id":"1","type":"a.b.v1","n":"1","data":{ "a":1}}`
	if string(first.Event) != want ||
		first.Type != "a.b.v1" || first.Partition != 2 || first.Offset != 9 || first.Unspecified || first.KeyBase64 != "" {
		t.Errorf("line %+v\nevent %s\nwant  %s", first, first.Event, want)
	}
	if first.Key == nil || *first.Key != "k" {
		t.Errorf("the key beside the event: %v", first.Key)
	}
	second, _ := r.next()
	want = `{"specversion":"1.0","id":"t:0:1","type":"t","data_base64":"/w=="}`
	if string(second.Event) != want ||
		!second.Unspecified || second.Key != nil || second.KeyBase64 != "/g==" {
		t.Errorf("line %+v\nevent %s\nwant  %s", second, second.Event, want)
	}
	s.stop()
	if last, ok := r.next(); !ok || last.Error == nil || last.Error.Reason != autobus.ReasonShuttingDown {
		t.Errorf("the last line is %+v", last)
	}
}

func TestATailTellsWhereItStands(t *testing.T) {
	bus := &fakeBus{subscribe: func(ctx context.Context, s autobus.Subscription, h autobus.Handler) error {
		if want := map[int32]int64{1: 2}; !maps.Equal(s.From.Cursors["a.b.v1"], want) || !s.From.Earliest {
			t.Errorf("it begins at %+v", s.From)
		}
		s.Moved(autobus.TailPosition{Cursors: map[string]map[int32]int64{"a.b.v1": {1: 2}}})
		s.Opened("")
		h(ctx, []autobus.Delivery{{Event: autobus.Event{ID: "1", Type: "a.b.v1"}, Partition: 1, Offset: 2}})
		s.Moved(autobus.TailPosition{Cursors: map[string]map[int32]int64{"a.b.v1": {1: 3}}, CaughtUp: true})
		<-ctx.Done()
		return nil
	}}
	s := serve(t, bus, open(), Config{})
	from := url.QueryEscape(`{"cursors":{"a.b.v1":{"1":2}},"others":"earliest"}`)
	lines := openTail(t, s, "/v1/tail?type=a.b.v1&cursors=true&from="+from).lines
	for _, want := range []string{`{"cursors":{"a.b.v1":{"1":2}}}`,
		`{"type":"a.b.v1","partition":1,"offset":2,"event":{"specversion":"1.0","id":"1","type":"a.b.v1"}}`,
		`{"cursors":{"a.b.v1":{"1":3}},"caught_up":true}`} {
		if !lines.Scan() || lines.Text() != want {
			t.Errorf("line %s, want %s", lines.Text(), want)
		}
	}
}

func TestTailRefused(t *testing.T) {
	reasons := map[string]autobus.Reason{
		"forbidden.x.v1": autobus.ReasonForbidden, "unknown.x.v1": autobus.ReasonTypeUnknown,
	}
	bus := &fakeBus{subscribe: func(_ context.Context, s autobus.Subscription, _ autobus.Handler) error {
		if s.Filter != "" {
			return autobus.NewError(autobus.ReasonFilterInvalid, "bad filter")
		}
		return autobus.NewError(reasons[s.Tail[0]], "no")
	}}
	s := serve(t, bus, open(), Config{})
	for _, c := range []struct {
		query  string
		status int
		reason autobus.Reason
	}{
		{"", 400, autobus.ReasonRequestInvalid}, {"?type=", 400, autobus.ReasonRequestInvalid},
		{"?type=a.b.v1&from=sometimes", 400, autobus.ReasonRequestInvalid},
		{"?type=a.b.v1&cursors=maybe", 400, autobus.ReasonRequestInvalid},
		{"?type=a.b.v1&from=%7B%22cursors%22%3A%7B%7D%7D", 400, autobus.ReasonRequestInvalid},
		{"?type=a.b.v1&from=-1x", 400, autobus.ReasonRequestInvalid},
		{"?type=a.b.v1&form=latest", 400, autobus.ReasonRequestInvalid},
		{"?type=a.b.v1&filter=a&filter=b", 400, autobus.ReasonRequestInvalid},
		{"?type=a.b.v1&filter=)", 400, autobus.ReasonFilterInvalid},
		{"?type=forbidden.x.v1", 403, autobus.ReasonForbidden}, {"?type=unknown.x.v1", 404, autobus.ReasonTypeUnknown},
	} {
		if a := s.do(t, http.MethodGet, "/v1/tail"+c.query, ""); a.Status != c.status || a.Reason != c.reason {
			t.Errorf("%s: %d %s", c.query, a.Status, a.Body)
		}
	}
}

func TestTailEndsWithTheReasonOfTheBus(t *testing.T) {
	bus := &fakeBus{subscribe: func(_ context.Context, s autobus.Subscription, _ autobus.Handler) error {
		s.Opened("")
		return autobus.NewError(autobus.ReasonPositionLost, "gone")
	}}
	r := openTail(t, serve(t, bus, open(), Config{}), "/v1/tail?type=a.b.v1")
	if l, ok := r.next(); !ok || l.Error == nil || l.Error.Reason != autobus.ReasonPositionLost {
		t.Errorf("%+v", l)
	}
}

// pipes is a listener in memory, whose connections know deadlines and run on a bubble's time.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
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
	select {
	case <-p.closed:
	default:
		close(p.closed)
	}
	return nil
}

func (p *pipes) Addr() net.Addr { return &net.TCPAddr{} }

func (p *pipes) dial() net.Conn {
	client, server := net.Pipe()
	p.conns <- server
	return client
}

func (p *pipes) dialContext(context.Context, string, string) (net.Conn, error) { return p.dial(), nil }

func TestTailHeartbeats(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newPipes()
		bus := &fakeBus{subscribe: func(ctx context.Context, _ autobus.Subscription, h autobus.Handler) error {
			<-time.After(50 * time.Second) // the bus is slow to open, the headers must not wait for it
			h(ctx, []autobus.Delivery{{Event: autobus.Event{Type: "a.b.v1"}}})
			<-ctx.Done()
			return nil
		}}
		s := serveOn(t, &edge.Server{Listener: l}, bus, open(), Config{})
		conn := l.dial()
		began := time.Now()
		_, _ = io.WriteString(conn, "GET /v1/tail?type=a.b.v1 HTTP/1.1\r\nHost: x\r\n\r\n")
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatal(err)
		}
		r := &tailReader{t: t, resp: resp, lines: bufio.NewScanner(resp.Body)}
		var at []int
		for range 5 {
			line, ok := r.next()
			if !ok || (line.Heartbeat == "") != (line.Type != "") {
				t.Fatalf("%+v", line)
			}
			at = append(at, int(time.Since(began)/time.Second))
		}
		if want := []int{15, 30, 45, 50, 65}; !slices.Equal(at, want) {
			t.Errorf("lines came at %v s, want %v", at, want)
		}
		_ = conn.Close()
		s.stop()
		synctest.Wait()
	})
}

func TestSlowTailIsClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newPipes()
		var took time.Duration
		var cause error
		bus := &fakeBus{subscribe: func(ctx context.Context, s autobus.Subscription, h autobus.Handler) error {
			s.Opened("")
			big := autobus.Delivery{Event: autobus.Event{Type: "a.b.v1", Data: bytes.Repeat([]byte("1"), 100_000)}}
			began := time.Now()
			for ctx.Err() == nil {
				h(ctx, []autobus.Delivery{big})
			}
			took, cause = time.Since(began), context.Cause(ctx)
			return nil
		}}
		s := serveOn(t, &edge.Server{Listener: l}, bus, open(), Config{})
		conn := l.dial()
		_, _ = io.WriteString(conn, "GET /v1/tail?type=a.b.v1 HTTP/1.1\r\nHost: x\r\n\r\n")
		head := bufio.NewReader(conn)
		if line, err := head.ReadString('\n'); err != nil || !strings.Contains(line, "200") {
			t.Fatalf("%q %v", line, err)
		}
		// From here on nothing is read.
		<-time.After(2 * time.Minute)
		synctest.Wait()
		if took != time.Minute+lastChance {
			t.Errorf("closed after %s", took)
		}
		if e := autobus.AsError(cause); e.Reason != autobus.ReasonSlowConsumer {
			t.Errorf("cause %v", cause)
		}
		_ = conn.Close()
		s.stop()
		synctest.Wait()
	})
}

func TestSlowTailThatReadsAgainIsToldWhy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newPipes()
		bus := &fakeBus{subscribe: func(ctx context.Context, s autobus.Subscription, h autobus.Handler) error {
			s.Opened("")
			for ctx.Err() == nil {
				h(ctx, []autobus.Delivery{{Event: autobus.Event{Type: "a.b.v1"}}})
			}
			return nil
		}}
		s := serveOn(t, &edge.Server{Listener: l}, bus, open(), Config{})
		conn := l.dial()
		_, _ = io.WriteString(conn, "GET /v1/tail?type=a.b.v1 HTTP/1.1\r\nHost: x\r\n\r\n")
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatal(err)
		}
		<-time.After(time.Minute + lastChance/2)
		r := &tailReader{t: t, resp: resp, lines: bufio.NewScanner(resp.Body)}
		var last tailLine
		for line, ok := r.next(); ok; line, ok = r.next() {
			last = line
		}
		if last.Error == nil || last.Error.Reason != autobus.ReasonSlowConsumer {
			t.Errorf("the last line is %+v", last)
		}
		_ = conn.Close()
		s.stop()
		synctest.Wait()
	})
}

// SPDX-License-Identifier: Apache-2.0

package rest

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/edge"
)

const streamPath = "/v1/subscriptions/bob-kz/stream"

// opened is one call of Subscribe as a test drives it.
type opened struct {
	autobus.Subscription
	ctx  context.Context
	hand autobus.Handler
	end  chan error // what Subscribe returns
}

func groups() (*fakeBus, chan *opened) {
	calls := make(chan *opened, 10)
	return &fakeBus{subscribe: func(ctx context.Context, s autobus.Subscription, h autobus.Handler) error {
		o := &opened{s, ctx, h, make(chan error, 1)}
		s.Opened("")
		calls <- o
		select {
		case <-ctx.Done():
			return nil
		case err := <-o.end:
			return err
		}
	}}, calls
}

// openStream connects; the answer's head is there before any event.
func openStream(t *testing.T, s *site, query, accept string) *http.Response {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.url+streamPath+query, nil)
	if err != nil {
		t.Fatal(err)
	}
	if accept != "" {
		req.Header.Set("Accept", accept)
	}
	resp, err := s.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = resp.Body.Close() })
	return resp
}

// play has a subscription say everything it can, and end.
func play(o *opened) {
	o.hand(o.ctx, append(leases("1"), autobus.Delivery{Lease: "2", Attempt: 1,
		Event: autobus.Event{ID: "e2", Type: "a.b.v1", ContentType: "text/plain", Data: []byte("a\nb")}}))
	o.Revoke([]autobus.Lease{"2"})
	o.Lost(autobus.PositionLost{Type: "a.b.v1", Partition: 1, From: 2, To: 3})
	o.Draining(time.Unix(0, 0))
	o.Draining(time.Unix(9, 0)) // it is told once
	o.end <- autobus.NewError(autobus.ReasonShuttingDown, "gone")
}

// played is what the reader then gets, without the problem of the last.
var played = []string{
	`{"op":"events","subscription":"bob-kz","deliveries":[{"lease":"1","attempt":1,"fence":0,` +
		`"deadline":"0001-01-01T00:00:00Z","partition":0,"offset":0,"event":{"specversion":"1.0","id":"e1",` +
		`"type":"a.b.v1"}},{"lease":"2","attempt":1,"fence":0,"deadline":"0001-01-01T00:00:00Z","partition":0,"offset":0,` +
		`"event":{"specversion":"1.0","id":"e2","type":"a.b.v1","datacontenttype":"text/plain","data_base64":"YQpi"}}]}`,
	`{"op":"revoke","subscription":"bob-kz","leases":["2"]}`,
	`{"op":"position_lost","subscription":"bob-kz","type":"a.b.v1","partition":1,"from":2,"to":3}`,
	`{"op":"drain","deadline":"1970-01-01T00:00:00Z"}`,
	`{"op":"error","error":{"type":"/problems/shutting_down"`,
}

func TestStreamOfLines(t *testing.T) {
	bus, calls := groups()
	s := serve(t, bus, open(), Config{})
	resp := openStream(t, s, "?window=7", "")
	o := <-calls
	if resp.StatusCode != 200 || resp.Header.Get("Content-Type") != "application/x-ndjson" {
		t.Errorf("%d %v", resp.StatusCode, resp.Header)
	}
	if o.Name != "bob-kz" || *o.Window != (autobus.Window{Events: 7}) || o.Detached {
		t.Errorf("%+v", o.Subscription)
	}
	play(o)
	body, err := io.ReadAll(resp.Body)
	lines := strings.Split(strings.TrimSuffix(string(body), "\n"), "\n")
	if err != nil || len(lines) != len(played) {
		t.Fatalf("%v %s", err, body)
	}
	for i, line := range lines {
		if !json.Valid([]byte(line)) || !strings.HasPrefix(line, played[i]) {
			t.Errorf("line %s\nwant %s", line, played[i])
		}
	}
}

func TestStreamOfServerSentEvents(t *testing.T) {
	bus, calls := groups()
	resp := openStream(t, serve(t, bus, open(), Config{}), "", "text/event-stream")
	o := <-calls
	if resp.Header.Get("Content-Type") != "text/event-stream" || o.Window != nil {
		t.Errorf("%v, window %v", resp.Header, o.Window)
	}
	play(o)
	body, err := io.ReadAll(resp.Body)
	events := strings.Split(strings.TrimSuffix(string(body), "\n\n"), "\n\n")
	if err != nil || len(events) != len(played) {
		t.Fatalf("%v %s", err, body)
	}
	for i, e := range events {
		data, ok := strings.CutPrefix(e, "data: ")
		if !ok || strings.Contains(data, "\n") || !json.Valid([]byte(data)) || !strings.HasPrefix(data, played[i]) {
			t.Errorf("event %s\nwant %s", e, played[i])
		}
	}
}

func TestWhoGetsServerSentEvents(t *testing.T) {
	for accept, want := range map[string]bool{
		"": false, "text/event-stream": true, "TEXT/Event-Stream; q=1": true, "*/*": false, "application/x-ndjson": false,
		"text/event-stream, application/x-ndjson": false, "text/event-stream, */*": true,
		"application/x-ndjson;q=0.5, text/event-stream;q=0.9": true,
		"application/x-ndjson, text/event-stream;q=0.9":       false,
		"text/event-stream;q=0":                               false, "text/*": true, "text/html": false,
		"text/html,*/*;q=0.8":   false,
		"text/event-stream;q=x": false, "text/event-stream;q=0.1, */*;q=0.8": false, ";;,text/event-stream": true,
	} {
		if got := prefersSSE(http.Header{"Accept": {accept}}); got != want {
			t.Errorf("Accept: %s gives %v", accept, got)
		}
	}
}

func TestStreamRefused(t *testing.T) {
	bus := &fakeBus{subscribe: func(context.Context, autobus.Subscription, autobus.Handler) error {
		return autobus.NewError(autobus.ReasonSubscriptionUnknown, "none")
	}}
	s := serve(t, bus, open(), Config{})
	for _, query := range []string{"?window=0", "?window=x", "?window=10001", "?windows=1"} {
		if a := s.do(t, http.MethodGet, streamPath+query, ""); a.Status != 400 || a.Reason != autobus.ReasonRequestInvalid {
			t.Errorf("%s: %d %s", query, a.Status, a.Body)
		}
	}
	if a := s.do(t, http.MethodGet, streamPath, ""); a.Status != 404 || a.Reason != autobus.ReasonSubscriptionUnknown {
		t.Errorf("%d %s", a.Status, a.Body)
	}
}

func TestAReaderThatLeavesHasDied(t *testing.T) {
	bus, calls := groups()
	resp := openStream(t, serve(t, bus, open(), Config{}), "", "")
	o := <-calls
	_ = resp.Body.Close()
	<-o.ctx.Done()
	if cause := context.Cause(o.ctx); !errors.Is(cause, autobus.ErrReaderDied) {
		t.Errorf("ended by %v", cause)
	}
}

func TestARevokedTokenIsNoDeath(t *testing.T) {
	bus, calls := groups()
	revoked := make(chan struct{})
	s := serve(t, bus, edge.Options{
		Authenticate: func(string) (autobus.Principal, string, bool) { return autobus.Principal{Name: "a"}, "id", true },
		Revoked:      func(string) <-chan struct{} { return revoked },
	}, Config{})
	req, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, s.url+streamPath, nil)
	req.Header.Set("Authorization", "Bearer x")
	resp, err := s.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	o := <-calls
	close(revoked)
	body, _ := io.ReadAll(resp.Body)
	if !strings.HasPrefix(string(body), `{"op":"error","error":{"type":"/problems/unauthenticated"`) {
		t.Errorf("%s", body)
	}
	if cause := context.Cause(o.ctx); errors.Is(cause, autobus.ErrReaderDied) {
		t.Errorf("ended by %v", cause)
	}
}

func TestAStreamOutlivesTheBeginningOfTheDrain(t *testing.T) {
	bus, calls := groups()
	s := serve(t, bus, open(), Config{})
	resp := openStream(t, s, "", "")
	o := <-calls
	lines := bufio.NewScanner(resp.Body)
	s.stop()
	if !lines.Scan() || !strings.HasPrefix(lines.Text(), `{"op":"drain","deadline":"`) {
		t.Fatalf("%q", lines.Text())
	}
	o.hand(o.ctx, leases("1"))
	if !lines.Scan() || !strings.HasPrefix(lines.Text(), `{"op":"events"`) || o.ctx.Err() != nil {
		t.Errorf("%q, ended by %v", lines.Text(), context.Cause(o.ctx))
	}
	o.end <- nil
	if lines.Scan() {
		t.Errorf("after the end came %q", lines.Text())
	}
}

func TestStreamHeartbeats(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newPipes()
		bus, calls := groups()
		s := serveOn(t, &edge.Server{Listener: l}, bus, open(), Config{})
		conn := l.dial()
		began := time.Now()
		_, _ = io.WriteString(conn, "GET "+streamPath+" HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n\r\n")
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatal(err)
		}
		<-calls
		lines := bufio.NewScanner(resp.Body)
		for i := range 3 {
			if !lines.Scan() || lines.Text() != ": heartbeat" || time.Since(began) != time.Duration(i+1)*15*time.Second {
				t.Errorf("%q after %s", lines.Text(), time.Since(began))
			}
			lines.Scan()
		}
		_ = conn.Close()
		s.stop()
		synctest.Wait()
	})
}

func TestAStreamThatIsNotReadIsClosedAndItsCallbacksDoNotWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newPipes()
		asked, cause := make(chan autobus.Subscription, 1), make(chan error, 1)
		bus := &fakeBus{subscribe: func(ctx context.Context, s autobus.Subscription, h autobus.Handler) error {
			s.Opened("")
			asked <- s
			for ctx.Err() == nil {
				h(ctx, []autobus.Delivery{{Event: autobus.Event{Data: bytes.Repeat([]byte("1"), 100_000)}}})
			}
			cause <- context.Cause(ctx)
			return nil
		}}
		s := serveOn(t, &edge.Server{Listener: l}, bus, open(), Config{})
		conn := l.dial()
		_, _ = io.WriteString(conn, "GET "+streamPath+" HTTP/1.1\r\nHost: x\r\n\r\n")
		if line, err := bufio.NewReader(conn).ReadString('\n'); err != nil || !strings.Contains(line, "200") {
			t.Fatalf("%q %v", line, err)
		}
		sub, began := <-asked, time.Now()
		synctest.Wait() // the handler waits for the reader
		sub.Revoke([]autobus.Lease{"l"})
		sub.Draining(time.Now())
		if took := time.Since(began); took > 0 {
			t.Errorf("the callbacks waited %s", took)
		}
		e := autobus.AsError(<-cause)
		if took := time.Since(began); took != time.Minute+lastChance || e.Reason != autobus.ReasonSlowConsumer {
			t.Errorf("ended after %s by %v", took, e)
		}
		_ = conn.Close()
		s.stop()
		synctest.Wait()
	})
}

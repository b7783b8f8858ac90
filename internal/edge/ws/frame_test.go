// SPDX-License-Identifier: Apache-2.0

package ws

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/coder/websocket"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/edge"
)

func TestHelloComesFirst(t *testing.T) {
	s := serve(t, &fakeBus{})
	conn, resp, err := try(t, s, "/v1/ws", nil, "other", protocolEvents, protocolFrames)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.CloseNow()
	if conn.Subprotocol() != protocolFrames || resp.Header.Get("Sec-WebSocket-Extensions") != "" {
		t.Errorf("%v", resp.Header)
	}
	f := (&client{t, conn}).next()
	if f.Op != "hello" || f.Server != "autobus/0.1.0" || f.Instance != "one" || f.Limits["event_bytes"] != 1_000_000 ||
		f.Limits["publish_frames"] != 64 {
		t.Errorf("%s", f)
	}
}

func TestUpgradesThatAreRefused(t *testing.T) {
	s := serveOn(t, &edge.Server{}, &fakeBus{}, edge.Options{Authenticate: func(token string) (
		p autobus.Principal, id string, ok bool,
	) {
		return p, "", token == "good"
	}})
	good := func(more ...string) http.Header {
		h := http.Header{"Authorization": {"Bearer good"}}
		for i := 0; i < len(more); i += 2 {
			h.Set(more[i], more[i+1])
		}
		return h
	}
	for _, c := range []struct {
		name, path string
		header     http.Header
		protocols  []string
		status     int
		reason     autobus.Reason
	}{
		{"no token", "", nil, []string{protocolFrames}, 401, autobus.ReasonUnauthenticated},
		{"no subprotocol", "", good(), nil, 400, autobus.ReasonRequestInvalid},
		{"foreign subprotocol", "", good(), []string{"autobus.v9"}, 400, autobus.ReasonRequestInvalid},
		{"foreign page", "", good("Origin", "http://evil.example"), []string{protocolFrames}, 403,
			autobus.ReasonOriginForbidden},
		{"parameter", "?type=a.b.v1", good(), []string{protocolFrames}, 400, autobus.ReasonRequestInvalid},
		{"parameter of no tail", "?filter=x", good(), []string{protocolEvents}, 400, autobus.ReasonRequestInvalid},
	} {
		conn, resp, err := try(t, s, "/v1/ws"+c.path, c.header, c.protocols...)
		if err == nil {
			_ = conn.CloseNow()
			t.Errorf("%s: accepted", c.name)
			continue
		}
		checkProblem(t, c.name, resp, c.status, c.reason)
	}
	req, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, s.url+"/v1/ws", nil)
	req.Header = good("Sec-WebSocket-Protocol", protocolFrames)
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	checkProblem(t, "plain GET", resp, 400, autobus.ReasonRequestInvalid)
}

func checkProblem(t *testing.T, name string, resp *http.Response, status int, reason autobus.Reason) {
	t.Helper()
	defer resp.Body.Close()
	body, _ := io.ReadAll(resp.Body)
	var d edge.Details
	if err := json.Unmarshal(body, &d); err != nil || resp.StatusCode != status || d.Reason != reason {
		t.Errorf("%s: %d %s", name, resp.StatusCode, body)
	}
}

func TestBadFramesAreAnsweredAndTheConnectionStays(t *testing.T) {
	c := dial(t, serve(t, &fakeBus{}))
	for _, bad := range []struct {
		frame string
		seq   int64
		want  string // part of the detail
	}{
		{`{`, 0, "JSON"}, {``, 0, "JSON"}, {`[]`, 0, "JSON"}, {`17`, 0, "JSON"}, {"{\"op\":\"publish\",\xff", 0, "JSON"},
		{`null`, 0, `op ""`}, {`{}`, 0, `op ""`}, {`{"op":7}`, 0, "field op"}, {`{"op":"dance","seq":3}`, 3, `"dance"`},
		{`{"op":"publish","events":[]}`, 0, "seq"}, {`{"op":"publish","seq":null,"events":[]}`, 0, "seq"},
		{`{"op":"publish","seq":"7","events":[]}`, 0, "field seq"},
		{`{"op":"publish","seq":1.5,"events":[]}`, 0, "field seq"},
		{`{"op":"publish","seq":4}`, 4, "events"},
		{`{"op":"publish","seq":4,"events":[],"timeout":"5s"}`, 4, `"timeout"`},
		{`{"op":"subscribe","seq":4,"subscription":"x","filter":"true"}`, 4, `"filter"`},
		{`{"op":"ack","seq":5,"lease":"x"}`, 5, `"lease"`}, {`{"op":"ack","seq":5}`, 5, "results"},
		{`{"op":"ack","seq":5,"results":{}}`, 5, "field results"},
		{`{"op":"tail","seq":6,"types":"a"}`, 6, "field types"}, {`{"op":"tail","seq":6,"types":[]}`, 6, "types"},
		{`{"op":"unsubscribe","seq":6}`, 6, "no tail"}, {`{"op":"unsubscribe","seq":6,"subscription":"x"}`, 6, `"x"`},
		{`{"op":"window","subscription":"x","window":{"events":1}}`, 0, `"x"`},
		{`{"op":"publish","seq":9,"stream":-1,"events":[]}`, 9, "stream"},
		{`{"op":"publish","seq":9,"stream":"1","events":[]}`, 9, "field stream"},
		{`{"op":"forget","stream":0}`, 0, "stream"}, {`{"op":"forget","seq":9}`, 9, "stream"},
		{`{"op":"auth","seq":9,"token":17}`, 9, "token"},
	} {
		c.send("%s", bad.frame)
		if f := c.next(); !f.fails(bad.seq, autobus.ReasonFrameInvalid) || !strings.Contains(f.Error.Detail, bad.want) {
			t.Errorf("%s is answered %s", bad.frame, f)
		}
	}
	c.send(`{"op":"inbox","seq":8,"from":"-1m"}`)
	if f := c.next(); !f.fails(8, autobus.ReasonFrameInvalid) {
		t.Errorf("from without an address: %s", f)
	}
	c.alive()
}

func TestABinaryFrameOfPlainEventsEndsTheConnection(t *testing.T) {
	conn, _, err := try(t, serve(t, &fakeBus{}), "/v1/ws", nil, protocolEvents)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.CloseNow() })
	c := &client{t, conn}
	if err := conn.Write(t.Context(), websocket.MessageBinary, []byte("{}")); err != nil {
		t.Fatal(err)
	}
	code, before := c.closed()
	if code != 4000 || len(before) != 1 || !before[0].fails(0, autobus.ReasonFrameInvalid) {
		t.Errorf("%d after %v", code, before)
	}
}

func TestAFrameOverTheLimitEndsTheConnection(t *testing.T) {
	c := dial(t, serve(t, &fakeBus{}))
	fits := `{"op":"publish","seq":1,"events":[` + strings.Repeat(" ", maxFrame-36) + `]}`
	if c.send(fits); len(fits) != maxFrame || !c.next().is("published", 1) {
		t.Errorf("a frame of %d bytes is not taken", len(fits))
	}
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		// It breaks off when the server hangs up.
		_ = c.conn.Write(t.Context(), websocket.MessageText, []byte(fits+strings.Repeat(" ", 1<<20)))
	}()
	code, before := c.closed()
	if code != 4013 || len(before) != 1 || !before[0].fails(0, autobus.ReasonBatchTooLarge) {
		t.Errorf("%d after %v", code, before)
	}
	<-sent
}

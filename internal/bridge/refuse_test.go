// SPDX-License-Identifier: Apache-2.0

package bridge

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/autobustest"
	"github.com/autobus-io/autobus/internal/edge"
	"github.com/autobus-io/autobus/ipc"
)

// raw sends bytes as they stand and reads one response.
func raw(t *testing.T, addr, request string) (status int, d edge.Details) {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(patience))
	if _, err := io.WriteString(conn, request); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatalf("%.80q: %v", request, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if resp.Header.Get("Content-Type") != "application/problem+json" {
		d.Detail = string(body)
		return resp.StatusCode, d
	}
	if err := json.Unmarshal(body, &d); err != nil || d.Status != resp.StatusCode || d.Hint == "" {
		t.Errorf("%.80q: %d, problem %s", request, resp.StatusCode, body)
	}
	return resp.StatusCode, d
}

func TestWhatCannotPass(t *testing.T) {
	forever := make(chan struct{})
	defer close(forever)
	s := start(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/large":
			_, _ = w.Write(make([]byte, ipc.MaxHTTPBytes+1))
		case "/nearly": // too large by its fields alone
			_, _ = w.Write(make([]byte, ipc.MaxHTTPBytes-10))
		case "/stream":
			w.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
			_ = http.NewResponseController(w).Flush()
			select {
			case <-forever:
			case <-r.Context().Done():
			}
		case "/trailers":
			w.Header().Set("Trailer", "X-Sum")
			_, _ = w.Write([]byte("x"))
			w.Header().Set("X-Sum", "1")
		case "/breaks":
			w.Header().Set("Content-Length", "10")
			_, _ = w.Write([]byte("x"))
		default:
			_, _ = fmt.Fprint(w, "passed")
		}
	})
	bus := autobustest.New(t)
	respond(t, bus, s.URL, nil)
	addr, _ := call(t, bus, nil)
	get := func(path, more string) string {
		return "GET " + path + " HTTP/1.1\r\nHost: localhost\r\n" + more + "\r\n"
	}
	for name, c := range map[string]struct {
		request string
		status  int
		reason  autobus.Reason
	}{
		"an upgrade": {get("/", "Connection: Upgrade\r\nUpgrade: websocket\r\n"), 501, autobus.ReasonHTTPUnsupported},
		"an offer of HTTP/2": {get("/", "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: x\r\n"),
			200, ""},
		"a tunnel": {"CONNECT localhost:443 HTTP/1.1\r\nHost: localhost:443\r\n\r\n", 501, autobus.ReasonHTTPUnsupported},
		"options of a foreign host": {"OPTIONS * HTTP/1.1\r\nHost: elsewhere\r\n\r\n",
			403, autobus.ReasonForbidden},
		"trailers of the request": {"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n" +
			"Trailer: X-Sum\r\n\r\n0\r\nX-Sum: 1\r\n\r\n", 501, autobus.ReasonHTTPUnsupported},
		"a body announced as too large": {"POST / HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\n" +
			"Content-Length: 1000000\r\n\r\n", 413, autobus.ReasonEventTooLarge},
		"a body without a length": {"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n" +
			"2\r\nab\r\n0\r\n\r\n",
			200, ""},
		"a large response":       {get("/large", ""), 502, autobus.ReasonEventTooLarge},
		"nearly as large":        {get("/nearly", ""), 502, autobus.ReasonEventTooLarge},
		"a stream":               {get("/stream", ""), 502, autobus.ReasonHTTPUnsupported},
		"trailers":               {get("/trailers", ""), 502, autobus.ReasonHTTPUnsupported},
		"a response that breaks": {get("/breaks", ""), 502, autobus.ReasonResponderFailed},
	} {
		t.Run(name, func(t *testing.T) {
			status, d := raw(t, addr, c.request)
			if status != c.status || d.Reason != c.reason {
				t.Errorf("%d %s (%s), want %d %s", status, d.Reason, d.Detail, c.status, c.reason)
			}
		})
	}
	if letters := bus.DeadLetters("pricing"); len(letters) > 0 {
		t.Errorf("%d dead letters for requests that were answered", len(letters))
	}
}

// Neither side leads to where nobody said.
func TestNoOpenRelay(t *testing.T) {
	foreign := start(t, func(http.ResponseWriter, *http.Request) { t.Error("the foreign service was asked") })
	s := start(t, func(w http.ResponseWriter, r *http.Request) { _, _ = fmt.Fprint(w, r.Host+r.URL.Path) })
	bus := autobustest.New(t)
	respond(t, bus, s.URL, func(p *Responder) { p.Paths = []string{"/quotes", "/v1/"} })
	addr, _ := call(t, bus, func(c *Caller) { c.Routes = map[string]string{"pricing": calls} })
	routes, _ := call(t, bus, func(c *Caller) { c.Type, c.Routes = "", map[string]string{"pricing": calls} })
	host := strings.TrimPrefix(foreign.URL, "http://")
	for _, c := range []struct {
		to, target, host string
		status           int
		want             string
	}{
		{addr, "/quotes", "localhost:80", 200, "localhost:80/quotes"},
		{addr, "/quotes/a%2Fb", "127.0.0.1", 200, "127.0.0.1/quotes/a/b"},
		{addr, "/v1/x", "[::1]:80", 200, "[::1]:80/v1/x"},
		{addr, "/v1", "Pricing.:8080", 200, "Pricing.:8080/v1"},
		{addr, "http://pricing:9/v1", "ignored", 200, "pricing:9/v1"},
		{addr, "/v1", "page.example.com", 403, ""}, // a browser whose page's name leads to the bridge
		{addr, "http://" + host + "/v1", host, 403, ""},
		{addr, "http://localhost/v1", "localhost", 403, ""},
		{routes, "/v1", "localhost", 403, ""},
		{routes, "/v1", "pricing", 200, "pricing/v1"},
		{addr, "/", "localhost", 403, ""}, {addr, "/quotesx", "localhost", 403, ""},
		{addr, "/quotes/../admin", "localhost", 403, ""}, {addr, "/quotes/%2e%2e/admin", "localhost", 403, ""},
		{addr, "/quotes/..%2Fadmin", "localhost", 403, ""}, {addr, "/quotes/..;x=1/admin", "localhost", 403, ""},
		{addr, "/quotes/..%5Cadmin", "localhost", 403, ""}, {addr, "//quotes", "localhost", 403, ""},
	} {
		status, d := raw(t, c.to, "GET "+c.target+" HTTP/1.1\r\nHost: "+c.host+"\r\n\r\n")
		if status != c.status || status == 200 && d.Detail != c.want || status == 403 && d.Reason != autobus.ReasonForbidden {
			t.Errorf("%s at %s: %d %q, want %d %q", c.target, c.host, status, d.Detail, c.status, c.want)
		}
	}
}

// What came over the bus from elsewhere cannot choose the service either.
func TestTheResponderHasOneService(t *testing.T) {
	foreign := start(t, func(http.ResponseWriter, *http.Request) { t.Error("the foreign service was asked") })
	s := start(t, func(w http.ResponseWriter, r *http.Request) { _, _ = fmt.Fprint(w, r.RequestURI) })
	bus := autobustest.New(t)
	respond(t, bus, s.URL, nil)
	caller, err := ipc.Open(t.Context(), bus)
	if err != nil {
		t.Fatal(err)
	}
	defer caller.Close()
	for target, want := range map[string]string{
		foreign.URL + "/x?y": "/x?y", "//" + foreign.URL[7:]: "//" + foreign.URL[7:], "foo:bar": "", "*": "*",
	} {
		method := "GET"
		if target == "*" {
			method = "OPTIONS"
		}
		e := autobus.Event{Type: calls, ContentType: ipc.MediaHTTP,
			Data: []byte(method + " " + target + " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")}
		reply, err := caller.CallEvent(within(t), e)
		if want == "" {
			if refused := autobus.AsError(err); refused == nil || refused.Reason != autobus.ReasonResponderFailed {
				t.Errorf("%s: %v", target, err)
			}
			continue
		}
		if err != nil || !bytes.HasSuffix(reply.Data, []byte("\r\n\r\n"+want)) && target != "*" {
			t.Errorf("%s: %v, %v", target, reply, err)
		}
	}
}

func TestClientsAreOfNamedNetworks(t *testing.T) {
	c := &Caller{Clients: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")}}
	for from, want := range map[string]bool{
		"127.0.0.1:1": true, "[::1]:1": true, "10.2.3.4:1": true,
		"[::ffff:10.2.3.4]:1": true, "[fd00::1]:1": true, "11.0.0.1:1": false, "[2001:db8::1]:1": false,
		"": false, "@": false,
	} {
		if got := c.admit(&http.Request{RemoteAddr: from}) == nil; got != want {
			t.Errorf("%q is served: %t, want %t", from, got, want)
		}
	}
}

func TestNobodyAnswers(t *testing.T) {
	bus := autobustest.New(t)
	addr, _ := call(t, bus, func(c *Caller) { c.Wait = 50 * time.Millisecond })
	get := "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
	if status, d := raw(t, addr, get); status != 503 || d.Reason != autobus.ReasonNoResponder {
		t.Errorf("without a responder: %d %s", status, d.Reason)
	}
	bus.Subscription("pricing", autobus.Policy{Types: []string{calls}})
	status, d := raw(t, addr, get)
	if status != 504 || d.Reason != autobus.ReasonReplyTimeout || strings.Contains(d.Hint, "Location") {
		t.Errorf("with one that is silent: %d %s (%s)", status, d.Reason, d.Hint)
	}
}

// What nobody waits for is done when the service answered, whatever it said, and a dead letter when it is not known.
func TestRequestsForWhichNobodyWaits(t *testing.T) {
	s := start(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/breaks" {
			panic(http.ErrAbortHandler)
		}
		w.WriteHeader(http.StatusInternalServerError)
	})
	bus := autobustest.New(t)
	respond(t, bus, s.URL, nil)
	for _, target := range []string{"/fails", "/breaks", "*"} {
		data := []byte("POST " + target + " HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
		_, err := autobus.Send(within(t), bus, calls, data, autobus.WithContentType(ipc.MediaHTTP))
		if err != nil {
			t.Fatal(err)
		}
	}
	bus.Idle("pricing")
	var why []string
	for _, l := range bus.DeadLetters("pricing") {
		why = append(why, l.Reason)
	}
	if len(why) != 1 || !strings.Contains(why[0], "did not answer to the end") {
		t.Errorf("dead letters: %q", why)
	}
}

// A request is answered although the caller was told to stop.
func TestStoppingLetsRequestsEnd(t *testing.T) {
	begun, end := make(chan struct{}), make(chan struct{})
	s := start(t, func(w http.ResponseWriter, _ *http.Request) { close(begun); <-end; _, _ = fmt.Fprint(w, "done") })
	bus := autobustest.New(t)
	respond(t, bus, s.URL, nil)
	addr, stop := call(t, bus, nil)
	answered := make(chan string, 1)
	go func() {
		_, d := raw(t, addr, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
		answered <- d.Detail
	}()
	<-begun
	stopped := make(chan struct{})
	go func() { stop(); close(stopped) }()
	for { // until it takes no connections any more
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			break
		}
		conn.Close()
	}
	close(end)
	if got := <-answered; got != "done" {
		t.Errorf("the answer is %q", got)
	}
	<-stopped
}

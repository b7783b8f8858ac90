// SPDX-License-Identifier: Apache-2.0

package bridge

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/autobus-io/autobus/autobustest"
)

// service tells all that it saw of a request, and answers in every way that passes.
func service(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	var fields []string
	for name, values := range r.Header {
		if name != "Connection" { // that of the client is its own
			fields = append(fields, fmt.Sprintf("%s %q", name, values))
		}
	}
	slices.Sort(fields)
	h := w.Header()
	h.Set("X-Saw", fmt.Sprintf("%s %s %s %d %s", r.Method, r.RequestURI, r.Host, r.ContentLength, fields))
	h["Date"] = []string{"Mon, 02 Jan 2006 15:04:05 GMT"}
	switch r.URL.Path {
	case "/cookies":
		h["Set-Cookie"] = []string{"a=1; Path=/", `b="2, 3"; HttpOnly`}
		h["X-Many"] = []string{"one", "two, three", ""}
	case "/gzip":
		h.Set("Content-Encoding", "gzip")
		z := gzip.NewWriter(w)
		_, _ = z.Write([]byte("packed"))
		_ = z.Close()
		return
	case "/hops":
		h.Set("Connection", "X-Hop")
		h.Set("X-Hop", "1")
		h.Set("Keep-Alive", "timeout=5")
	case "/untyped":
		h["Content-Type"] = nil
	case "/moved":
		http.Redirect(w, r, "http://"+r.Host+"/there?x=1", http.StatusFound)
		return
	case "/404", "/422", "/500", "/599", "/201", "/204", "/304":
		var status int
		_, _ = fmt.Sscan(r.URL.Path[1:], &status)
		w.WriteHeader(status)
		if status != http.StatusNoContent && status != http.StatusNotModified {
			_, _ = fmt.Fprintf(w, `{"status":%d}`, status)
		}
		return
	}
	h.Set("Content-Length", fmt.Sprint(len(body)))
	_, _ = w.Write(body)
}

// seen is all of an exchange that a client can tell.
func seen(t *testing.T, base, method, target string, body []byte) string {
	t.Helper()
	req, err := http.NewRequestWithContext(within(t), method, base+target, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Host = "127.0.0.1"
	req.Header = http.Header{"X-Two": {"first", "second, third"}, "Cookie": {"a=1; b=2"}, "User-Agent": {""},
		"X-Forwarded-For": {"10.0.0.1"}, "Accept-Encoding": {"gzip"}, "Authorization": {"Basic eDp5"}}
	resp, err := plain().Do(req)
	if err != nil {
		t.Fatalf("%s %s: %v", method, target, err)
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	var fields []string
	for name, values := range resp.Header {
		if name != "Connection" && name != "Content-Length" { // of the connection; resp.ContentLength has the other
			fields = append(fields, fmt.Sprintf("%s: %q", name, values))
		}
	}
	slices.Sort(fields)
	length := resp.ContentLength
	if length < 0 {
		length = int64(len(got)) // what came in chunks comes whole
	}
	return fmt.Sprintf("%d %s length %d %q", resp.StatusCode, fields, length, got)
}

// A client and a service of which neither was touched see the same of each other with the bus between them.
func TestTheBridgeIsNotSeen(t *testing.T) {
	direct := start(t, service)
	bus := autobustest.New(t)
	respond(t, bus, direct.URL, nil)
	addr, _ := call(t, bus, nil)
	binary := make([]byte, 300_000)
	for i := range binary {
		binary[i] = byte(i * 7)
	}
	for _, c := range []struct {
		method, target string
		body           []byte
	}{
		{"GET", "/a%20b/%2F?q=a%20b&q=c&e=", nil}, {"GET", "//x/../y?", nil}, {"POST", "/", binary},
		{"PUT", "/", []byte("\x00\r\n\r\n\xff")}, {"PATCH", "/", []byte("{}")}, {"DELETE", "/", nil}, {"OPTIONS", "/", nil},
		{"HEAD", "/", nil}, {"REPORT", "/", []byte("<x/>")}, {"GET", "/cookies", nil}, {"GET", "/gzip", nil},
		{"POST", "/untyped", []byte("<html>")}, {"GET", "/moved", nil}, {"POST", "/empty", nil}, {"GET", "/201", nil},
		{"GET", "/204", nil}, {"GET", "/304", nil}, {"GET", "/404", nil}, {"POST", "/422", []byte("x")},
		{"GET", "/500", nil}, {"GET", "/599", nil}, {"HEAD", "/404", nil},
	} {
		want := seen(t, direct.URL, c.method, c.target, c.body)
		if got := seen(t, "http://"+addr, c.method, c.target, c.body); got != want {
			t.Errorf("%s %s:\n over the bus %.900s\n    directly %.900s", c.method, c.target, got, want)
		}
	}
	hops := seen(t, "http://"+addr, "GET", "/hops", nil)
	if !strings.HasPrefix(hops, "200 ") || strings.Contains(hops, "X-Hop") || strings.Contains(hops, "Keep-Alive") {
		t.Errorf("fields of one connection passed: %s", hops)
	}
}

// A request waits for a service that is down, and is not given to it twice.
func TestAServiceThatIsDown(t *testing.T) {
	got := make(chan string, 10)
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got <- r.URL.Path }))
	addr := s.Listener.Addr().String()
	s.Close()
	bus := autobustest.New(t)
	down := make(said, 10)
	respond(t, bus, "http://"+addr, func(p *Responder) { p.Logger = slog.New(slog.NewTextHandler(down, nil)) })
	front, _ := call(t, bus, nil)
	answered := make(chan string, 1)
	go func() { answered <- seen(t, "http://"+front, "POST", "/x", []byte("1")) }()
	for line := ""; !strings.Contains(line, "the service is down"); {
		select {
		case line = <-down:
		case <-within(t).Done():
			t.Fatal("the bridge does not notice")
		}
	}
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	again := &http.Server{Handler: s.Config.Handler}
	served := make(chan error, 1)
	go func() { served <- again.Serve(listener) }()
	if a := <-answered; !strings.HasPrefix(a, "200 ") {
		t.Error(a)
	}
	_ = again.Close()
	<-served
	if len(got) != 1 {
		t.Errorf("the service got the request %d times", len(got))
	}
}

// said is a log that a test reads.
type said chan string

func (s said) Write(line []byte) (int, error) {
	select {
	case s <- string(line):
	default:
	}
	return len(line), nil
}

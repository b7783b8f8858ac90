// SPDX-License-Identifier: Apache-2.0

package rest

import (
	"bufio"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/edge"
)

// duplex is a request whose body is written while its answer is read.
type duplex struct {
	t       *testing.T
	body    *io.PipeWriter
	resp    *http.Response
	results *bufio.Scanner
}

// dial sends the first lines, which the server needs to begin its answer.
func dial(t *testing.T, s *site, path string, first string, headers ...string) *duplex {
	t.Helper()
	r, w := io.Pipe()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.url+path, r)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-ndjson")
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	go func() { _, _ = io.WriteString(w, first) }()
	resp, err := s.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.Close(); _ = resp.Body.Close() })
	d := &duplex{t: t, body: w, resp: resp, results: bufio.NewScanner(resp.Body)}
	d.results.Buffer(nil, 1<<20)
	return d
}

func (d *duplex) send(s string) {
	d.t.Helper()
	if _, err := io.WriteString(d.body, s); err != nil {
		d.t.Fatal(err)
	}
}

func (d *duplex) next() (r result, ok bool) {
	d.t.Helper()
	if !d.results.Scan() {
		return r, false
	}
	if err := json.Unmarshal(d.results.Bytes(), &r); err != nil {
		d.t.Fatalf("line %q: %v", d.results.Bytes(), err)
	}
	return r, true
}

func TestStreamAnswersWhileTheBodyIsSent(t *testing.T) {
	d := dial(t, serve(t, &fakeBus{}, open(), Config{}), "/v1/events/"+placed, "{\"n\":0}\n")
	for i := range 5 {
		// The next line is sent only after this result was read.
		r, ok := d.next()
		if !ok || r.Index != i || r.Status != "written" || r.Offset == nil || *r.Offset != int64(i) {
			t.Fatalf("result %d: %+v", i, r)
		}
		d.send(fmt.Sprintf("\n{\"n\":%d}\r\n", i+1))
	}
	_ = d.body.Close()
	if r, ok := d.next(); !ok || r.Index != 5 {
		t.Errorf("the last result is %+v", r)
	}
	if r, ok := d.next(); ok {
		t.Errorf("one more result: %+v", r)
	}
}

func TestStreamOverHTTP2(t *testing.T) {
	donor := httptest.NewUnstartedServer(nil)
	donor.StartTLS()
	server := &edge.Server{TLS: &tls.Config{Certificates: donor.TLS.Certificates}}
	donor.Close()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server.Listener = l
	s := serveOn(t, server, &fakeBus{}, open(), Config{})
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, ForceAttemptHTTP2: true}
	t.Cleanup(transport.CloseIdleConnections)
	s.url, s.client = "https://"+l.Addr().String(), &http.Client{Transport: transport}
	d := dial(t, s, "/v1/events/"+placed, "{}\n")
	if d.resp.ProtoMajor != 2 {
		t.Errorf("spoken: %s", d.resp.Proto)
	}
	for i := range 3 {
		if r, ok := d.next(); !ok || r.Index != i || r.Status != "written" {
			t.Fatalf("result %d: %+v", i, r)
		}
		d.send("{}\n")
	}
	s.stop()
	var last result
	for r, ok := d.next(); ok; r, ok = d.next() {
		last = r
	}
	if last.reason() != autobus.ReasonShuttingDown {
		t.Errorf("the last line is %+v", last)
	}
}

func TestStreamSkipsWhatItCannotRead(t *testing.T) {
	bus := &fakeBus{}
	long := strings.Repeat("x", maxSingle+1)
	a := serve(t, bus, open(), Config{}).post(t, "/v1/events", "application/x-ndjson",
		structured(`,"id":"a"`)+"\n\n  \n{oh\n"+long+"\n"+structured(`,"id":"b"`)+"\n[]\n"+structured(`,"id":"c"`))
	want := []string{"0 a written ", "1  refused body_unreadable", "2  refused event_too_large", "3 b written ",
		"4  refused event_invalid", "5 c written "}
	var got []string
	for _, r := range a.Results {
		got = append(got, fmt.Sprintf("%d %s %s %s", r.Index, r.ID, r.Status, r.reason()))
	}
	if !slices.Equal(got, want) || a.Status != http.StatusOK {
		t.Errorf("%d\ngot  %q\nwant %q", a.Status, got, want)
	}
}

func TestStreamTakesWhatHasComeAsOneBatch(t *testing.T) {
	bus := &fakeBus{}
	a := serve(t, bus, open(), Config{}).post(t, "/v1/events/"+placed, mediaNDJSON, strings.Repeat("{}\n", 1050))
	if len(a.Results) != 1050 {
		t.Fatalf("%d results", len(a.Results))
	}
	for i, r := range a.Results {
		if r.Index != i || *r.Offset != int64(i) {
			t.Fatalf("result %d is %+v", i, r)
		}
	}
	if n := len(bus.sizes); n > 50 || slices.Max(bus.sizes) > maxParcel {
		t.Errorf("1050 lines were published in %d batches, the largest of %d", n, slices.Max(bus.sizes))
	}
}

func TestStreamKeepsTheOrderOfAKey(t *testing.T) {
	full := true
	bus := &fakeBus{judge: func(e *autobus.Event) *autobus.Error {
		if e.ID == "a" && full {
			full = false
			return autobus.NewError(autobus.ReasonCapacity, "full")
		}
		return nil
	}}
	line := func(id, key string) string { return structured(`,"id":"`+id+`","partitionkey":"`+key+`"`) + "\n" }
	d := dial(t, serve(t, bus, open(), Config{}), "/v1/events", line("a", "k"))
	var got []string
	take := func() {
		r, _ := d.next()
		got = append(got, r.ID+" "+r.Status+" "+string(r.reason()))
	}
	take()
	for _, l := range []string{line("b", "k"), line("c", "other"), line("a", "k"), line("b", "k")} {
		d.send(l)
		take()
	}
	want := []string{"a refused capacity", "b refused predecessor_failed", "c written ", "a written ", "b written "}
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

func TestStreamHoldsBack(t *testing.T) {
	var (
		mu   sync.Mutex
		held []func()
		flow bool
	)
	bus := &fakeBus{settle: func(_ *autobus.Batch, _ int, written func()) {
		mu.Lock()
		defer mu.Unlock()
		if flow {
			written()
			return
		}
		held = append(held, written)
	}}
	d := dial(t, serve(t, bus, open(), Config{}), "/v1/events/"+placed, "{}\n")
	sent := make(chan int)
	go func() {
		n := 1
		for range 20_000 {
			if _, err := io.WriteString(d.body, `{"pad":"`+strings.Repeat("x", 1000)+"\"}\n"); err != nil {
				break
			}
			n++
		}
		_ = d.body.Close()
		sent <- n
	}()
	// Nothing is settled, so the reading stops while most of the lines are still to come.
	for last, still := -1, 0; still < 20; {
		mu.Lock()
		n := len(held)
		mu.Unlock()
		if still++; n != last {
			last, still = n, 0
		}
		<-time.After(5 * time.Millisecond)
	}
	mu.Lock()
	n := len(held)
	mu.Unlock()
	if n > (inFlight+2)*maxParcel {
		t.Errorf("%d events are in flight", n)
	}
	mu.Lock()
	flow = true
	for _, written := range held {
		written()
	}
	mu.Unlock()
	answered := 0
	for _, ok := d.next(); ok; _, ok = d.next() {
		answered++
	}
	if n := <-sent; answered != n {
		t.Errorf("%d results for %d lines", answered, n)
	}
}

func TestStreamThatBreaksSaysSo(t *testing.T) {
	s := serve(t, &fakeBus{}, open(), Config{})
	d := dial(t, s, "/v1/events/"+placed, "{}\n")
	if r, ok := d.next(); !ok || r.Status != "written" {
		t.Fatalf("%+v", r)
	}
	s.stop()
	if r, ok := d.next(); !ok || r.Status != "" || r.reason() != autobus.ReasonShuttingDown {
		t.Errorf("the last line is %+v", r)
	}
	if r, ok := d.next(); ok {
		t.Errorf("a line behind the last: %+v", r)
	}
}

// A stream that ends before its body does must not leave its connection to the next request.
func TestStreamKeepsItsConnectionToItself(t *testing.T) {
	s := serve(t, &fakeBus{whole: autobus.NewError(autobus.ReasonShuttingDown, "no more")}, open(), Config{})
	for range 3 {
		body, more := io.Pipe()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.url+"/v1/events/"+placed, body)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/x-ndjson")
		go func() { _, _ = io.WriteString(more, "{}\n") }()
		resp, err := s.client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		answer, err := io.ReadAll(resp.Body)
		if !resp.Close || err != nil || !strings.Contains(string(answer), string(autobus.ReasonShuttingDown)) {
			t.Errorf("closed after the answer: %t, answer %s, error %v", resp.Close, answer, err)
		}
		_ = resp.Body.Close()
		_ = more.Close()
	}
}

// Many small bodies must not cost a connection each.
func TestABodyThatCameWholeLeavesItsConnection(t *testing.T) {
	s := serve(t, &fakeBus{}, open(), Config{})
	for i := range 3 {
		reused := false
		ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{
			GotConn: func(c httptrace.GotConnInfo) { reused = c.Reused }})
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url+"/v1/events/"+placed,
			strings.NewReader(strings.Repeat("{}\n", 250)))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/x-ndjson")
		resp, err := s.client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		answer, err := io.ReadAll(resp.Body)
		if n := strings.Count(string(answer), "\n"); n != 250 || err != nil || resp.Close || reused != (i > 0) {
			t.Errorf("request %d: %d results, %v, closed %t, reused %t", i, n, err, resp.Close, reused)
		}
		_ = resp.Body.Close()
	}
}

func TestRevokedTokenEndsAStream(t *testing.T) {
	revoked := make(chan struct{})
	o := edge.Options{
		Authenticate: func(token string) (autobus.Principal, string, bool) {
			return autobus.Principal{Name: "shop"}, "1", token == "good"
		},
		Revoked: func(string) <-chan struct{} { return revoked },
	}
	s := serve(t, &fakeBus{subscribe: tailNothing}, o, Config{})
	d := dial(t, s, "/v1/events/"+placed, "{}\n", "Authorization", "Bearer good")
	if r, ok := d.next(); !ok || r.Source != "/shop" {
		t.Fatalf("%+v", r)
	}
	tail := openTail(t, s, "/v1/tail?type=*", "Authorization", "Bearer good")
	close(revoked)
	if r, ok := d.next(); !ok || r.reason() != autobus.ReasonUnauthenticated {
		t.Errorf("the publishing stream ends with %+v", r)
	}
	if line, ok := tail.next(); !ok || line.Error == nil || line.Error.Reason != autobus.ReasonUnauthenticated {
		t.Errorf("the tail ends with %+v", line)
	}
}

func TestStreamWithoutEvents(t *testing.T) {
	a := serve(t, &fakeBus{}, open(), Config{}).post(t, "/v1/events/"+placed, "application/x-ndjson", "\n \n")
	if a.Status != http.StatusOK || a.Body != "" {
		t.Errorf("%d %q", a.Status, a.Body)
	}
}

func TestStreamWaitsBetweenLinesButNotWithinOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newPipes()
		s := serveOn(t, &edge.Server{Listener: l}, &fakeBus{}, open(), Config{})
		conn := l.dial()
		go func() {
			_, _ = io.WriteString(conn, "POST /v1/events/"+placed+" HTTP/1.1\r\nHost: x\r\n"+
				"Content-Type: application/x-ndjson\r\nContent-Length: 1000\r\n\r\n{}\n")
			for _, part := range []string{"{}\n", "{", "}\n{"} {
				<-time.After(59 * time.Second)
				_, _ = io.WriteString(conn, part)
			}
			<-time.After(59 * time.Second)
			_, _ = io.WriteString(conn, " ") // more of the line, which is not its end
		}()
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		d := &duplex{t: t, results: bufio.NewScanner(resp.Body)}
		for i := range 3 {
			if r, ok := d.next(); !ok || r.Index != i || r.Status != "written" {
				t.Fatalf("result %d: %+v", i, r)
			}
		}
		if r, ok := d.next(); !ok || r.reason() != autobus.ReasonBodyUnreadable || r.Status != "" {
			t.Errorf("the last line is %+v", r)
		}
		if took := time.Since(began); took != (3*59+60)*time.Second {
			t.Errorf("it ended after %s", took)
		}
		_ = conn.Close()
		s.stop()
		synctest.Wait()
	})
}

// SPDX-License-Identifier: Apache-2.0

package ipc_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/autobustest"
	"github.com/autobus-io/autobus/ipc"
)

// service is an HTTP service as it was before.
func service() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/echo/{what}", func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("X-Saw", fmt.Sprintf("%s %s %s %q %q", r.Method, r.RequestURI, r.Host, r.Header["X-Two"],
			r.FormValue("q")))
		w.Header().Add("Set-Cookie", "a=1")
		w.Header().Add("Set-Cookie", "b=2; Path=/")
		w.Header().Set("Content-Type", "application/octet-stream")
		w.Header().Set("Content-Length", fmt.Sprint(len(body))) // else the server of HTTP says none where it is long
		_, _ = w.Write(body)
	})
	mux.HandleFunc("/status/{code}", func(w http.ResponseWriter, r *http.Request) {
		var code int
		_, _ = fmt.Sscan(r.PathValue("code"), &code)
		w.WriteHeader(code)
		if code != http.StatusNoContent && code != http.StatusNotModified {
			_, _ = fmt.Fprintf(w, "it is %d", code)
		}
	})
	mux.HandleFunc("/empty", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("/panic", func(http.ResponseWriter, *http.Request) { panic("broken") })
	return mux
}

// over gives a client of the service behind the bus.
func over(t *testing.T, h http.Handler) *http.Client {
	t.Helper()
	bus := autobustest.New(t)
	serve(t, bus, "pricing", ipc.Handler(h))
	return &http.Client{Transport: &ipc.Transport{Caller: open(t, bus), Type: quotes},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// seen is all of an answer that a client can tell, but for what the server of HTTP adds by itself.
func seen(t *testing.T, c *http.Client, url, method, path string, body []byte) string {
	t.Helper()
	req, err := http.NewRequestWithContext(within(t), method, url+path, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Host = "pricing.internal"
	req.Header["X-Two"] = []string{"first", "second, third"}
	resp, err := c.Do(req)
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	resp.Header.Del("Date")
	var h []string
	for name, values := range resp.Header {
		h = append(h, fmt.Sprintf("%s: %q", name, values))
	}
	slices.Sort(h)
	return fmt.Sprintf("%d %s length %d %q", resp.StatusCode, h, resp.ContentLength, got)
}

// The same client sees the same answers, whether the service is called directly or over the bus.
func TestHTTPPassesUnchanged(t *testing.T) {
	direct := httptest.NewServer(service())
	defer direct.Close()
	defer direct.Client().CloseIdleConnections()
	bus := over(t, service())
	binary := make([]byte, 70_000)
	for i := range binary {
		binary[i] = byte(i * 7)
	}
	for _, c := range []struct {
		method, path string
		body         []byte
	}{
		{"GET", "/echo/x?q=a%20b&q=c", nil}, {"POST", "/echo/x", binary}, {"PUT", "/echo/%2F", []byte("\x00\r\n\r\n\xff")},
		{"PATCH", "/echo/x", []byte("{}")}, {"DELETE", "/echo/x", nil}, {"OPTIONS", "/echo/x", nil}, {"HEAD", "/echo/x", nil},
		{"GET", "/status/201", nil}, {"GET", "/status/204", nil}, {"GET", "/status/304", nil}, {"GET", "/status/404", nil},
		{"POST", "/status/422", []byte("x")}, {"GET", "/status/500", nil}, {"GET", "/status/599", nil}, {"GET", "/none", nil},
		{"GET", "/empty", nil}, {"POST", "/empty", nil},
	} {
		t.Run(c.method+strings.ReplaceAll(c.path, "/", "_"), func(t *testing.T) {
			want := seen(t, direct.Client(), direct.URL, c.method, c.path, c.body)
			got := seen(t, bus, "http://anything.invalid", c.method, c.path, c.body)
			if got != want {
				t.Errorf("\n over the bus %.600s\n    directly %.600s", got, want)
			}
		})
	}
	if got := seen(t, bus, "http://pricing", "GET", "/panic", nil); !strings.HasPrefix(got, "500 ") {
		t.Errorf("a panic is answered by %s", got)
	}
}

func TestHTTPThatCannotPass(t *testing.T) {
	big := bytes.Repeat([]byte("x"), autobus.MaxEventBytes)
	c := over(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/flush":
			if err := http.NewResponseController(w).Flush(); err == nil {
				t.Error("it flushed")
			}
		case "/trailers":
			w.Header().Set("Trailer", "X-Sum")
			_, _ = w.Write([]byte("x"))
			w.Header().Set("X-Sum", "1")
		case "/trailers/unannounced":
			_, _ = w.Write([]byte("x"))
			w.Header().Set(http.TrailerPrefix+"X-Sum", "1")
		default:
			_, _ = w.Write(big)
		}
	}))
	request := func(method, path string, body []byte) *http.Request {
		r, err := http.NewRequestWithContext(within(t), method, "http://x"+path, bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	upgrade, trailer, field := request("GET", "/", nil), request("POST", "/", nil), request("GET", "/", nil)
	upgrade.Header.Set("Connection", "Upgrade")
	upgrade.Header.Set("Upgrade", "websocket")
	trailer.Trailer = http.Header{"X-Sum": nil}
	field.Header["X Bad"] = []string{"1"}
	for name, c2 := range map[string]struct {
		r    *http.Request
		want autobus.Reason
	}{
		"upgrade":        {upgrade, autobus.ReasonHTTPUnsupported},
		"trailers":       {trailer, autobus.ReasonHTTPUnsupported},
		"a bad field":    {field, autobus.ReasonHTTPUnsupported},
		"connect":        {request("CONNECT", "/", nil), autobus.ReasonHTTPUnsupported},
		"a large body":   {request("POST", "/", big), autobus.ReasonEventTooLarge},
		"a large answer": {request("GET", "/", nil), autobus.ReasonResponderFailed},
		"its trailers":   {request("GET", "/trailers", nil), autobus.ReasonResponderFailed},
		"others of it":   {request("GET", "/trailers/unannounced", nil), autobus.ReasonResponderFailed},
	} {
		resp, err := c.Transport.RoundTrip(c2.r)
		if err == nil {
			resp.Body.Close()
		}
		if reasonOf(err) != c2.want {
			t.Errorf("%s: %v, want %s", name, err, c2.want)
		}
	}
	resp, err := c.Do(request("GET", "/flush", nil))
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	// A field cannot begin another one.
	raw, err := ipc.EncodeResponse("GET", 200, http.Header{"X-A": {"1\r\nX-B: 2"}}, nil)
	if err != nil || bytes.Contains(raw.Data, []byte("\nX-B")) {
		t.Errorf("%q, %v", raw.Data, err)
	}
}

// A request that comes again is answered as before.
func TestOnce(t *testing.T) {
	for name, once := range map[string]*ipc.Once{"memory": {}, "stored": stored()} {
		t.Run(name, func(t *testing.T) {
			calls := 0
			do := once.Do(func(_ context.Context, r *ipc.Request) (any, error) {
				calls++
				if string(r.Data) == "bad" {
					return nil, &ipc.Error{Name: "sold-out", Data: nonce{calls}}
				}
				if string(r.Data) == "fails" {
					return nil, errors.New("not now")
				}
				return nonce{calls}, nil
			})
			ask := func(id, data string) string {
				got, err := do(t.Context(), &ipc.Request{Delivery: &autobus.Delivery{Event: autobus.Event{ID: id, Source: "/s",
					Data: []byte(data)}}})
				if raw, ok := got.(ipc.Raw); ok {
					got = string(raw.Data)
				}
				if e, ok := errors.AsType[*ipc.Error](err); ok {
					if raw, ok := e.Data.(ipc.Raw); ok {
						return e.Name + string(raw.Data)
					}
					return fmt.Sprintf("%s{\"n\":%v}", e.Name, e.Data)
				}
				if n, ok := got.(nonce); ok {
					got = fmt.Sprintf(`{"n":%d}`, n.N)
				}
				return fmt.Sprint(got, err)
			}
			for range 2 {
				for _, c := range [][3]string{{"1", "", `{"n":1}<nil>`}, {"2", "bad", `sold-out{"n":2}`}} {
					if got := ask(c[0], c[1]); got != c[2] {
						t.Errorf("request %s: %s, want %s", c[0], got, c[2])
					}
				}
			}
			if ask("3", "fails"); calls != 3 {
				t.Errorf("%d calls", calls)
			}
			if ask("3", "fails"); calls != 4 {
				t.Errorf("a failure was kept")
			}
		})
	}
}

// stored keeps answers as a database would.
func stored() *ipc.Once {
	kept := map[string][]byte{}
	return &ipc.Once{
		Load: func(_ context.Context, key string) ([]byte, bool, error) { b, ok := kept[key]; return b, ok, nil },
		Save: func(_ context.Context, key string, b []byte) error { kept[key] = b; return nil },
	}
}

// Callers that know nothing of each other may make up the same Idempotency-Key. It reaches the service, and none of
// them gets another one's answer.
func TestAnIdempotencyKeyIsTheServices(t *testing.T) {
	arrived := make(chan struct{}, 2)
	both := make(chan struct{})
	c := over(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		arrived <- struct{}{}
		<-both
		_, _ = fmt.Fprint(w, r.URL.Path, " ", r.Header.Get("Idempotency-Key"))
	}))
	got := make(chan string)
	for _, path := range []string{"/a", "/b"} {
		req, err := http.NewRequestWithContext(within(t), http.MethodPost, "http://pricing"+path, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Idempotency-Key", "1")
		go func() {
			resp, err := c.Do(req)
			if err != nil {
				got <- err.Error()
				return
			}
			defer resp.Body.Close()
			body, _ := io.ReadAll(resp.Body)
			got <- req.URL.Path + " got " + string(body)
		}()
	}
	for range 2 { // both are worked on at a time, unless one was refused
		select {
		case <-arrived:
		case answer := <-got:
			t.Fatal(answer)
		}
	}
	close(both)
	answers := []string{<-got, <-got}
	slices.Sort(answers)
	if want := []string{"/a got /a 1", "/b got /b 1"}; !slices.Equal(answers, want) {
		t.Errorf("answers: %q, want %q", answers, want)
	}
}

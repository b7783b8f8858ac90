// SPDX-License-Identifier: Apache-2.0

package edge

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/autobus-io/autobus"
)

// run serves h on a real connection until the test ends; stop begins the drain, done tells its end.
func run(t *testing.T, s *Server) (addr string, stop func(), done <-chan error) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.Listener = l
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	finished := make(chan struct{})
	go func() {
		ended <- s.Run(ctx)
		close(finished)
	}()
	t.Cleanup(func() { cancel(); <-finished })
	return l.Addr().String(), cancel, ended
}

func get(t *testing.T, url string) (*http.Response, error) {
	t.Helper()
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, ForceAttemptHTTP2: true}
	t.Cleanup(transport.CloseIdleConnections)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	return (&http.Client{Transport: transport}).Do(req)
}

func TestDrainLetsRequestsFinishAndEndsStreams(t *testing.T) {
	began := make(chan struct{}, 2)
	release := make(chan struct{})
	mux := http.NewServeMux()
	mux.HandleFunc("GET /request", func(w http.ResponseWriter, r *http.Request) {
		began <- struct{}{}
		<-release
		if r.Context().Err() != nil {
			t.Error("the drain cancelled a request")
		}
		_, _ = io.WriteString(w, "finished")
	})
	mux.HandleFunc("GET /stream", func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := StreamContext(r.Context())
		defer cancel(nil)
		began <- struct{}{}
		<-ctx.Done()
		_, _ = io.WriteString(w, string(autobus.AsError(context.Cause(ctx)).Reason))
	})
	addr, stop, done := run(t, &Server{Handler: mux})
	answers := make(chan string, 2)
	for _, path := range []string{"/request", "/stream"} {
		go func() {
			resp, err := get(t, "http://"+addr+path)
			if err != nil {
				answers <- err.Error()
				return
			}
			body, _ := io.ReadAll(resp.Body)
			_ = resp.Body.Close()
			answers <- string(body)
		}()
	}
	<-began
	<-began
	stop()
	if a := <-answers; a != "shutting_down" {
		t.Errorf("the stream ended with %q", a)
	}
	if _, err := net.DialTimeout("tcp", addr, time.Second); err == nil {
		t.Error("the listener is still open")
	}
	close(release)
	if a := <-answers; a != "finished" {
		t.Errorf("the request ended with %q", a)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestDrainHasAnEnd(t *testing.T) {
	began, cause := make(chan struct{}), make(chan error, 1)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /", func(_ http.ResponseWriter, r *http.Request) {
		close(began)
		<-r.Context().Done()
		cause <- context.Cause(r.Context())
	})
	addr, stop, done := run(t, &Server{Handler: mux, DrainFor: 10 * time.Millisecond})
	go func() {
		if resp, err := get(t, "http://"+addr); err == nil {
			_ = resp.Body.Close()
		}
	}()
	<-began
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if e := autobus.AsError(<-cause); e.Reason != autobus.ReasonShuttingDown {
		t.Errorf("cause %v", e)
	}
}

// takeOver is a handler that keeps its connection to itself until release, or until its context ends.
func takeOver(t *testing.T, began chan<- struct{}, release <-chan struct{}, ended *bool) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		drain := make(chan time.Time, 1)
		defer OnDrain(r.Context(), func(deadline time.Time) { drain <- deadline })()
		close(began)
		if until := time.Until(<-drain); until <= 0 {
			t.Errorf("the drain is over %s after it began", until)
		}
		select {
		case <-release:
		case <-r.Context().Done():
		}
		*ended = true
	}
}

func TestDrainWaitsForConnectionsThatWereTakenOver(t *testing.T) {
	for name, c := range map[string]struct {
		drain   time.Duration
		release bool
	}{"they end": {time.Minute, true}, "they are cut off": {10 * time.Millisecond, false}} {
		t.Run(name, func(t *testing.T) {
			began, release, ended := make(chan struct{}), make(chan struct{}), false
			mux := http.NewServeMux()
			mux.HandleFunc("GET /", takeOver(t, began, release, &ended))
			addr, stop, done := run(t, &Server{Handler: mux, DrainFor: c.drain})
			conn, err := net.Dial("tcp", addr)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			_, _ = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
			<-began
			stop()
			if c.release {
				close(release)
			}
			if err := <-done; err != nil || !ended {
				t.Errorf("%v, the handler had ended: %v", err, ended)
			}
		})
	}
}

func TestOutsideOfAServerNothingDrains(t *testing.T) {
	if stop := OnDrain(t.Context(), func(time.Time) { t.Error("it drains") }); !stop() {
		t.Error("it began to drain")
	}
}

func TestServerTellsWhyItCannotServe(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = l.Close()
	if err := (&Server{Listener: l, Handler: http.NewServeMux()}).Run(t.Context()); !errors.Is(err, net.ErrClosed) {
		t.Errorf("%v", err)
	}
}

func TestHeadersOverTheLimit(t *testing.T) {
	addr, _, _ := run(t, &Server{Handler: Handler(testMux(), Options{})})
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	go func() {
		line := "X-A: " + strings.Repeat("y", 1000) + "\r\n"
		_, _ = io.WriteString(conn, "GET /livez HTTP/1.1\r\nHost: x\r\n"+strings.Repeat(line, 64)+"\r\n")
	}()
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("status %d", resp.StatusCode)
	}
}

func TestTLS(t *testing.T) {
	donor := httptest.NewUnstartedServer(nil)
	donor.StartTLS()
	cert := donor.TLS.Certificates
	donor.Close()
	addr, _, _ := run(t, &Server{Handler: Handler(testMux(), Options{}), TLS: &tls.Config{Certificates: cert}})
	resp, err := get(t, "https://"+addr+"/livez")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != 200 || resp.ProtoMajor != 2 {
		t.Errorf("%s %s", resp.Proto, resp.Status)
	}
}

// pipe is a listener with one connection in memory, which lives on a bubble's time.
type pipe struct {
	conn   chan net.Conn
	closed chan struct{}
}

func (p *pipe) Accept() (net.Conn, error) {
	select {
	case c := <-p.conn:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}
func (p *pipe) Close() error   { close(p.closed); return nil }
func (p *pipe) Addr() net.Addr { return &net.TCPAddr{} }

func TestBodyHasALeastRate(t *testing.T) {
	for _, c := range []struct {
		name  string
		every time.Duration // one KiB of 16
		want  string
	}{
		{"2 KiB/s", 500 * time.Millisecond, "16384"},
		{"just above", 900 * time.Millisecond, "16384"},
		{"half a KiB/s", 2 * time.Second, "body_unreadable"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				mux := http.NewServeMux()
				mux.HandleFunc("POST /", func(w http.ResponseWriter, r *http.Request) {
					body, err := ReadBody(w, r, 1<<20, autobus.ReasonEventTooLarge)
					if err != nil {
						_, _ = io.WriteString(w, string(err.Reason))
						return
					}
					if r.Context().Err() != nil {
						t.Error("the deadline cancelled the request")
					}
					_, _ = io.WriteString(w, strconv.Itoa(len(body)))
				})
				p := &pipe{conn: make(chan net.Conn), closed: make(chan struct{})}
				ctx, cancel := context.WithCancel(context.Background())
				ended := make(chan error, 1)
				go func() { ended <- (&Server{Listener: p, Handler: mux}).Run(ctx) }()
				client, server := net.Pipe()
				p.conn <- server
				go func() {
					_, _ = io.WriteString(client, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 16384\r\n\r\n")
					for range 16 {
						<-time.After(c.every)
						if _, err := client.Write(make([]byte, 1024)); err != nil {
							return
						}
					}
				}()
				resp, err := http.ReadResponse(bufio.NewReader(client), nil)
				if err != nil {
					t.Fatal(err)
				}
				if body, _ := io.ReadAll(resp.Body); string(body) != c.want {
					t.Errorf("answer %q, want %q", body, c.want)
				}
				_ = client.Close()
				cancel()
				<-ended
			})
		})
	}
}

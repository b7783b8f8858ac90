// SPDX-License-Identifier: Apache-2.0

package rest

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/edge"
)

// A client of HTTP/2 that leaves while its stream is being handled ends that stream and nothing else: a deadline set on
// a request that is over would end the process.
func TestHTTP2ClientsThatLeaveEndTheirOwnStream(t *testing.T) {
	mux := http.NewServeMux()
	New(Config{Bus: &fakeBus{}}).Mount(mux)
	s := httptest.NewUnstartedServer(edge.Handler(mux, open()))
	s.EnableHTTP2 = true
	s.StartTLS()
	defer s.Close()
	leave := func() {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		body, out := io.Pipe()
		defer out.Close()
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.URL+"/v1/events/a.b.v1", body)
		if err != nil {
			t.Error(err)
			return
		}
		req.Header.Set("Content-Type", mediaNDJSON)
		var writing sync.WaitGroup
		writing.Go(func() { _, _ = io.WriteString(out, "{}\n") })
		resp, err := s.Client().Do(req)
		if err != nil {
			t.Error(err)
			return
		}
		_, _ = bufio.NewReader(resp.Body).ReadString('\n')
		cancel() // RST_STREAM
		_ = out.Close()
		_ = resp.Body.Close()
		writing.Wait()
	}
	var clients sync.WaitGroup
	for range 8 {
		clients.Go(func() {
			for range 200 {
				leave()
			}
		})
	}
	clients.Wait()
}

// What is in flight when the instance goes down, or when the client has closed its side, gets its true outcome.
func TestOutcomesOutliveTheirRequest(t *testing.T) {
	for name, end := range map[string]func(stop func(), out *io.PipeWriter){
		"drain":       func(stop func(), _ *io.PipeWriter) { stop() },
		"end of body": func(_ func(), out *io.PipeWriter) { _ = out.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			appended, confirm := make(chan struct{}), make(chan struct{})
			bus := &fakeBus{settle: func(_ *autobus.Batch, _ int, written func()) {
				close(appended)
				go func() { <-confirm; written() }()
			}}
			s := serve(t, bus, open(), Config{})
			body, out := io.Pipe()
			defer out.Close()
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.url+"/v1/events/a.b.v1", body)
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Content-Type", mediaNDJSON)
			go func() {
				_, _ = io.WriteString(out, "{}\n")
				<-appended
				end(s.stop, out)
				time.AfterFunc(50*time.Millisecond, func() { close(confirm) }) // the end has reached the handler by then
			}()
			resp, err := s.client.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			if line, err := bufio.NewReader(resp.Body).ReadString('\n'); !strings.Contains(line, `"status":"written"`) {
				t.Errorf("%s %v", line, err)
			}
		})
	}
}

// An event whose outcome came too late may wait in the bus for long, and holds nothing of the request that brought it.
func TestAnswersLetGoOfTheirRequests(t *testing.T) {
	for name, media := range map[string]string{"stream": mediaNDJSON, "single": mediaJSON} {
		var held *autobus.Batch
		t.Run(name, func(t *testing.T) { // at the end of it the server is down
			bus := &fakeBus{settle: func(b *autobus.Batch, _ int, _ func()) { held = b }}
			a := serve(t, bus, open(), Config{}).post(t, "/v1/events/a.b.v1?timeout=20ms", media, "{}")
			if len(a.Results) != 1 || a.Results[0].Status != "unknown" {
				t.Fatalf("answer %+v", a)
			}
		})
		if held == nil || held.Events != nil || held.Stream != nil {
			t.Errorf("%s: the batch that waits is %+v", name, held)
		}
	}
}

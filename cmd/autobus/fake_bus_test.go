// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/autobus-io/autobus/internal/bustest"
)

// fakeBus is a bus with one subscription, whose stream and long poll say what the test puts into frames, and whose acks
// the test answers.
type fakeBus struct {
	*httptest.Server
	frames chan string // lines of the stream, which an error ends, or answers of the long poll
	acked  chan []ack
	answer func([]ack) string // the answer's body; "" = 503
}

func startFakeBus(t *testing.T) *fakeBus {
	b := &fakeBus{frames: make(chan string, 10), acked: make(chan []ack, 10), answer: allOK}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/subscriptions/g", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"name":"g","types":["a.b.v1"],"ack_wait":"1s"}`)
	})
	mux.HandleFunc("GET /v1/subscriptions/g/stream", func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).Flush()
		for {
			select {
			case <-r.Context().Done():
				return
			case line := <-b.frames:
				_, _ = io.WriteString(w, line+"\n")
				_ = http.NewResponseController(w).Flush()
				if strings.Contains(line, `"op":"error"`) {
					return
				}
			}
		}
	})
	mux.HandleFunc("GET /v1/subscriptions/g/events", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		select {
		case <-r.Context().Done():
		case line := <-b.frames:
			_, _ = io.WriteString(w, line)
		}
	})
	mux.HandleFunc("POST /v1/subscriptions/g/acks", func(w http.ResponseWriter, r *http.Request) {
		var in struct{ Results []ack }
		if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
			t.Error(err)
		}
		text := b.answer(in.Results)
		b.acked <- in.Results
		w.Header().Set("Content-Type", "application/json")
		if text == "" {
			w.Header().Set("Content-Type", "application/problem+json")
			w.WriteHeader(http.StatusServiceUnavailable)
			text = `{"reason":"starting","code":"unavailable","title":"not yet"}`
		}
		_, _ = io.WriteString(w, text)
	})
	b.Server = httptest.NewServer(mux)
	t.Cleanup(b.Close)
	return b
}

func allOK(results []ack) string { return answerOf(results, "ok") }

func answerOf(results []ack, status string) string {
	var out []string
	for _, r := range results {
		out = append(out, fmt.Sprintf(`{"lease":%q,"status":%q}`, r.Lease, status))
	}
	return `{"results":[` + strings.Join(out, ",") + `]}`
}

// deliveries is a frame of events with the leases l0, l1, ...
func deliveries(from, n int) string {
	var out []string
	for i := from; i < from+n; i++ {
		out = append(out, fmt.Sprintf(`{"lease":"l%d","attempt":1,"fence":%d,"partition":0,"offset":%d,"event":`+
			`{"id":"e%d","type":"a.b.v1","time":"2026-01-02T03:04:05Z","data":{"n":%d}}}`, i, i, i, i, i))
	}
	return `{"op":"events","subscription":"g","deliveries":[` + strings.Join(out, ",") + `]}`
}

// consuming runs a consume of the fake bus; end interrupts it and gives what came of it.
func consuming(t *testing.T, b *fakeBus, args ...string) (
	stderr *bustest.Output, end func() (code int, stdout string),
) {
	ctx, interrupt := context.WithCancel(t.Context())
	t.Cleanup(interrupt)
	var stdout bustest.Output
	stderr = &bustest.Output{}
	ended := make(chan int, 1)
	go func() {
		ended <- run(ctx, append([]string{"consume", "-g", "g", "--server", b.URL}, args...), strings.NewReader(""), &stdout,
			stderr)
	}()
	return stderr, func() (int, string) {
		interrupt()
		return <-ended, stdout.String()
	}
}

// eventually waits for what is written by another goroutine.
func eventually(t *testing.T, what string, true func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(10 * time.Second); !true(); <-tick.C {
		if time.Now().After(deadline) {
			t.Fatalf("not within 10 s: %s", what)
		}
	}
}

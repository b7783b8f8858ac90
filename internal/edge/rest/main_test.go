// SPDX-License-Identifier: Apache-2.0

package rest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/edge"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fakeBus keeps what is published in memory and says of it what the test wants.
type fakeBus struct {
	judge     func(e *autobus.Event) *autobus.Error         // a refusal, or nil
	settle    func(b *autobus.Batch, i int, written func()) // nil = written at once
	whole     error                                         // of the batch as such
	subscribe func(context.Context, autobus.Subscription, autobus.Handler) error
	outcomes  func([]autobus.Settlement) error

	mu    sync.Mutex
	log   []autobus.Event
	sizes []int // of the batches
}

func (f *fakeBus) Publish(ctx context.Context, b *autobus.Batch) error {
	p, ok := autobus.PrincipalOf(ctx)
	if !ok {
		return autobus.NewError(autobus.ReasonUnauthenticated, "nobody")
	}
	if f.whole != nil {
		return f.whole
	}
	if err := b.Open(); err != nil {
		return err
	}
	f.mu.Lock()
	f.sizes = append(f.sizes, len(b.Events))
	f.mu.Unlock()
	for i := range b.Events {
		e := &b.Events[i]
		if e.ID == "" {
			e.ID = fmt.Sprintf("made-%d", i)
		}
		if e.Source == "" {
			e.Source = "/" + p.Name
		}
		if key, ok := e.Ext(autobus.ExtPartitionKey); ok {
			e.Key = []byte(key)
		}
		if err := f.refuse(b, i); err != nil {
			b.Resolve(i, autobus.Receipt{Status: autobus.Refused, Err: err})
			continue
		}
		written := func() {
			f.mu.Lock()
			f.log = append(f.log, *e)
			offset := int64(len(f.log) - 1)
			f.mu.Unlock()
			b.Resolve(i, autobus.Receipt{Status: autobus.Written, Partition: 3, Offset: offset})
		}
		if f.settle != nil {
			f.settle(b, i, written)
		} else {
			written()
		}
	}
	return nil
}

func (f *fakeBus) refuse(b *autobus.Batch, i int) *autobus.Error {
	e := &b.Events[i]
	if id, ok := b.Admit(i); !ok {
		return autobus.NewError(autobus.ReasonPredecessorFailed, "event %s was not written", id)
	}
	if err := e.Check(); err != nil {
		return err
	}
	if e.IsJSON() && e.Data != nil && !json.Valid(e.Data) {
		return autobus.NewError(autobus.ReasonDataUnreadable, "the data is not JSON")
	}
	if f.judge != nil {
		return f.judge(e)
	}
	return nil
}

func (f *fakeBus) Subscribe(ctx context.Context, s autobus.Subscription, h autobus.Handler) error {
	return f.subscribe(ctx, s, h)
}

func (f *fakeBus) Settle(ctx context.Context, ss []autobus.Settlement) error {
	if _, ok := autobus.PrincipalOf(ctx); !ok {
		return autobus.NewError(autobus.ReasonUnauthenticated, "nobody")
	}
	return f.outcomes(ss)
}

func (f *fakeBus) events() []autobus.Event {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]autobus.Event(nil), f.log...)
}

// site is a running server and a client of its own.
type site struct {
	url    string
	client *http.Client
	stop   context.CancelFunc // begins the drain
	done   chan error
}

func open() edge.Options { return edge.Options{Open: &autobus.Principal{Name: "dev"}} }

func serve(t *testing.T, bus autobus.Bus, o edge.Options, c Config) *site {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := serveOn(t, &edge.Server{Listener: l}, bus, o, c)
	s.url = "http://" + l.Addr().String()
	transport := &http.Transport{}
	s.client = &http.Client{Transport: transport}
	t.Cleanup(transport.CloseIdleConnections)
	return s
}

func serveOn(t *testing.T, server *edge.Server, bus autobus.Bus, o edge.Options, c Config) *site {
	t.Helper()
	mux := http.NewServeMux()
	c.Bus = bus
	New(c).Mount(mux)
	ctx, cancel := context.WithCancel(context.Background())
	s := &site{stop: cancel, done: make(chan error, 1)}
	server.Handler = edge.Handler(mux, o)
	go func() { s.done <- server.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-s.done; err != nil {
			t.Errorf("server: %v", err)
		}
	})
	return s
}

// answer is everything an answer can hold.
type answer struct {
	Status  int            `json:"-"`
	Header  http.Header    `json:"-"`
	Body    string         `json:"-"`
	Results []result       `json:"results"`
	Reason  autobus.Reason `json:"reason"`
	Detail  string         `json:"detail"`
	Hint    string         `json:"hint"`
}

type result struct {
	Index     int           `json:"index"`
	ID        string        `json:"id"`
	Status    string        `json:"status"`
	Type      string        `json:"type"`
	Source    string        `json:"source"`
	Partition *int32        `json:"partition"`
	Offset    *int64        `json:"offset"`
	Heartbeat string        `json:"heartbeat"`
	Error     *edge.Details `json:"error"`
}

func (r result) reason() autobus.Reason {
	if r.Error == nil {
		return ""
	}
	return r.Error.Reason
}

// do sends a request; headers are pairs of name and value.
func (s *site) do(t *testing.T, method, path, body string, headers ...string) answer {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, s.url+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Add(headers[i], headers[i+1])
	}
	resp, err := s.client.Do(req)
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	a := answer{Status: resp.StatusCode, Header: resp.Header, Body: string(raw)}
	if strings.Contains(resp.Header.Get("Content-Type"), "ndjson") {
		a.Results = ndjson(t, raw)
	} else if err := json.Unmarshal(raw, &a); err != nil {
		t.Fatalf("%s %s: %d %q is not JSON", method, path, resp.StatusCode, raw)
	}
	return a
}

func (s *site) post(t *testing.T, path, media, body string, headers ...string) answer {
	t.Helper()
	return s.do(t, http.MethodPost, path, body, append(headers, "Content-Type", media)...)
}

func ndjson(t *testing.T, raw []byte) (out []result) {
	t.Helper()
	for line := range bytes.Lines(raw) {
		var r result
		if err := json.Unmarshal(line, &r); err != nil {
			t.Fatalf("line %q: %v", line, err)
		}
		out = append(out, r)
	}
	return out
}

// SPDX-License-Identifier: Apache-2.0

package bridge

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/autobustest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	calls    = "pricing.http.call.v1"
	patience = 30 * time.Second // for what comes at once
)

func within(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

// background runs a part until the test ends.
func background(t *testing.T, run func(context.Context) error) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- run(ctx) }()
	ended := false
	stop = func() {
		if cancel(); !ended {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
		ended = true
	}
	t.Cleanup(stop)
	return stop
}

// respond runs a responder in front of a service.
func respond(t *testing.T, bus *autobustest.Bus, service string, change func(*Responder)) {
	t.Helper()
	to, err := url.Parse(service)
	if err != nil {
		t.Fatal(err)
	}
	ready := make(chan struct{}, 10)
	p := &Responder{Bus: bus, Subscription: "pricing", Create: &autobus.Policy{Types: []string{calls}}, To: to,
		Workers: 4, Logger: slog.New(slog.DiscardHandler), Ready: func(is bool) {
			if is {
				ready <- struct{}{}
			}
		}}
	if change != nil {
		change(p)
	}
	background(t, p.Run)
	select {
	case <-ready:
	case <-within(t).Done():
		t.Fatal("the responder is not ready")
	}
}

// call runs a caller and gives its address, host:port.
func call(t *testing.T, bus autobus.Bus, change func(*Caller)) (addr string, stop func()) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &Caller{Bus: bus, Type: calls, Wait: patience, Logger: slog.New(slog.DiscardHandler)}
	if change != nil {
		change(c)
	}
	who := autobus.Principal{Name: "shop", Grants: []autobus.Grant{{Verb: autobus.VerbRequest, Pattern: calls}}}
	stop = background(t, func(ctx context.Context) error { return c.Run(autobus.WithPrincipal(ctx, who), listener) })
	return listener.Addr().String(), stop
}

// start runs a service as it was before.
func start(t *testing.T, h http.HandlerFunc) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s
}

// plain is a client that changes nothing and keeps no connection.
func plain() *http.Client {
	return &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DisableCompression: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

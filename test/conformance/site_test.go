// SPDX-License-Identifier: Apache-2.0

package conformance

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/admin"
	"github.com/autobus-io/autobus/internal/bus"
	"github.com/autobus-io/autobus/internal/bustest"
	"github.com/autobus-io/autobus/internal/edge"
	"github.com/autobus-io/autobus/internal/edge/rest"
	"github.com/autobus-io/autobus/internal/edge/ws"
)

// site is a bus behind a port of its own, with the edges of cmd/autobus before it. Every principal has a token.
type site struct {
	t    testing.TB
	addr string
	http *http.Client

	// settled reports whether partitions move no more, once somebody polls. nil = they do not.
	settled func(ctx context.Context, subscription string) bool

	sessions atomic.Int64 // names streams

	mu         sync.Mutex
	principals map[string]autobus.Principal // by token
	buses      map[string]autobus.Bus       // by token
}

// driver makes the bus that speaks a protocol to a site, by the token of a principal.
type driver func(s *site, token string) autobus.Bus

// transport runs a part of the suite through a protocol, on both brokers.
func transport(t *testing.T, d driver, exercise func(*testing.T, bustest.Open, bustest.Features), f bustest.Features) {
	open := func(k *bustest.Kafka, embedded bool) bustest.Open {
		return func(t *testing.T, specs map[string][]byte) bustest.Target {
			b, target := instance(t, k, "conformance", embedded)
			target.Push(t, specs)
			s := serve(t, b)
			target.Bus, target.As, target.API = nil, s.as(d), s.api
			target.Load = 450 // what many workers do to the bus itself is seen in process
			return target
		}
	}
	t.Parallel()
	t.Run("embedded", func(t *testing.T) {
		t.Parallel()
		f := f
		f.NoDurability = "one process has one copy, so every route is best-effort"
		exercise(t, open(bustest.Embedded(t), true), f)
	})
	t.Run("kafka", func(t *testing.T) {
		t.Parallel()
		f := f
		f.NoSchedules = sharedDelays
		exercise(t, open(bustest.Cluster(t), false), f)
	})
}

// serve puts the edges before a bus, until the test ends.
func serve(t testing.TB, b *bus.Bus) *site {
	t.Helper()
	s, server := newSite(t, b)
	start(t, server.Run)
	return s
}

func newSite(t testing.TB, b *bus.Bus) (*site, *edge.Server) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := siteAt(t, l.Addr().String())
	return s, s.server(t, l, b, "conformance", s.authenticate)
}

// siteAt is a site that clients reach at an address.
func siteAt(t testing.TB, addr string) *site {
	idle := &http.Transport{MaxIdleConnsPerHost: 32}
	t.Cleanup(idle.CloseIdleConnections)
	return &site{t: t, addr: addr, http: &http.Client{Transport: idle},
		principals: map[string]autobus.Principal{}, buses: map[string]autobus.Bus{}}
}

// server puts the edges before a bus.
func (s *site) server(t testing.TB, l net.Listener, b *bus.Bus, instance string,
	authenticate func(token string) (autobus.Principal, string, bool)) *edge.Server {
	logger, mux := bustest.Logger(t), http.NewServeMux()
	for _, e := range []edge.Edge{
		rest.New(rest.Config{Bus: b, Logger: logger}),
		ws.New(ws.Config{Bus: b, Instance: instance, Version: "test", Logger: logger}),
		admin.New(admin.Config{Bus: b, Metrics: prometheus.NewRegistry()}),
	} {
		e.Mount(mux)
	}
	options := edge.Options{Authenticate: authenticate, Logger: logger}
	return &edge.Server{Listener: l, Handler: edge.Handler(mux, options), Logger: logger}
}

func (s *site) authenticate(token string) (p autobus.Principal, id string, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p, ok = s.principals[token]
	return p, token, ok
}

// as gives each principal a bus of its own, always the same one.
func (s *site) as(d driver) func(testing.TB, autobus.Principal) autobus.Bus {
	return func(t testing.TB, p autobus.Principal) autobus.Bus {
		t.Helper()
		token := s.token(t, p)
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.buses[token] == nil {
			s.buses[token] = d(s, token)
		}
		return s.buses[token]
	}
}

// token is the one of a principal.
func (s *site) token(t testing.TB, p autobus.Principal) string {
	t.Helper()
	text, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	token := base64.RawURLEncoding.EncodeToString(text)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.principals[token] = p
	return token
}

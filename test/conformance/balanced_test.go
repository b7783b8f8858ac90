// SPDX-License-Identifier: Apache-2.0

package conformance

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"sync/atomic"
	"testing"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/bus"
	"github.com/autobus-io/autobus/internal/bustest"
	"github.com/autobus-io/autobus/internal/peer"
)

const balancedInstances = 3

// TestBalanced runs what is about subscriptions through a balancer that knows nothing: each request and each connection
// goes to the next of three instances. With long poll an event and its ack hardly ever meet at one instance.
func TestBalanced(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name     string
		driver   driver
		features bustest.Features
	}{
		{"LongPoll", func(s *site, token string) autobus.Bus {
			return &httpBus{site: s, token: token, consume: poll}
		}, bustest.Features{
			NoCreate:     "a subscription is made by a PUT of its own, which changes the one that is there",
			NoSessions:   "each request is a reader of its own, and its leases outlive it",
			NoByteWindow: "max_bytes bounds one answer, of which one event may be larger",
		}},
		{"Client", newClientBus, bustest.Features{
			NoHome: "the second session makes its instance a member, to which partitions move meanwhile",
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			t.Run("embedded", func(t *testing.T) {
				t.Parallel()
				bustest.ExerciseGroups(t, balanced(bustest.Embedded(t), true, c.driver), c.features)
			})
			t.Run("kafka", func(t *testing.T) {
				t.Parallel()
				bustest.ExerciseGroups(t, balanced(bustest.Cluster(t), false, c.driver), c.features)
			})
		})
	}
}

// balanced opens several instances behind a balancer.
func balanced(k *bustest.Kafka, embedded bool, d driver) bustest.Open {
	return func(t *testing.T, specs map[string][]byte) bustest.Target {
		s, _, target := newFleet(t, k, embedded)
		target.Push(t, specs)
		target.Bus, target.As, target.API = nil, s.as(d), s.api
		target.Load = 450
		return target
	}
}

// newFleet starts instances that know each other by the group's members alone, and a balancer before them.
func newFleet(t *testing.T, k *bustest.Kafka, embedded bool) (*site, []*bus.Bus, bustest.Target) {
	t.Helper()
	keys := peer.NewKeys("the secret of these instances")
	var targets []*url.URL
	var buses []*bus.Bus
	var target bustest.Target
	s, own := siteAt(t, ""), bustest.Prefix() // of two fleets on a cluster, nobody may take one for the other
	for i := range balancedInstances {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		name, addr := fmt.Sprintf("%s-%d", own, i), l.Addr().String()
		pool := peer.New(peer.Config{Instance: name, Keys: keys})
		t.Cleanup(pool.Close)
		b, tg := instanceAt(t, k, name, addr, embedded, pool.Dial)
		start(t, s.server(t, l, b, name, func(token string) (autobus.Principal, string, bool) {
			if p, ok := keys.Principal(token); ok {
				return p, "", true
			}
			return s.authenticate(token)
		}).Run)
		buses, target = append(buses, b), tg
		targets = append(targets, &url.URL{Scheme: "http", Host: addr})
	}
	s.addr = balance(t, targets)
	// The first polls make one instance after the other a member. What is in hand when a partition moves comes again,
	// uncounted, which is more than the suite allows for.
	s.settled = func(ctx context.Context, name string) bool {
		g, err := target.Log.DescribeGroup(ctx, name)
		return err == nil && g.State == "Stable" && len(g.Members) == balancedInstances
	}
	return s, buses, target
}

// balance hides servers behind one address: each request, and so each WebSocket, goes to the next one.
func balance(t testing.TB, targets []*url.URL) string {
	var turn atomic.Int64
	idle := &http.Transport{MaxIdleConnsPerHost: 32}
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(targets[turn.Add(1)%int64(len(targets))])
			r.Out.Host = r.In.Host
		},
		FlushInterval: -1,
		ErrorLog:      slog.NewLogLogger(slog.DiscardHandler, slog.LevelError),
		Transport:     idle,
	}
	server := httptest.NewServer(proxy)
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
		idle.CloseIdleConnections()
	})
	return server.Listener.Addr().String()
}

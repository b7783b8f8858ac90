// SPDX-License-Identifier: Apache-2.0

package admin

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/bus"
	"github.com/autobus-io/autobus/internal/control"
	"github.com/autobus-io/autobus/internal/kafka"
	"github.com/autobus-io/autobus/spec"
)

type fixture struct {
	edge     *Edge
	broker   *kafka.Embedded
	control  *control.Log
	ready    *Readiness
	registry *prometheus.Registry
	problems spec.Problems
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	e, l := broker(t)
	c := follow(t, l)
	f := &fixture{broker: e, control: c, ready: &Readiness{}, registry: prometheus.NewRegistry()}
	snapshot := func() *spec.Snapshot { return spec.Empty() }
	f.edge = New(Config{
		Instance: "i-1", Version: "0.1.0", Mode: "dev", Started: time.Now().Add(-90 * time.Second), Auth: true,
		Log: l, Control: c,
		Bus:      bus.New(bus.Config{Log: l, Control: c, Snapshot: snapshot, Embedded: true, Logger: slog.Default()}),
		Embedded: &Embedded{Broker: e, Ephemeral: true, Durability: "os"},
		Snapshot: snapshot, SpecHash: func() string { return "abc" },
		Problems: func() spec.Problems { return f.problems },
		Ready:    f.ready, Metrics: f.registry,
	})
	return f
}

func (f *fixture) get(t *testing.T, path string, patterns ...string) *httptest.ResponseRecorder {
	t.Helper()
	mux := http.NewServeMux()
	f.edge.Mount(mux)
	ctx := t.Context()
	if patterns != nil {
		p := autobus.Principal{Name: "ops"}
		for _, pattern := range patterns {
			p.Grants = append(p.Grants, autobus.Grant{Verb: autobus.VerbManage, Pattern: pattern})
		}
		ctx = autobus.WithPrincipal(ctx, p)
	}
	w := httptest.NewRecorder()
	mux.ServeHTTP(w, httptest.NewRequestWithContext(ctx, http.MethodGet, path, nil))
	return w
}

func TestHealth(t *testing.T) {
	f := newFixture(t)
	check := func(path string, code int, text string) {
		t.Helper()
		if w := f.get(t, path); w.Code != code || !strings.Contains(w.Body.String(), text) {
			t.Errorf("%s: %d %s; want %d with %q", path, w.Code, w.Body, code, text)
		}
	}
	check("/livez", 200, "ok")
	check("/readyz", 503, `"reason":"starting"`)
	f.ready.SetReady()
	check("/readyz", 200, "ok")
	f.ready.SetDraining()
	check("/readyz", 503, `"reason":"shutting_down"`)
	f.ready.SetReady()
	check("/readyz", 503, `"reason":"shutting_down"`)
	check("/livez", 200, "ok")
}

func TestMetrics(t *testing.T) {
	f := newFixture(t)
	c := prometheus.NewCounter(prometheus.CounterOpts{Name: "autobus_test_total", Help: "Counts tests."})
	f.registry.MustRegister(c)
	c.Inc()
	if w := f.get(t, "/metrics"); w.Code != 200 || !strings.Contains(w.Body.String(), "autobus_test_total 1") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

func TestStatus(t *testing.T) {
	f := newFixture(t)
	f.problems = spec.Problems{{File: "a.yaml", Line: 3, Message: "odd"}}
	for _, name := range []string{"orders.order.placed.v1", "refunds.refund.made.v1"} {
		r, err := control.NewRecord(control.KindRoute, name, control.None, control.Route{Type: name, Topic: name,
			Partitions: 1, Hash: "murmur2", Order: "key", Epoch: 1})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.control.Change(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	w := f.get(t, "/v1/status", "orders.*")
	var got struct {
		Instance, Version, Mode, Uptime string
		Ready                           bool
		NotReady                        string `json:"not_ready"`
		Auth, Insecure                  bool
		Cluster                         struct {
			Name, ID, Error string
			KafkaID         string `json:"kafka_id"`
			Brokers         []struct{ Addr string }
		}
		Embedded struct {
			Ephemeral  bool
			Durability string
			Copies     int
			Budget     int64
		}
		Routes  []struct{ Type string }
		Control struct {
			Offset int64
			Lag    *int64
		}
		Specs struct {
			Hash     string
			Problems []struct{ File, Message string }
		}
	}
	if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || w.Code != 200 {
		t.Fatalf("%d %s: %v", w.Code, w.Body, err)
	}
	if got.Instance != "i-1" || got.Version != "0.1.0" || got.Mode != "dev" || !strings.HasPrefix(got.Uptime, "1m3") ||
		got.Ready || got.NotReady != "starting" || !got.Auth || got.Insecure {
		t.Errorf("instance: %s", w.Body)
	}
	if got.Cluster.Name != "main" || got.Cluster.ID != f.control.ClusterID() ||
		got.Cluster.KafkaID != "autobus-embedded" || got.Cluster.Error != "" || len(got.Cluster.Brokers) != 1 ||
		got.Cluster.Brokers[0].Addr != f.broker.Addr() {
		t.Errorf("cluster: %+v", got.Cluster)
	}
	if !got.Embedded.Ephemeral || got.Embedded.Copies != 1 || got.Embedded.Durability != "os" ||
		got.Embedded.Budget != kafka.DefaultBudget {
		t.Errorf("embedded: %+v", got.Embedded)
	}
	if len(got.Routes) != 1 || got.Routes[0].Type != "orders.order.placed.v1" {
		t.Errorf("routes of the asker: %+v", got.Routes)
	}
	if got.Control.Offset != f.control.End() || got.Control.Lag == nil || *got.Control.Lag != 0 {
		t.Errorf("control: %+v", got.Control)
	}
	if got.Specs.Hash != "abc" || len(got.Specs.Problems) != 1 || got.Specs.Problems[0].File != "a.yaml" {
		t.Errorf("specs: %+v", got.Specs)
	}
	if w := f.get(t, "/v1/status"); w.Code != http.StatusUnauthorized {
		t.Errorf("status for nobody: %d", w.Code)
	}
}

// The status is asked for when things are broken: it answers then too, with what it knows.
func TestStatusWithoutBrokers(t *testing.T) {
	f := newFixture(t)
	if err := f.broker.Close(); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	w := f.get(t, "/v1/status", "*")
	var got struct {
		Cluster struct{ ID, Error string }
		Control struct{ Lag *int64 }
	}
	if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || w.Code != 200 || got.Cluster.Error == "" ||
		got.Cluster.ID == "" || got.Control.Lag != nil {
		t.Errorf("%d %s: %v", w.Code, w.Body, err)
	}
	if took := time.Since(began); took > 2*clusterTimeout {
		t.Errorf("it took %s", took)
	}
}

func TestRunEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := newFixture(t).edge.Run(ctx); err != nil {
		t.Error(err)
	}
}

// What a newer build wrote is told to those who may know of it.
func TestStatusTellsWhatIsUnreadable(t *testing.T) {
	f := newFixture(t)
	for kind, name := range map[string]string{control.KindRoute: "orders.order.placed.v1",
		control.KindSubscription: "shipping", control.KindManifest: control.ManifestName, control.KindToken: "0011223344aa"} {
		if _, err := f.control.Change(t.Context(), control.Record{Version: control.Version + 1, Kind: kind, Name: name,
			Prev: control.None, Value: json.RawMessage(`{}`)}); err != nil {
			t.Fatal(err)
		}
	}
	for pattern, want := range map[string]string{
		"*":        "manifest specs, route orders.order.placed.v1, subscription shipping",
		"orders.*": "manifest specs, route orders.order.placed.v1",
		"nothing":  "manifest specs",
	} {
		var got struct {
			Unreadable []struct{ Kind, Name, Detail string }
		}
		if err := json.Unmarshal(f.get(t, "/v1/status", pattern).Body.Bytes(), &got); err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, u := range got.Unreadable {
			names = append(names, u.Kind+" "+u.Name)
			if !strings.Contains(u.Detail, "has version 4, this build reads up to 3") {
				t.Errorf("%s: %s", u.Name, u.Detail)
			}
		}
		if strings.Join(names, ", ") != want {
			t.Errorf("with a grant for %s: %v, want %s", pattern, names, want)
		}
	}
}

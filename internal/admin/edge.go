// SPDX-License-Identifier: Apache-2.0

package admin

import (
	"context"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/bus"
	"github.com/autobus-io/autobus/internal/control"
	"github.com/autobus-io/autobus/internal/edge"
	"github.com/autobus-io/autobus/internal/kafka"
	"github.com/autobus-io/autobus/internal/quota"
	"github.com/autobus-io/autobus/spec"
)

// Config is what an instance can say of itself.
type Config struct {
	Instance string
	Version  string
	Mode     string // dev or serve
	Started  time.Time
	Auth     bool // false: everybody may do everything
	Relays   bool // it works together with the other instances on the cluster
	Insecure bool // reachable from outside without TLS or auth, because the configuration says so

	Log      *kafka.Log
	Control  *control.Log
	Bus      *bus.Bus
	Embedded *Embedded // nil = real brokers

	Snapshot func() *spec.Snapshot
	SpecHash func() string        // names the bundle in force
	Problems func() spec.Problems // why a newer bundle is not in force

	Ready   *Readiness
	Quotas  *quota.Quotas
	Metrics prometheus.Gatherer
}

// Embedded is the broker in this process and how it was configured.
type Embedded struct {
	Broker     *kafka.Embedded
	Dir        string // empty when Ephemeral
	Ephemeral  bool   // gone with the process
	Durability string // os or fsync
}

// Edge serves /v1/status, /v1/subscriptions, /v1/jobs, /livez, /readyz and /metrics.
type Edge struct {
	cfg     Config
	metrics http.Handler

	mu      sync.Mutex // one look at the cluster at a time
	cluster clusterStatus
	lag     *int64
	looked  time.Time
}

var _ edge.Edge = (*Edge)(nil)

// New makes the edge of an instance.
func New(cfg Config) *Edge {
	return &Edge{cfg: cfg, metrics: promhttp.HandlerFor(cfg.Metrics, promhttp.HandlerOpts{})}
}

// Name is the edge's name in the log.
func (*Edge) Name() string { return "admin" }

// Run waits for the end of ctx: the edge does nothing of its own.
func (*Edge) Run(ctx context.Context) error {
	<-ctx.Done()
	return nil
}

// Mount adds the paths.
func (e *Edge) Mount(mux *http.ServeMux) {
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { healthy(w) })
	mux.HandleFunc("GET /readyz", e.readyz)
	mux.Handle("GET /metrics", e.metrics)
	mux.HandleFunc("GET /v1/status", e.status)
	e.mountSubscriptions(mux)
	e.mountSurgery(mux)
	e.mountDeadLetters(mux)
	e.mountJobs(mux)
	e.mountSchedules(mux)
}

func (e *Edge) readyz(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	if err := e.cfg.Ready.Err(); err != nil {
		edge.WriteProblem(w, r, err)
		return
	}
	healthy(w)
}

func (e *Edge) status(w http.ResponseWriter, r *http.Request) {
	p, ok := autobus.PrincipalOf(r.Context())
	if !ok {
		edge.WriteProblem(w, r, autobus.NewError(autobus.ReasonUnauthenticated, "nobody is known to ask"))
		return
	}
	writeJSON(w, r, http.StatusOK, e.describe(r.Context(), p))
}

func healthy(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = w.Write([]byte("ok\n"))
}

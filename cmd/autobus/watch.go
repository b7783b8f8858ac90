// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// newProcessMetrics is a registry with what every process tells of itself.
func newProcessMetrics() *prometheus.Registry {
	metrics := prometheus.NewRegistry()
	metrics.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return metrics
}

// watched runs what can be watched at an address meanwhile: /metrics, /livez, and /readyz where ready is not nil, which
// says why it is not. No address = nobody watches. What nobody can watch although somebody wants to, ends.
func watched(ctx context.Context, addr string, metrics prometheus.Gatherer, ready func() error, logger *slog.Logger,
	run func(context.Context) error,
) error {
	if addr == "" {
		return run(ctx)
	}
	listener, err := listen(addr)
	if err != nil {
		return err
	}
	logger.Info("can be watched", "listen", listener.Addr().String())
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(metrics, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ok\n")) })
	if ready != nil {
		mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Cache-Control", "no-store")
			if err := ready(); err != nil {
				http.Error(w, err.Error(), http.StatusServiceUnavailable)
				return
			}
			_, _ = w.Write([]byte("ok\n"))
		})
	}
	server := &http.Server{Handler: mux, ReadTimeout: 10 * time.Second, WriteTimeout: 10 * time.Second}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	served := make(chan error, 1)
	go func() {
		served <- server.Serve(listener)
		cancel()
	}()
	err = run(ctx)
	_ = server.Close() // what it tells is over
	if broken := <-served; !errors.Is(broken, http.ErrServerClosed) {
		err = errors.Join(err, broken)
	}
	return err
}

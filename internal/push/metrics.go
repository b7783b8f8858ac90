// SPDX-License-Identifier: Apache-2.0

package push

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	requests *prometheus.CounterVec
	duration prometheus.Histogram
	blocked  prometheus.Gauge
	open     prometheus.Gauge
}

func newMetrics(r prometheus.Registerer) *metrics {
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "autobus_push_requests_total",
			Help: "Requests to endpoints: done; partly, of a batch some events are not; failed, which counts as an " +
				"attempt; blocked, which is about the endpoint; gone, which pauses the subscription; given_up, because the " +
				"lease was lost or the instance stops."},
			[]string{"outcome"}),
		duration: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "autobus_push_duration_seconds",
			Help:    "Time of a request to an endpoint, the wait for its rate included.",
			Buckets: []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30}}),
		blocked: prometheus.NewGauge(prometheus.GaugeOpts{Name: "autobus_push_endpoints_blocked",
			Help: "Endpoints that take no events, whichever; they are asked again until they do."}),
		open: prometheus.NewGauge(prometheus.GaugeOpts{Name: "autobus_push_subscriptions",
			Help: "Subscriptions that this instance pushes."}),
	}
	for _, o := range []string{"done", "partly", "failed", "blocked", "gone", "given_up"} {
		m.requests.WithLabelValues(o)
	}
	if r != nil {
		r.MustRegister(m.requests, m.duration, m.blocked, m.open)
	}
	return m
}

func (m *metrics) count(v verdict, took time.Duration) {
	m.requests.WithLabelValues(v.outcome).Inc()
	m.duration.Observe(took.Seconds())
}

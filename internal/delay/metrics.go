// SPDX-License-Identifier: Apache-2.0

package delay

import "github.com/prometheus/client_golang/prometheus"

type metrics struct {
	hops     prometheus.Counter
	released prometheus.Counter
	late     prometheus.Histogram
	putOff   prometheus.Counter
	lost     prometheus.Counter
	near     prometheus.Gauge
}

func newMetrics(reg prometheus.Registerer) *metrics {
	m := &metrics{
		hops: prometheus.NewCounter(prometheus.CounterOpts{Name: "autobus_delay_hops_total",
			Help: "Delayed events that went from one topic of theirs to the next."}),
		released: prometheus.NewCounter(prometheus.CounterOpts{Name: "autobus_delay_released_total",
			Help: "Delayed events whose time came, cancelled ones included."}),
		late: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "autobus_delay_late_seconds",
			Help:    "How long after its time a delayed event was taken care of.",
			Buckets: []float64{.01, .05, .1, .25, .5, 1, 2, 5, 10, 60, 600, 3600}}),
		putOff: prometheus.NewCounter(prometheus.CounterOpts{Name: "autobus_delay_put_off_total",
			Help: "Times that a delayed event could not be published when it was due and was put off by a minute."}),
		lost: prometheus.NewCounter(prometheus.CounterOpts{Name: "autobus_delay_expired_total",
			Help: "Offsets of delayed events that retention took before anybody worked on them."}),
		near: prometheus.NewGauge(prometheus.GaugeOpts{Name: "autobus_delay_near_events",
			Help: "Delayed events that this instance holds because they are due soon."}),
	}
	if reg != nil {
		reg.MustRegister(m.hops, m.released, m.late, m.putOff, m.lost, m.near)
	}
	return m
}

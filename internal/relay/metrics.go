// SPDX-License-Identifier: Apache-2.0

package relay

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/autobus-io/autobus"
)

type metrics struct {
	events  *prometheus.CounterVec
	deleted prometheus.Counter
	lag     prometheus.Gauge
	pending prometheus.Gauge
	refused prometheus.Gauge
	working prometheus.Gauge
}

func newMetrics(r prometheus.Registerer) *metrics {
	gauge := func(name, help string) prometheus.Gauge {
		return prometheus.NewGauge(prometheus.GaugeOpts{Name: name, Help: help})
	}
	m := &metrics{
		events: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "autobus_outbox_events_total",
			Help: "Outcomes of attempts to publish a row: written, duplicate (written before), refused, unknown.",
		}, []string{"outcome"}),
		deleted: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "autobus_outbox_deleted_total", Help: "Rows deleted some time after they were sent.",
		}),
		lag:     gauge("autobus_outbox_lag_seconds", "Age of the oldest row that waits, 0 without any."),
		pending: gauge("autobus_outbox_pending_rows", "Rows that wait, counted up to a million."),
		refused: gauge("autobus_outbox_refused_rows", "Rows that the bus refused for good and that wait for an operator."),
		working: gauge("autobus_outbox_working", "1 while this relay is the one at work, 0 while it stands by or waits."),
	}
	for _, r := range []autobus.Receipt{{Status: autobus.Written}, {Status: autobus.Written, Duplicate: true},
		{Status: autobus.Refused}, {Status: autobus.Unknown}} {
		m.events.WithLabelValues(outcome(r))
	}
	if r != nil {
		r.MustRegister(m.events, m.deleted, m.lag, m.pending, m.refused, m.working)
	}
	return m
}

func outcome(r autobus.Receipt) string {
	if r.Status == autobus.Written && r.Duplicate {
		return "duplicate"
	}
	return r.Status.String()
}

func (m *metrics) count(r autobus.Receipt) { m.events.WithLabelValues(outcome(r)).Inc() }

// SPDX-License-Identifier: Apache-2.0

package bus

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/autobus-io/autobus"
)

// metrics of the hot path. Labels are closed sets: never an id, a key or a name that a client chose.
type metrics struct {
	events       [4]prometheus.Counter // by autobus.Status: looking them up by label would cost more than counting
	refused      *prometheus.CounterVec
	duration     prometheus.Histogram
	duplicates   prometheus.Counter
	tails        prometheus.Gauge
	filterErrors prometheus.Counter

	sessions      prometheus.Gauge
	delivered     prometheus.Counter
	redelivered   prometheus.Counter
	settled       *prometheus.CounterVec
	commitErrors  prometheus.Counter
	unreadable    prometheus.Counter
	positionsLost prometheus.Counter
	bareLetters   prometheus.Counter
	relayed       prometheus.Gauge
	forwarded     *prometheus.CounterVec
	parked        prometheus.Gauge
	redriven      prometheus.Counter
	expiring      prometheus.Gauge
	neglected     prometheus.Gauge
	breakers      prometheus.Gauge
	inboxes       prometheus.Gauge
}

func newMetrics(reg prometheus.Registerer) *metrics {
	events := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "autobus_publish_events_total",
		Help: "Events published, by outcome."}, []string{"outcome"})
	m := &metrics{
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "autobus_publish_refused_total",
			Help: "Events refused, by reason."}, []string{"reason"}),
		duration: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "autobus_publish_duration_seconds",
			Help:    "Time from Publish to the outcome of each event.",
			Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 15}}),
		duplicates: prometheus.NewCounter(prometheus.CounterOpts{Name: "autobus_publish_duplicates_total",
			Help: "Events recognized as published before."}),
		tails: prometheus.NewGauge(prometheus.GaugeOpts{Name: "autobus_tail_sessions",
			Help: "Tails open now."}),
		filterErrors: prometheus.NewCounter(prometheus.CounterOpts{Name: "autobus_filter_errors_total",
			Help: "Events delivered because their filter failed on them."}),
		sessions: prometheus.NewGauge(prometheus.GaugeOpts{Name: "autobus_subscription_sessions",
			Help: "Workers connected to subscriptions now."}),
		delivered: prometheus.NewCounter(prometheus.CounterOpts{Name: "autobus_deliveries_total",
			Help: "Events handed to workers, each attempt counted."}),
		redelivered: prometheus.NewCounter(prometheus.CounterOpts{Name: "autobus_redeliveries_total",
			Help: "Deliveries that were not the first attempt."}),
		settled: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "autobus_settled_events_total",
			Help: "Events of subscriptions that are done, by how they ended."}, []string{"outcome"}),
		commitErrors: prometheus.NewCounter(prometheus.CounterOpts{Name: "autobus_position_commit_errors_total",
			Help: "Commits of positions that failed; they are tried again."}),
		unreadable: prometheus.NewCounter(prometheus.CounterOpts{Name: "autobus_positions_unreadable_total",
			Help: "Stored positions that did not count because they could not be read."}),
		relayed: prometheus.NewGauge(prometheus.GaugeOpts{Name: "autobus_relayed_sessions",
			Help: "Sessions at other instances, for workers of this one."}),
		forwarded: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "autobus_forwarded_settlements_total",
			Help: "Settlements told to the instance that gave the lease, by whether it judged them."}, []string{"outcome"}),
		parked: prometheus.NewGauge(prometheus.GaugeOpts{Name: "autobus_parked_events",
			Help: "Events of subscriptions that are parked, of the partitions that this instance has."}),
		redriven: prometheus.NewCounter(prometheus.CounterOpts{Name: "autobus_dead_letters_redriven_total",
			Help: "Dead letters that this instance brought back to their subscription."}),
		expiring: prometheus.NewGauge(prometheus.GaugeOpts{Name: "autobus_dead_letters_expiring",
			Help: "Dead letters that retention takes soon; each instance counts those of the whole cluster."}),
		neglected: prometheus.NewGauge(prometheus.GaugeOpts{Name: "autobus_delayed_expiring",
			Help: "Delayed events that nobody works on and retention takes within 24 hours; each instance counts those of " +
				"the whole cluster."}),
		breakers: prometheus.NewGauge(prometheus.GaugeOpts{Name: "autobus_breakers_open",
			Help: "Subscriptions of this instance whose breaker is open: most of their attempts fail."}),
		inboxes: prometheus.NewGauge(prometheus.GaugeOpts{Name: "autobus_inboxes_open",
			Help: "Reply addresses open at this instance."}),
		positionsLost: prometheus.NewCounter(prometheus.CounterOpts{Name: "autobus_positions_lost_total",
			Help: "Partitions of subscriptions that retention overtook."}),
		bareLetters: prometheus.NewCounter(prometheus.CounterOpts{Name: "autobus_dead_letters_without_value_total",
			Help: "Dead letters that only tell where a record stands, because it is larger than they may be."}),
	}
	for _, s := range []autobus.Status{autobus.Written, autobus.Refused, autobus.Unknown} {
		m.events[s] = events.WithLabelValues(s.String())
	}
	if reg != nil {
		reg.MustRegister(events, m.refused, m.duration, m.duplicates, m.tails, m.filterErrors, m.sessions, m.delivered,
			m.redelivered, m.settled, m.commitErrors, m.unreadable, m.positionsLost, m.bareLetters, m.relayed, m.forwarded,
			m.parked, m.breakers, m.inboxes, m.redriven, m.expiring,
			m.neglected)
	}
	return m
}

func (m *metrics) published(rc autobus.Receipt, since time.Time) {
	m.events[rc.Status].Inc()
	if rc.Status == autobus.Refused {
		m.refused.WithLabelValues(string(rc.Err.Reason)).Inc()
	}
	if rc.Duplicate {
		m.duplicates.Inc()
	}
	m.duration.Observe(time.Since(since).Seconds())
}

// SPDX-License-Identifier: Apache-2.0

package sink

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// States of a sink, as the metric autobus_sink_state names them.
const (
	StateStarting = "starting" // it has not yet what it needs
	StateWriting  = "writing"  // it writes, or has nothing to write
	StateStandby  = "standby"  // another process writes
	StateRetrying = "retrying" // database or cluster does not answer
	StateStopped  = "stopped"  // it cannot go on by itself
)

// Metrics are those of all sinks of a process.
type Metrics struct {
	rows, bad, retries *prometheus.CounterVec
	state              *prometheus.GaugeVec
	batch              *prometheus.HistogramVec
	lag                *lag
}

// NewMetrics makes the metrics; nil registers them nowhere.
func NewMetrics(r prometheus.Registerer) *Metrics {
	label := []string{"sink"}
	m := &Metrics{
		rows: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "autobus_sink_rows_total",
			Help: "Events written into the sink's table."}, label),
		bad: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "autobus_sink_bad_rows_total",
			Help: "Events set aside because they do not fit the table."}, label),
		retries: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "autobus_sink_retries_total",
			Help: "Times the sink began anew because database or cluster did not answer."}, label),
		lag: &lag{oldest: map[string]time.Time{}, desc: prometheus.NewDesc("autobus_sink_lag_seconds",
			"Age of the oldest event that was read and is not written yet; 0 = everything is written.", label, nil)},
		state: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "autobus_sink_state",
			Help: "1 for the state that the sink is in."}, append(label, "state")),
		batch: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "autobus_sink_batch_seconds",
			Help: "Time of a transaction.", Buckets: prometheus.ExponentialBuckets(0.001, 4, 8)}, label),
	}
	if r != nil {
		r.MustRegister(m.rows, m.bad, m.retries, m.lag, m.state, m.batch)
	}
	return m
}

func (m *Metrics) enter(sink, state string) {
	for _, s := range []string{StateStarting, StateWriting, StateStandby, StateRetrying, StateStopped} {
		v := 0.0
		if s == state {
			v = 1
		}
		m.state.WithLabelValues(sink, s).Set(v)
	}
}

// lag tells how old the oldest event is that a sink has read and not written, by the clock of who asks: it grows also
// while the sink waits for its database and does nothing.
type lag struct {
	desc   *prometheus.Desc
	mu     sync.Mutex
	oldest map[string]time.Time // by sink; zero = everything is written
}

func (l *lag) set(sink string, oldest time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.oldest[sink] = oldest
}

// Describe implements prometheus.Collector.
func (l *lag) Describe(out chan<- *prometheus.Desc) { out <- l.desc }

// Collect implements prometheus.Collector.
func (l *lag) Collect(out chan<- prometheus.Metric) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for sink, oldest := range l.oldest {
		age := 0.0
		if !oldest.IsZero() {
			age = max(0, time.Since(oldest).Seconds()) // another machine gave the time
		}
		out <- prometheus.MustNewConstMetric(l.desc, prometheus.GaugeValue, age, sink)
	}
}

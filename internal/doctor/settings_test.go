// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"testing"
	"time"
)

func TestBrokerSettings(t *testing.T) {
	good := map[string]string{"auto.create.topics.enable": "false", "offsets.retention.minutes": "43200",
		"replica.lag.time.max.ms": "10000", "unclean.leader.election.enable": "false"}
	for _, settings := range []map[string]string{good, nil} {
		var l list
		l.brokerSettings(1, settings)
		if len(l) != 0 {
			t.Errorf("findings %+v", l)
		}
	}
	for _, c := range []struct {
		key, value string
		severity   Severity
	}{
		{"auto.create.topics.enable", "true", Problem},
		{"offsets.retention.minutes", "60", Warning},
		{"replica.lag.time.max.ms", "30000", Warning},
		{"unclean.leader.election.enable", "true", Warning},
	} {
		var l list
		l.brokerSettings(1, with(good, c.key, c.value))
		expect(t, only(t, l), c.severity, c.key+"="+c.value)
	}
}

func TestDisk(t *testing.T) {
	for _, c := range []struct {
		free     int64
		severity Severity
	}{{500 << 30, OK}, {70 << 30, Warning}, {10 << 30, Problem}} {
		var l list
		l.disk("broker 1", c.free, 1<<40, "add space")
		expect(t, only(t, l), c.severity, " of 1.0 TiB are free")
	}
}

func TestSkew(t *testing.T) {
	for _, c := range []struct {
		ahead, within time.Duration
		severity      Severity
		what          string
	}{
		{time.Millisecond, 2 * time.Millisecond, OK, "agree within 2ms"},
		{-100 * time.Millisecond, 2 * time.Millisecond, OK, "100ms behind this machine's, give or take 2ms"},
		{600 * time.Millisecond, 2 * time.Millisecond, Warning, "600ms ahead of this machine's"},
		{-time.Minute, 2 * time.Millisecond, Problem, "1m0s behind"},
		{6 * time.Second, 2 * time.Second, Warning, "6s ahead of"}, // perhaps it is only 4 s
	} {
		expect(t, Skew("controller", c.ahead, c.within), c.severity, c.what)
	}
	now := time.Date(2026, 11, 20, 10, 0, 0, 300_000_000, time.UTC)
	expect(t, DateSkew("a", now.Truncate(time.Second), now, now.Add(20*time.Millisecond)), OK, "agree within 510ms")
	expect(t, DateSkew("instance a", now.Add(time.Hour).Truncate(time.Second), now, now), Problem, "1h0m0.2s ahead")
}

func TestCertificate(t *testing.T) {
	now := time.Date(2026, 11, 20, 10, 0, 0, 0, time.UTC)
	day := 24 * time.Hour
	for _, c := range []struct {
		from, until time.Duration
		severity    Severity
		what        string
	}{
		{-day, 90 * day, OK, "ends on 2027-02-18"},
		{-day, 10 * day, Warning, "ends on 2026-11-30"},
		{-90 * day, -day, Problem, "ends on 2026-11-19"},
		{day, 90 * day, Problem, "begins on 2026-11-21"},
	} {
		expect(t, Certificate("tls.cert_file", now.Add(c.from), now.Add(c.until), now), c.severity, c.what)
	}
}

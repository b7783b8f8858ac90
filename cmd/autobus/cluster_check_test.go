// SPDX-License-Identifier: Apache-2.0

package main

import (
	"maps"
	"strings"
	"testing"

	"github.com/autobus-io/autobus/internal/control"
	"github.com/autobus-io/autobus/internal/kafka"
)

// with gives a copy of settings with one changed.
func with(settings map[string]string, key, value string) map[string]string {
	out := maps.Clone(settings)
	out[key] = value
	return out
}

func expect(t *testing.T, f finding, level, detail string) {
	t.Helper()
	if f.Level != level || !strings.Contains(f.Detail, detail) {
		t.Errorf("got %+v, want %s with %q", f, level, detail)
	}
	if (f.Level == levelOK) != (f.Fix == "") {
		t.Errorf("%+v: a finding has a fix, and only a finding", f)
	}
}

func TestCheckBrokers(t *testing.T) {
	three := kafka.Cluster{Brokers: []kafka.Broker{{ID: 1, Rack: "a"}, {ID: 2, Rack: "b"}, {ID: 3, Rack: "c"}}}
	expect(t, checkBrokers(three), levelOK, "3 reachable in 3 racks")
	expect(t, checkBrokers(kafka.Cluster{Brokers: three.Brokers[:2]}), levelLacks, "2 reachable, 3 are needed")
}

func TestCheckControlTopic(t *testing.T) {
	good := map[string]string{"min.insync.replicas": "2", "cleanup.policy": "delete", "retention.ms": "-1",
		"retention.bytes": "-1", "unclean.leader.election.enable": "false"}
	for _, c := range []struct {
		topic         kafka.Topic
		level, detail string
	}{
		{kafka.Topic{Partitions: 1, Replicas: 3, Configs: good}, levelOK, "3 copies"},
		{kafka.Topic{Partitions: 2, Replicas: 3, Configs: good}, levelLacks, "2 partitions instead of 1"},
		{kafka.Topic{Partitions: 1, Replicas: 1, Configs: good}, levelLacks, "1 copy"},
		{kafka.Topic{Partitions: 1, Replicas: 3, Configs: with(good, "min.insync.replicas", "1")}, levelLacks, "replicas=1"},
		{kafka.Topic{Partitions: 1, Replicas: 3, Configs: with(good, "cleanup.policy", "compact")}, levelLacks, "compact"},
		{kafka.Topic{Partitions: 1, Replicas: 3, Configs: with(good, "retention.ms", "1000")}, levelLacks, "retention.ms"},
		{kafka.Topic{Partitions: 1, Replicas: 3, Configs: with(good, "unclean.leader.election.enable", "true")}, levelLacks,
			"unclean"},
	} {
		expect(t, checkControlTopic(map[string]kafka.Topic{control.Topic: c.topic}, 3, "f"), c.level, c.detail)
	}
	f := checkControlTopic(nil, 3, "bus.yaml")
	expect(t, f, levelLacks, "there is none")
	if f.Fix != "autobus cluster init --config bus.yaml" {
		t.Errorf("fix %q", f.Fix)
	}
}

func TestCheckTopics(t *testing.T) {
	good := map[string]string{"min.insync.replicas": "2", "max.message.bytes": "1048588"}
	route := control.Route{Type: "a.b.v1", Topic: "a.b.v1", Partitions: 6, MaxEventBytes: 1_000_000}
	lax := route
	lax.BestEffort = true
	for _, c := range []struct {
		topic         kafka.Topic
		route         control.Route
		level, detail string
	}{
		{kafka.Topic{Partitions: 6, Replicas: 3, Configs: good}, route, levelOK, "3 copies, min.insync.replicas=2"},
		{kafka.Topic{Partitions: 7, Replicas: 3, Configs: good}, route, levelLacks, "7 partitions, its route says 6"},
		{kafka.Topic{Partitions: 6, Replicas: 2, Configs: good}, route, levelLacks, "2 copies"},
		{kafka.Topic{Partitions: 6, Replicas: 3, Configs: with(good, "min.insync.replicas", "1")}, route, levelLacks, "=1"},
		{kafka.Topic{Partitions: 6, Replicas: 3, Configs: with(good, "unclean.leader.election.enable", "true")}, route,
			levelLacks, "unclean"},
		{kafka.Topic{Partitions: 6, Replicas: 3, Configs: with(good, "max.message.bytes", "1000")}, route, levelLacks,
			"max.message.bytes=1000"},
		{kafka.Topic{Partitions: 6, Replicas: 1}, lax, levelOK, "best effort"},
		{kafka.Topic{Partitions: 7, Replicas: 1}, lax, levelLacks, "7 partitions"},
	} {
		found := checkTopics(map[string]kafka.Topic{"a.b.v1": c.topic}, map[string]control.Route{"a.b.v1": c.route})
		if len(found) != 1 {
			t.Fatalf("%d findings", len(found))
		}
		expect(t, found[0], c.level, c.detail)
	}

	foreign := checkTopics(map[string]kafka.Topic{"c.d.v1": {}, "their_topic": {}, "_autobus.control": {}}, nil)
	if len(foreign) != 1 {
		t.Fatalf("findings %+v, want one about c.d.v1", foreign)
	}
	expect(t, foreign[0], levelWarn, "no route")
}

func TestCheckSettings(t *testing.T) {
	good := map[string]string{"auto.create.topics.enable": "false", "offsets.retention.minutes": "43200",
		"replica.lag.time.max.ms": "10000", "unclean.leader.election.enable": "false"}
	for _, f := range checkSettings(1, good) {
		expect(t, f, levelOK, "")
	}
	for _, c := range []struct{ key, value, level string }{
		{"auto.create.topics.enable", "true", levelLacks},
		{"offsets.retention.minutes", "60", levelWarn},
		{"replica.lag.time.max.ms", "30000", levelWarn},
		{"unclean.leader.election.enable", "true", levelWarn},
	} {
		found := false
		for _, f := range checkSettings(1, with(good, c.key, c.value)) {
			if strings.HasSuffix(f.Check, c.key) {
				found = true
				expect(t, f, c.level, "")
			}
		}
		if !found {
			t.Errorf("%s=%s is not found", c.key, c.value)
		}
	}
	if f := checkSettings(1, nil); len(f) != 0 {
		t.Errorf("findings about settings that are not told: %+v", f)
	}
}

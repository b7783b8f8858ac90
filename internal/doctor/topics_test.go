// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"errors"
	"strings"
	"testing"

	"github.com/autobus-io/autobus/internal/control"
	"github.com/autobus-io/autobus/internal/kafka"
)

func TestControlTopic(t *testing.T) {
	good := map[string]string{"min.insync.replicas": "2", "cleanup.policy": "delete", "retention.ms": "-1",
		"retention.bytes": "-1", "unclean.leader.election.enable": "false"}
	target := Target{Init: "autobus cluster init --config bus.yaml"}
	for _, c := range []struct {
		topic    kafka.Topic
		severity Severity
		what     string
	}{
		{kafka.Topic{Partitions: 1, Replicas: 3, Configs: good}, OK, "3 copies"},
		{kafka.Topic{Partitions: 2, Replicas: 3, Configs: good}, Problem, "2 partitions instead of 1"},
		{kafka.Topic{Partitions: 1, Replicas: 1, Configs: good}, Problem, "1 copy"},
		{kafka.Topic{Partitions: 1, Replicas: 3, Configs: with(good, "min.insync.replicas", "1")}, Problem, "replicas=1"},
		{kafka.Topic{Partitions: 1, Replicas: 3, Configs: with(good, "cleanup.policy", "compact")}, Problem, "compact"},
		{kafka.Topic{Partitions: 1, Replicas: 3, Configs: with(good, "retention.ms", "1000")}, Problem, "retention.ms"},
		{kafka.Topic{Partitions: 1, Replicas: 3, Configs: with(good, "retention.bytes", "1000")}, Problem, "retention.bytes"},
		{kafka.Topic{Partitions: 1, Replicas: 3, Configs: with(good, "unclean.leader.election.enable", "true")}, Problem,
			"unclean"},
		{kafka.Topic{Err: errors.New("not allowed")}, Problem, "not allowed"},
	} {
		var l list
		c.topic.Name = control.Topic
		l.controlTopic(target, topicsOf(c.topic), 3)
		expect(t, only(t, l), c.severity, c.what)
	}
	var l list
	l.controlTopic(target, nil, 3)
	expect(t, only(t, l), Problem, "there is none")
	if fix := l[0].Fix; fix != target.Init {
		t.Errorf("fix %q", fix)
	}
	l = nil
	l.controlTopic(target, topicsOf(kafka.Topic{Name: "a.b.v1"}), 3)
	expect(t, only(t, l), Problem, "there are topics such as a.b.v1")
	if fix := l[0].Fix; fix != "restore it from its backup; where it never was there, "+target.Init+" --adopt" {
		t.Errorf("fix %q", fix)
	}
}

func TestStateTopic(t *testing.T) {
	good := map[string]string{"min.insync.replicas": "2", "cleanup.policy": "compact", "max.message.bytes": "2000000"}
	for _, c := range []struct {
		topic    kafka.Topic
		severity Severity
		what     string
	}{
		{kafka.Topic{Partitions: 1, Replicas: 3, Configs: good}, OK, "3 copies, compacted"},
		{kafka.Topic{Partitions: 3, Replicas: 3, Configs: good}, Problem, "3 partitions instead of 1"},
		{kafka.Topic{Partitions: 1, Replicas: 3, Configs: with(good, "cleanup.policy", "delete")}, Problem, "policy=delete"},
		{kafka.Topic{Partitions: 1, Replicas: 3, Configs: with(good, "max.message.bytes", "1000")}, Problem, "bytes=1000"},
		{kafka.Topic{Partitions: 1, Replicas: 2, Configs: good}, Problem, "2 copies"},
	} {
		var l list
		c.topic.Name = control.StateTopic
		l.stateTopic(Target{}, topicsOf(c.topic), 3)
		expect(t, only(t, l), c.severity, c.what)
	}
	var l list
	l.stateTopic(Target{}, nil, 3)
	expect(t, only(t, l), OK, "not there yet")
}

func TestTypeTopics(t *testing.T) {
	good := map[string]string{"min.insync.replicas": "2", "max.message.bytes": "1048588"}
	route := control.Route{Type: "a.b.v1", Topic: "a.b.v1", Partitions: 6, MaxEventBytes: 1_000_000}
	lax := route
	lax.BestEffort = true
	for _, c := range []struct {
		topic    kafka.Topic
		route    control.Route
		severity Severity
		what     string
	}{
		{kafka.Topic{Partitions: 6, Replicas: 3, Configs: good}, route, OK, "3 copies, min.insync.replicas=2"},
		{kafka.Topic{Partitions: 7, Replicas: 3, Configs: good}, route, Problem, "7 partitions, its route says 6"},
		{kafka.Topic{Partitions: 6, Replicas: 2, Configs: good}, route, Problem, "2 copies"},
		{kafka.Topic{Partitions: 6, Replicas: 3, Configs: with(good, "min.insync.replicas", "1")}, route, Problem, "=1"},
		{kafka.Topic{Partitions: 6, Replicas: 3, Configs: with(good, "unclean.leader.election.enable", "true")}, route,
			Problem, "unclean"},
		{kafka.Topic{Partitions: 6, Replicas: 3, Configs: with(good, "max.message.bytes", "1000")}, route, Problem,
			"max.message.bytes=1000"},
		{kafka.Topic{Partitions: 6, Replicas: 3, Configs: with(good, "message.timestamp.type", "LogAppendTime")}, route,
			Warning, "LogAppendTime"},
		{kafka.Topic{Partitions: 6, Replicas: 3, Configs: with(good, "message.timestamp.before.max.ms", "1000")}, route,
			Problem, "before.max.ms=1000"},
		{kafka.Topic{Partitions: 6, Replicas: 1}, lax, OK, "best effort"},
		{kafka.Topic{Partitions: 7, Replicas: 1}, lax, Problem, "7 partitions"},
	} {
		var l list
		c.topic.Name = route.Topic
		l.types(Target{}, topicsOf(c.topic), map[string]control.Route{route.Topic: c.route})
		expect(t, only(t, l), c.severity, c.what)
	}
	var l list
	l.types(Target{}, nil, map[string]control.Route{route.Topic: route})
	expect(t, only(t, l), Problem, "does not exist")
	l = nil
	l.types(Target{}, map[string]kafka.Topic{"c.d.v1": {}, "their_topic": {}, "_autobus.control": {}}, nil)
	expect(t, only(t, l), Warning, "no route")
}

func TestDeadLetterTopics(t *testing.T) {
	good := map[string]string{"min.insync.replicas": "2", "max.message.bytes": "2000000"}
	for _, c := range []struct {
		topic    kafka.Topic
		severity Severity
		what     string
	}{
		{kafka.Topic{Replicas: 3, Configs: good}, OK, "3 copies"},
		{kafka.Topic{Replicas: 3, Configs: with(good, "cleanup.policy", "compact")}, Problem, "only the last stays"},
		{kafka.Topic{Replicas: 3, Configs: with(good, "max.message.bytes", "1000")}, Problem, "bytes=1000"},
		{kafka.Topic{Replicas: 3, Configs: with(good, "retention.ms", "1000")}, Warning, "dead letters are gone after 1s"},
		{kafka.Topic{Replicas: 3, Configs: with(good, "retention.ms", "-1")}, OK, ""},
	} {
		var l list
		c.topic.Name = "dlq.shipping"
		l.deadLetters(Target{}, topicsOf(c.topic))
		expect(t, only(t, l), c.severity, c.what)
	}
}

// What waits in these topics stands nowhere else.
func TestTopicsOfWaitingEvents(t *testing.T) {
	good := map[string]string{"min.insync.replicas": "2", "max.message.bytes": "2000000"}
	parked := with(good, "cleanup.policy", "compact")
	const park, delayed, due = "park.shipping", "_autobus.delay.10", "_autobus.delay.due"
	for _, c := range []struct {
		topic    kafka.Topic
		severity Severity
		what     string
	}{
		{kafka.Topic{Name: park, Replicas: 3, Configs: parked}, OK, "3 copies"},
		{kafka.Topic{Name: park, Replicas: 3, Configs: with(parked, "cleanup.policy", "compact,delete")}, Problem,
			"are lost"},
		{kafka.Topic{Name: park, Replicas: 3, Configs: with(parked, "retention.ms", "1000")}, OK, ""},
		{kafka.Topic{Name: park, Replicas: 3, Configs: with(parked, "min.insync.replicas", "1")}, Problem, "replicas=1"},
		{kafka.Topic{Name: park, Replicas: 3, Configs: with(parked, "max.message.bytes", "1000")}, Problem, "bytes=1000"},
		{kafka.Topic{Name: park, Err: errors.New("not allowed")}, Problem, "not allowed"},
		{kafka.Topic{Name: delayed, Replicas: 3, Configs: with(good, "retention.ms", "1653376000")}, OK, "3 copies"},
		{kafka.Topic{Name: delayed, Replicas: 3, Configs: with(good, "retention.ms", "1653375999")}, Problem, "wait there"},
		{kafka.Topic{Name: delayed, Replicas: 3, Configs: with(good, "cleanup.policy", "compact")}, Problem, "are lost"},
		{kafka.Topic{Name: due, Replicas: 3, Configs: with(good, "retention.ms", "604800000")}, OK, ""},
		{kafka.Topic{Name: due, Replicas: 2, Configs: good}, Problem, "2 copies"},
	} {
		var l list
		l.waiting(Target{}, topicsOf(c.topic))
		expect(t, only(t, l), c.severity, c.what)
	}
	var l list
	l.waiting(Target{}, topicsOf(kafka.Topic{Name: "dlq.shipping"}))
	if len(l) > 0 {
		t.Errorf("%+v", l)
	}
}

func TestBrokerCount(t *testing.T) {
	for _, c := range []struct {
		brokers, racks, copies int
		severity               Severity
		what, fix              string
	}{
		{3, 1, 3, OK, "3 brokers", ""},
		{3, 2, 3, OK, "3 brokers in 2 racks", ""},
		{2, 1, 3, Warning, "2 brokers, and topics have 3 copies: a broker is away", "start the broker"},
		{2, 1, 2, Problem, "2 brokers, 3 are needed", "best-effort"},
		{1, 1, 0, Problem, "1 broker, 3 are needed", "best-effort"},
	} {
		var l list
		l.brokerCount(Target{}, c.brokers, c.racks, c.copies)
		expect(t, only(t, l), c.severity, c.what)
		if !strings.Contains(l[0].Fix, c.fix) {
			t.Errorf("%d of %d: fix %q", c.brokers, c.copies, l[0].Fix)
		}
	}
}

func TestTopicInSync(t *testing.T) {
	part := func(n, leader int32, inSync int) kafka.Partition {
		return kafka.Partition{TP: kafka.TP{Topic: "a", Partition: n}, Leader: leader, Replicas: 3, InSync: inSync}
	}
	expect(t, topicInSync("a", []kafka.Partition{part(0, 1, 3), part(1, 2, 3)}, 2), OK, "")
	expect(t, topicInSync("a", []kafka.Partition{part(0, 1, 2), part(1, 2, 3)}, 2), Warning, "partition 0 with fewer")
	expect(t, topicInSync("a", []kafka.Partition{part(0, 1, 1), part(1, 2, 1)}, 2), Problem, "partitions 0, 1 below min")
	all := []kafka.Partition{part(0, 1, 2), part(1, 2, 1)}
	for n := range int32(10) {
		all = append(all, part(n+2, -1, 0))
	}
	expect(t, topicInSync("a", all, 2), Problem, "partitions 2, 3, 4, 5, 6, 7, 8, 9 and 2 more without a leader")
}

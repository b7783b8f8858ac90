// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"github.com/autobus-io/autobus/internal/bustest"
	"github.com/autobus-io/autobus/internal/control"
	"github.com/autobus-io/autobus/internal/delay"
	"github.com/autobus-io/autobus/internal/kafka"
	"github.com/autobus-io/autobus/internal/registry"
	"github.com/autobus-io/autobus/spec"
)

const orders = `asyncapi: 3.1.0
info: {title: Order placed, version: 1.0.0}
channels:
  placed:
    address: orders.order.placed.v1
    messages: {placed: {$ref: '#/components/messages/placed'}}
    bindings: {kafka: {partitions: 2, topicConfiguration: {retention.ms: 3600000}}}
operations:
  placed: {action: send, channel: {$ref: '#/channels/placed'}}
components:
  messages:
    placed: {payload: {type: object, properties: {id: {type: string}}}}
`

// prepared is an embedded broker with a control log and a type.
func prepared(t *testing.T) *kafka.Log {
	t.Helper()
	l := bustest.Embedded(t).Open(t)
	if _, _, err := control.Init(t.Context(), l, control.Settings{ClusterName: "main", Replicas: 1}); err != nil {
		t.Fatal(err)
	}
	push(t, l)
	return l
}

// push brings the spec of orders into force.
func push(t *testing.T, l *kafka.Log) {
	t.Helper()
	change(t, l, func(ctx context.Context, c *control.Log) error {
		r := registry.New(registry.Config{Log: l, Control: c, ClusterName: "main", Embedded: true, Logger: bustest.Logger(t)})
		_, err := r.Push(ctx, spec.Files{"orders.yaml": []byte(orders)}, "test", "")
		return err
	})
}

// change works on the control log.
func change(t *testing.T, l *kafka.Log, work func(context.Context, *control.Log) error) {
	t.Helper()
	c, err := control.Open(t.Context(), l, bustest.Logger(t))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ran := make(chan error, 1)
	go func() { ran <- c.Run(ctx) }()
	if err := work(t.Context(), c); err != nil {
		t.Error(err)
	}
	cancel()
	if err := <-ran; err != nil {
		t.Error(err)
	}
}

func look(t *testing.T, target Target) Report {
	t.Helper()
	report, err := Cluster(t.Context(), target)
	if err != nil {
		t.Fatal(err)
	}
	return report
}

func TestAnEmbeddedBrokerIsAsItShouldBe(t *testing.T) {
	report := look(t, Target{Log: prepared(t), Embedded: true})
	for _, f := range report.Findings {
		if f.Severity != OK {
			t.Errorf("%+v", f)
		}
	}
	for check, where := range map[string]string{CheckBrokers: "cluster", CheckClock: "cluster",
		CheckControl: control.Topic, CheckTopics: "type orders.order.placed.v1", CheckInSync: "cluster",
		CheckDrift: "specs", CheckVersions: control.Topic} {
		found(t, report.Findings, check, where)
	}
}

// The same broker as a cluster is none.
func TestOneBrokerIsNoCluster(t *testing.T) {
	report := look(t, Target{Log: prepared(t)})
	expect(t, found(t, report.Findings, CheckBrokers, "cluster"), Problem, "1 broker, 3 are needed")
	expect(t, found(t, report.Findings, CheckControl, control.Topic), Problem, "1 copy")
	expect(t, found(t, report.Findings, CheckClock, "controller"), Skipped, "does not tell")
}

func TestDrift(t *testing.T) {
	l := prepared(t)
	const topic = "orders.order.placed.v1"
	target := Target{Log: l, Embedded: true}
	changed := map[string]string{"retention.ms": "5000", "max.message.bytes": "2000"}
	if err := l.AlterTopic(t.Context(), topic, changed); err != nil {
		t.Fatal(err)
	}
	report := look(t, target)
	expect(t, found(t, report.Findings, CheckDrift, "topic "+topic), Warning, "retention.ms=5000, its spec says 3600000")
	expect(t, found(t, report.Findings, CheckTopics, "type "+topic), Problem, "max.message.bytes=2000")
	for _, f := range report.Findings { // a push would take the small limit over into the route
		if f.Check == CheckDrift && f.Where == "type "+topic {
			t.Errorf("%+v", f)
		}
	}
	push(t, l)
	report = look(t, target)
	expect(t, found(t, report.Findings, CheckDrift, "topic "+topic), Warning,
		"max.message.bytes: 2000, its spec or route says 1001024")

	if err := l.DeleteTopics(t.Context(), topic); err != nil {
		t.Fatal(err)
	}
	report = look(t, target)
	expect(t, found(t, report.Findings, CheckTopics, "type "+topic), Problem, "does not exist")

	if _, err := l.CreateTopic(t.Context(), kafka.NewTopic{Name: topic, Partitions: 5, Replicas: 1}); err != nil {
		t.Fatal(err)
	}
	report = look(t, target)
	expect(t, found(t, report.Findings, CheckTopics, "type "+topic), Problem, "5 partitions, its route says 2")
	for _, f := range report.Findings {
		if f.Check == CheckDrift && f.Severity == Problem {
			t.Errorf("told twice: %+v", f)
		}
	}
}

// What a newer build wrote is named, and nothing else suffers.
func TestNewerRecordsAreNamed(t *testing.T) {
	l := prepared(t)
	change(t, l, func(ctx context.Context, c *control.Log) error {
		_, err := c.Change(ctx, control.Record{Version: control.Version + 1, Kind: control.KindRoute,
			Name: "refunds.refund.made.v1", Prev: control.None, Value: json.RawMessage(`{"lanes": 7}`)})
		return err
	})
	report := look(t, Target{Log: l, Embedded: true})
	expect(t, found(t, report.Findings, CheckVersions, "route refunds.refund.made.v1"), Problem, "has version 4")
	expect(t, found(t, report.Findings, CheckTopics, "type orders.order.placed.v1"), OK, "")
}

func TestAClusterThatIsGone(t *testing.T) {
	e, err := kafka.OpenEmbedded(kafka.EmbeddedConfig{Addr: "127.0.0.1:0", Logger: bustest.Logger(t)})
	if err != nil {
		t.Fatal(err)
	}
	l, err := kafka.Open(t.Context(), kafka.Config{Brokers: []string{e.Addr()}, Logger: bustest.Logger(t)})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close(t.Context())
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := Cluster(ctx, Target{Log: l}); err == nil {
		t.Error("it is well")
	}
}

// Only a real cluster tells clocks and disks.
func TestCluster(t *testing.T) {
	l := bustest.Cluster(t).Open(t)
	report := look(t, Target{Log: l})
	expect(t, found(t, report.Findings, CheckBrokers, "cluster"), OK, "3 brokers")
	expect(t, found(t, report.Findings, CheckClock, "controller"), OK, "agree within")
	if f := found(t, report.Findings, CheckDisk, "broker 1"); f.Severity == Skipped {
		t.Errorf("%+v", f)
	}
	ahead, within, err := l.Clock(t.Context())
	if err != nil || within <= 0 || ahead.Abs() > within+100*time.Millisecond { // one machine, one clock
		t.Errorf("%s, within %s, %v", ahead, within, err)
	}
}

// TestDelayedEventsThatExpireAreFound writes one that is six days past its time in its topic, with nobody there.
func TestDelayedEventsThatExpireAreFound(t *testing.T) {
	l := prepared(t)
	keeper := delay.New(delay.Config{Log: l, Partitions: 1, Logger: bustest.Logger(t)})
	if err := keeper.Ready(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	look := func() Report {
		report, err := Cluster(t.Context(), Target{Log: l, Embedded: true})
		if err != nil {
			t.Fatal(err)
		}
		return report
	}
	expect(t, found(t, look().Findings, CheckExpiry, "delayed events"), OK, "none")
	r := keeper.Record(delay.Entry{ID: "one", Due: time.Now(), Since: time.Now()})
	r.Time = time.Now().Add(-6*24*time.Hour - 5*time.Minute)
	if _, err := l.Write(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	expect(t, found(t, look().Findings, CheckExpiry, "_autobus.delay.due"), Problem,
		"nobody works on 1 delayed event in it")
}

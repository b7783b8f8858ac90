// SPDX-License-Identifier: Apache-2.0

package bus_test

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/bus"
	"github.com/autobus-io/autobus/internal/control"
	"github.com/autobus-io/autobus/internal/kafka"
)

func real(c *bus.Config, _ *kafka.Config) { c.Embedded = false }

func (f *fixture) status(name string) bus.RouteStatus {
	for _, r := range f.Status().Routes {
		if r.Type == name {
			return r
		}
	}
	return bus.RouteStatus{}
}

// The topic has one copy: enough for best-effort, too weak for anything else. The other types go on.
func TestAWeakTopicIsRefused(t *testing.T) {
	f := open(t, real)
	r := control.Route{Type: orders, Cluster: "main", Topic: orders, Partitions: 4, Hash: kafka.Murmur2, Epoch: 1,
		MaxEventBytes: autobus.MaxEventBytes}
	f.pin(t, r)
	if rc := f.one(t, order("a", "1")); rc.Status != autobus.Refused || reason(rc) != autobus.ReasonNotDurable {
		t.Errorf("receipt %+v", rc)
	}
	if st := f.status(orders); st.Refused != autobus.ReasonNotDurable || st.Detail == "" {
		t.Errorf("status %+v", st)
	}
	if rc := f.one(t, autobus.Event{Type: notes, Data: []byte(`{}`)}); rc.Status != autobus.Written {
		t.Errorf("the other type: %+v", rc)
	}
	r.BestEffort = true
	f.pin(t, r)
	if rc := f.one(t, order("a", "1")); rc.Status != autobus.Written {
		t.Errorf("as best-effort: %+v", rc)
	}
}

func TestARouteThatDisagreesWithItsTopicIsClosed(t *testing.T) {
	f := open(t)
	f.pin(t, control.Route{Type: orders, Cluster: "main", Topic: orders, Partitions: 5, Hash: kafka.Murmur2, Epoch: 2,
		MaxEventBytes: autobus.MaxEventBytes})
	if rc := f.one(t, order("a", "1")); rc.Status != autobus.Refused || reason(rc) != autobus.ReasonRouteMismatch {
		t.Errorf("another partition count: %+v", rc)
	}
	f.pin(t, control.Route{Type: orders, Cluster: "main", Topic: "nowhere", Partitions: 4, Hash: kafka.Murmur2, Epoch: 3,
		MaxEventBytes: autobus.MaxEventBytes})
	if rc := f.one(t, order("a", "1")); rc.Status != autobus.Refused || reason(rc) != autobus.ReasonRouteMismatch {
		t.Errorf("no topic: %+v", rc)
	}
}

func TestARouteOfANewerVersionIsRefusedNotGuessed(t *testing.T) {
	f := open(t)
	current, _ := f.control.Get(control.KindRoute, orders)
	rec, err := control.NewRecord(control.KindRoute, orders, current.Offset, map[string]any{"shards": 4})
	if err != nil {
		t.Fatal(err)
	}
	rec.Version = control.Version + 1
	if _, err := f.control.Change(t.Context(), rec); err != nil {
		t.Fatal(err)
	}
	if rc := f.one(t, order("a", "1")); rc.Status != autobus.Refused || reason(rc) != autobus.ReasonTypeUnreadable {
		t.Errorf("receipt %+v", rc)
	}
}

func TestTheEpochOfTheRouteStandsInTheRecord(t *testing.T) {
	f := open(t)
	f.pin(t, control.Route{Type: orders, Cluster: "main", Topic: orders, Partitions: 4, Hash: kafka.Murmur2, Epoch: 42,
		MaxEventBytes: 60})
	f.one(t, order("a", "1"))
	for _, h := range f.records(t, orders)[0].Headers {
		if h.Key == "autobus-epoch" && string(h.Value) != "42" {
			t.Errorf("epoch %s", h.Value)
		}
	}
	if rc := f.one(t, order("a", "1.000000000000000000000000000000000000000000000001")); reason(rc) !=
		autobus.ReasonEventTooLarge {
		t.Errorf("over the route's limit: %+v", rc)
	}
}

// Somebody deletes a topic under a type's feet: the first event that meets it is unknown, the next one is refused, long
// before the next minute's check. When the topic is back, so is the type.
func TestADeletedTopicIsNoticedByTheFirstAppend(t *testing.T) {
	f := open(t)
	f.one(t, order("a", "1"))
	client, err := kgo.NewClient(kgo.SeedBrokers(f.broker.Addr()))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if _, err := kadm.NewClient(client).DeleteTopic(t.Context(), orders); err != nil {
		t.Fatal(err)
	}
	if rc := f.one(t, order("a", "2")); rc.Status != autobus.Unknown {
		t.Errorf("the first event: %+v", rc)
	}
	if rc := f.one(t, order("a", "3")); rc.Status != autobus.Refused || reason(rc) != autobus.ReasonRouteMismatch {
		t.Errorf("the next event: %+v", rc)
	}
	f.route(t, orders, 4, true)
	if rc := f.one(t, order("a", "4")); rc.Status != autobus.Written {
		t.Errorf("with the topic back: %+v", rc)
	}
}

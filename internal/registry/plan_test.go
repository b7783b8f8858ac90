// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"errors"
	"maps"
	"reflect"
	"strings"
	"testing"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/control"
	"github.com/autobus-io/autobus/internal/kafka"
	"github.com/autobus-io/autobus/spec"
)

const typeName = "orders.order.placed.v1"

func aType(change ...func(*spec.Type)) *spec.Type {
	t := &spec.Type{
		Name: typeName, File: "placed.yaml", Configs: map[string]string{}, MaxEventBytes: autobus.MaxEventBytes,
		Partitioner: "murmur2",
	}
	for _, f := range change {
		f(t)
	}
	return t
}

func aRoute(change ...func(*control.Route)) route {
	r := route{prev: 7, exists: true, Route: control.Route{
		Type: typeName, Cluster: "main", Topic: typeName, Partitions: 6, Hash: "murmur2", Order: "key", Epoch: 1,
		MaxEventBytes: autobus.MaxEventBytes,
	}}
	for _, f := range change {
		f(&r.Route)
	}
	return r
}

func aTopic(partitions int32, replicas int, configs map[string]string) kafka.Topic {
	all := map[string]string{minISRKey: "2", "unclean.leader.election.enable": "false", "retention.ms": defaultRetention,
		"cleanup.policy": "delete", "max.message.bytes": "1048588"}
	maps.Copy(all, configs)
	return kafka.Topic{Name: typeName, Partitions: partitions, Replicas: replicas, Configs: all}
}

// aWorld has three brokers and what the arguments say.
func aWorld(topic *kafka.Topic, have *route, change ...func(*world)) *world {
	w := &world{cluster: "main", brokers: 3, topics: map[string]kafka.Topic{}, routes: map[string]route{}}
	w.routes[typeName] = route{prev: control.None}
	if topic != nil {
		w.topics[topic.Name] = *topic
	}
	if have != nil {
		w.routes[typeName] = *have
	}
	for _, f := range change {
		f(w)
	}
	return w
}

func safe(more map[string]string) map[string]string {
	c := map[string]string{minISRKey: "2", "unclean.leader.election.enable": "false", "retention.ms": defaultRetention}
	maps.Copy(c, more)
	return c
}

func TestPlanOfOneType(t *testing.T) {
	six, routed := aTopic(6, 3, nil), aRoute()
	partitions := func(n int32) func(*spec.Type) { return func(t *spec.Type) { t.Partitions = n } }
	setting := func(k, v string) func(*spec.Type) { return func(t *spec.Type) { t.Configs[k] = v } }
	created := func(n int32, replicas int, configs map[string]string) []kafka.NewTopic {
		return []kafka.NewTopic{{Name: typeName, Partitions: n, Replicas: replicas, Configs: configs}}
	}
	fresh := func(change ...func(*control.Route)) []route {
		r := aRoute(change...)
		r.prev = control.None
		return []route{r}
	}
	count := func(n int32) func(*control.Route) { return func(r *control.Route) { r.Partitions = n } }
	for _, tc := range []struct {
		name  string
		world *world
		spec  *spec.Type
		want  plan
	}{
		{"new, silent spec", aWorld(nil, nil), aType(), plan{create: created(6, 3, safe(nil)), routes: fresh()}},
		{"new, spec says all", aWorld(nil, nil),
			aType(partitions(12), setting("retention.ms", "1000"), setting("max.message.bytes", "262144"),
				func(t *spec.Type) { t.Replicas, t.Unordered, t.Partitioner = 2, true, "sarama" }),
			plan{
				create: created(12, 2, safe(map[string]string{"retention.ms": "1000", "max.message.bytes": "262144"})),
				routes: fresh(count(12), func(r *control.Route) {
					r.Hash, r.Order, r.MaxEventBytes = "sarama", "none", 262144-autobus.RecordOverhead
				}),
			}},
		{"compacted topics keep their records", aWorld(nil, nil), aType(setting("cleanup.policy", "compact")),
			plan{create: created(6, 3, map[string]string{minISRKey: "2", "unclean.leader.election.enable": "false",
				"cleanup.policy": "compact"}), routes: fresh()}},
		{"dev", aWorld(nil, nil, func(w *world) { w.dev = true }), aType(),
			plan{create: created(1, 3, safe(nil)), routes: fresh(count(1))}},
		{"embedded", aWorld(nil, nil, func(w *world) { w.embedded, w.brokers = true, 1 }),
			aType(partitions(12), setting(minISRKey, "2"), func(t *spec.Type) { t.Replicas = 3 }),
			plan{create: created(12, 1, safe(map[string]string{minISRKey: "1"})), routes: fresh(count(12))}},
		{"too few brokers is no secret", aWorld(nil, nil, func(w *world) { w.brokers = 2 }), aType(),
			plan{create: created(6, 2, safe(nil)), routes: fresh(), drift: []Drift{{typeName, "replicas", "3", "2"}}}},
		{"best effort is asked for", aWorld(nil, nil),
			aType(func(t *spec.Type) { t.BestEffort, t.Replicas = true, 1 }),
			plan{create: created(6, 1, safe(map[string]string{minISRKey: "1"})),
				routes: fresh(func(r *control.Route) { r.BestEffort = true })}},
		{"all is as it should be", aWorld(&six, &routed), aType(partitions(6), setting("cleanup.policy", "delete")), plan{}},
		{"silent spec keeps what is there", aWorld(new(aTopic(12, 3, nil)), new(aRoute(count(12)))), aType(), plan{}},
		{"adopted by its count", aWorld(new(aTopic(12, 3, nil)), nil), aType(partitions(12)),
			plan{routes: fresh(count(12))}},
		{"a small topic limits its events", aWorld(new(aTopic(6, 3, map[string]string{"max.message.bytes": "10000"})), nil),
			aType(), plan{routes: fresh(func(r *control.Route) { r.MaxEventBytes = 10000 - autobus.RecordOverhead }),
				drift: []Drift{{typeName, limitKey, "1001024", "10000"}}}},
		{"a limit that a route took over is still not the spec's", aWorld(
			new(aTopic(6, 3, map[string]string{"max.message.bytes": "10000"})),
			new(aRoute(func(r *control.Route) { r.MaxEventBytes = 10000 - autobus.RecordOverhead }))), aType(),
			plan{drift: []Drift{{typeName, limitKey, "1001024", "10000"}}}},
		{"raised limits reach the route at once", aWorld(new(aTopic(6, 3, map[string]string{"max.message.bytes": "10000"})),
			new(aRoute(func(r *control.Route) { r.MaxEventBytes = 10000 - autobus.RecordOverhead }))),
			aType(setting("max.message.bytes", "20000")), plan{
				alter:  []Alteration{{typeName, "max.message.bytes", "10000", "20000"}},
				routes: []route{aRoute(func(r *control.Route) { r.MaxEventBytes = 20000 - autobus.RecordOverhead })},
			}},
		{"only named settings are altered", aWorld(new(aTopic(6, 3, map[string]string{"retention.ms": "5",
			"segment.ms": "9"})), &routed), aType(setting("segment.ms", "10")),
			plan{alter: []Alteration{{typeName, "segment.ms", "9", "10"}}}},
		{"the order of a list says nothing", aWorld(new(aTopic(6, 3, map[string]string{"cleanup.policy": "delete,compact"})),
			&routed), aType(setting("cleanup.policy", "compact, delete")), plan{}},
		{"numbers have many forms", aWorld(new(aTopic(6, 3, map[string]string{"min.cleanable.dirty.ratio": "0.1"})),
			&routed), aType(setting("min.cleanable.dirty.ratio", "0.10")), plan{}},
		{"min ISR never over the replicas", aWorld(new(aTopic(6, 1, map[string]string{minISRKey: "1"})), &routed),
			aType(setting(minISRKey, "2")), plan{drift: []Drift{{typeName, "replicas", "3", "1"}}}},
		{"somebody changed the count", aWorld(new(aTopic(8, 3, nil)), &routed), aType(partitions(6)),
			plan{drift: []Drift{{typeName, "partitions", "6", "8"}}}},
		{"limits, durability and order change a route", aWorld(&six, &routed), aType(func(t *spec.Type) {
			t.MaxEventBytes, t.BestEffort, t.Unordered = 500, true, true
		}), plan{routes: []route{aRoute(func(r *control.Route) {
			r.MaxEventBytes, r.BestEffort, r.Order = 500, true, "none"
		})}}},
		{"epoch, cluster and topic stay the route's", aWorld(
			new(func() kafka.Topic { t := aTopic(6, 3, nil); t.Name = "moved"; return t }()),
			new(aRoute(func(r *control.Route) { r.Epoch, r.Cluster, r.Topic = 5, "b", "moved" }))), aType(), plan{}},
		{"a spec takes an unspecified type over", aWorld(new(aTopic(1, 3, nil)),
			new(aRoute(count(1), func(r *control.Route) { r.Unspecified, r.BestEffort = true, true }))), aType(),
			plan{routes: []route{aRoute(count(1))}}},
		{"a topic that is gone is made again as the route says", aWorld(nil, new(aRoute(count(3)))), aType(),
			plan{create: created(3, 3, safe(nil))}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var got plan
			if fault, ok := tc.world.planType(tc.spec, &got); !ok {
				t.Fatalf("refused: %s (%s)", fault.Message, fault.Hint)
			}
			if !reflect.DeepEqual(got, tc.want) {
				t.Errorf("plan\n%+v, want\n%+v", got, tc.want)
			}
		})
	}
}

// A fault of the plan points at the line that asks for what cannot be.
func TestPlanFaultsHaveLines(t *testing.T) {
	files := spec.Files{"a.yaml": specFile("order", "1.0.0", "\n        partitions: 12")}
	snapshot, err := spec.Parse(files)
	if err != nil {
		t.Fatal(err)
	}
	partitions, _ := snapshot.Type(typeName)
	for _, tc := range []struct {
		name  string
		world *world
		line  int
	}{
		{"a foreign topic of another count", aWorld(new(aTopic(8, 3, nil)), nil), 10},
		{"another count than the route's", aWorld(nil, new(aRoute())), 10},
		{"another hash", aWorld(nil, new(aRoute(func(r *control.Route) { r.Hash, r.Partitions = "sarama", 12 }))), 7},
	} {
		_, err := makePlan(tc.world, &bundle{snapshot: snapshot})
		ps, ok := errors.AsType[spec.Problems](err)
		if !ok || len(ps) != 1 || ps[0].File != partitions.File || ps[0].Line != tc.line {
			t.Errorf("%s: %v, want line %d", tc.name, err, tc.line)
		}
	}
}

func TestPlanRefuses(t *testing.T) {
	six, routed := aTopic(6, 3, nil), aRoute()
	for _, tc := range []struct {
		name  string
		world *world
		spec  *spec.Type
		hint  string
	}{
		{"another count than the route's", aWorld(&six, &routed),
			aType(func(t *spec.Type) { t.Partitions = 12 }), "partitions: 6"},
		{"another count, even when the topic has it", aWorld(new(aTopic(12, 3, nil)), &routed),
			aType(func(t *spec.Type) { t.Partitions = 12 }), "partitions: 6"},
		{"a foreign topic of another count", aWorld(new(aTopic(8, 3, nil)), nil),
			aType(func(t *spec.Type) { t.Partitions = 12 }), "partitions: 8"},
		{"a foreign topic and a silent spec", aWorld(new(aTopic(8, 3, nil)), nil), aType(), "partitions: 8"},
		{"another hash", aWorld(&six, &routed), aType(func(t *spec.Type) { t.Partitioner = "sarama" }),
			"x-partitioner: murmur2"},
		{"a route of a newer build", aWorld(&six, &route{exists: true, err: autobus.NewError(
			autobus.ReasonTypeUnreadable, "version 2")}), aType(), "newest version"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var p plan
			fault, ok := tc.world.planType(tc.spec, &p)
			if ok || !strings.Contains(fault.Hint, tc.hint) || fault.Message == "" {
				t.Errorf("fault %+v, ok %v; want a hint with %q", fault, ok, tc.hint)
			}
			if !reflect.DeepEqual(p, plan{}) {
				t.Errorf("a refused type left a plan behind: %+v", p)
			}
		})
	}
}

// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"fmt"
	"maps"
	"slices"
	"strconv"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/control"
	"github.com/autobus-io/autobus/internal/kafka"
	"github.com/autobus-io/autobus/spec"
)

// What a type gets whose spec does not say.
const (
	defaultPartitions = 6
	defaultReplicas   = 3
	defaultMinISR     = 2
	defaultRetention  = "604800000" // 7 days, in milliseconds
)

const (
	minISRKey = "min.insync.replicas"
	limitKey  = "max.message.bytes"
)

// world is everything that a plan depends on.
type world struct {
	cluster  string
	brokers  int
	embedded bool
	dev      bool
	topics   map[string]kafka.Topic
	routes   map[string]route // by type
	specs    map[string]int64 // hash -> Prev of a spec record that is not there
	prev     int64            // of the manifest
	hash     string           // of the bundle that the manifest lists
	newer    error            // a newer build wrote the manifest
}

// route is a route record: the Prev that a change has to name, and the value if there is one.
type route struct {
	prev   int64
	exists bool
	err    error // a newer build wrote it
	control.Route
}

// plan is what to do so that a bundle can come into force.
type plan struct {
	create []kafka.NewTopic
	alter  []Alteration
	drift  []Drift
	routes []route  // with the new value
	specs  []string // hashes of the records to write
	swap   bool
}

// makePlan compares a bundle with the world. Its error is spec.Problems: then nothing at all is to be done.
func makePlan(w *world, b *bundle) (*plan, error) {
	if w.newer != nil { // what it says would be lost, and newer instances would go by this
		return nil, spec.Problems{{Message: w.newer.Error(), Hint: "Push with the newest version."}}
	}
	p := &plan{swap: w.prev == control.None || w.hash != b.hash}
	var faults spec.Problems
	for _, t := range b.snapshot.Types() {
		if fault, ok := w.planType(t, p); !ok {
			if fault.File == "" {
				fault.File, fault.Line = t.File, t.Line
			}
			faults = append(faults, fault)
		}
	}
	if len(faults) > 0 {
		return nil, faults
	}
	for hash := range w.specs {
		p.specs = append(p.specs, hash)
	}
	slices.Sort(p.specs)
	return p, nil
}

// planType adds what one type needs; not ok: the type cannot come into force like this.
func (w *world) planType(t *spec.Type, p *plan) (fault spec.Problem, ok bool) {
	r := w.routes[t.Name]
	if r.err != nil {
		return spec.Problem{Message: fmt.Sprintf("%s: %v", t.Name, r.err), Hint: "Push with the newest version."}, false
	}
	name, count := t.Name, w.partitions(t, r)
	if r.exists {
		name = r.Topic
	}
	topic, exists := w.topics[name]
	if fault, ok := pinned(t, r, topic, exists, count); !ok {
		return fault, false
	}
	settings := map[string]string{} // as they will be when the route comes into force
	if exists {
		w.compare(t, topic, r, p)
		maps.Copy(settings, topic.Configs)
		maps.Copy(settings, cut(t.Configs, topic.Replicas))
	} else {
		n := w.newTopic(t, name, count)
		if want := replicas(t); n.Replicas < want && !w.embedded {
			p.drift = append(p.drift, Drift{name, "replicas", strconv.Itoa(want), strconv.Itoa(n.Replicas)})
		}
		p.create = append(p.create, n)
		settings = n.Configs
	}
	limit := kafka.Topic{Configs: settings}.MaxMessageBytes()
	want := w.route(t, r, name, count, limit)
	if !r.exists || want.Route != r.Route {
		p.routes = append(p.routes, want)
	}
	if _, meant := t.Configs[limitKey]; !meant && want.MaxEventBytes < largest(t) {
		p.drift = append(p.drift, Drift{name, limitKey, strconv.Itoa(largest(t) + autobus.RecordOverhead),
			strconv.Itoa(int(limit))})
	}
	return spec.Problem{}, true
}

// pinned holds a spec against what cannot change any more: how keys are spread over partitions.
func pinned(t *spec.Type, r route, topic kafka.Topic, exists bool, count int32) (spec.Problem, bool) {
	switch {
	case r.exists && count != r.Partitions:
		return spec.Problem{File: t.PartitionsAt.File, Line: t.PartitionsAt.Line,
			Message: fmt.Sprintf("%s has %d partitions, the spec says %d; changing the count would break the order of keys",
				t.Name, r.Partitions, count),
			Hint: fmt.Sprintf("Write partitions: %d, or make a new major version.", r.Partitions)}, false
	case r.exists && partitioner(t) != r.Route.Hash:
		return spec.Problem{
			Message: fmt.Sprintf("%s spreads keys by %s, the spec says %s; changing it would break the order of keys",
				t.Name, r.Route.Hash, partitioner(t)),
			Hint: fmt.Sprintf("Write x-partitioner: %s, or make a new major version.", r.Route.Hash)}, false
	case !r.exists && exists && count != topic.Partitions:
		return spec.Problem{File: t.PartitionsAt.File, Line: t.PartitionsAt.Line,
			Message: fmt.Sprintf("topic %s exists with %d partitions, the spec asks for %d", t.Name, topic.Partitions, count),
			Hint: fmt.Sprintf("To take the topic over as it is, write partitions: %d into the channel's Kafka binding.",
				topic.Partitions)}, false
	}
	return spec.Problem{}, true
}

// compare finds settings that differ from the spec: those it names are set, what cannot be set is drift.
func (w *world) compare(t *spec.Type, topic kafka.Topic, r route, p *plan) {
	wanted := cut(t.Configs, topic.Replicas)
	for _, key := range slices.Sorted(maps.Keys(wanted)) {
		if got := topic.Configs[key]; !sameSetting(key, got, wanted[key]) {
			p.alter = append(p.alter, Alteration{topic.Name, key, got, wanted[key]})
		}
	}
	if want := replicas(t); topic.Replicas < want && !w.embedded {
		p.drift = append(p.drift, Drift{topic.Name, "replicas", strconv.Itoa(want), strconv.Itoa(topic.Replicas)})
	}
	if r.exists && topic.Partitions != r.Partitions {
		p.drift = append(p.drift, Drift{topic.Name, "partitions", strconv.Itoa(int(r.Partitions)),
			strconv.Itoa(int(topic.Partitions))})
	}
}

func (w *world) newTopic(t *spec.Type, name string, count int32) kafka.NewTopic {
	n := kafka.NewTopic{Name: name, Partitions: count, Replicas: min(replicas(t), w.brokers), Configs: map[string]string{
		minISRKey:                        strconv.Itoa(defaultMinISR),
		"unclean.leader.election.enable": "false",
	}}
	if w.embedded {
		n.Replicas = 1
	}
	if t.Configs["cleanup.policy"] != "compact" {
		n.Configs["retention.ms"] = defaultRetention
	}
	maps.Copy(n.Configs, t.Configs)
	n.Configs = cut(n.Configs, n.Replicas)
	return n
}

// cut makes a topic writable that has fewer replicas than its settings ask for. The bus still sees that it is weak.
func cut(configs map[string]string, replicas int) map[string]string {
	minISR, err := strconv.Atoi(configs[minISRKey])
	if err != nil || minISR <= replicas {
		return configs
	}
	configs = maps.Clone(configs)
	configs[minISRKey] = strconv.Itoa(max(replicas, 1))
	return configs
}

func (w *world) route(t *spec.Type, r route, topic string, count, maxBatch int32) route {
	want := r
	if !r.exists {
		want.Route = control.Route{
			Type: t.Name, Cluster: w.cluster, Topic: topic, Partitions: count, Hash: partitioner(t), Epoch: 1,
		}
	}
	want.exists = true
	want.Order = control.OrderKey
	if t.Unordered {
		want.Order = control.OrderNone
	}
	// An event that the topic would refuse is refused before it is sent, where it can still say why.
	want.MaxEventBytes = max(1, min(largest(t), int(maxBatch)-autobus.RecordOverhead))
	want.BestEffort, want.Unspecified = t.BestEffort, false
	return want
}

// largest is how large an event may be by its spec.
func largest(t *spec.Type) int {
	if t.MaxEventBytes > 0 {
		return min(t.MaxEventBytes, autobus.MaxEventBytes)
	}
	return autobus.MaxEventBytes
}

func (w *world) partitions(t *spec.Type, r route) int32 {
	switch {
	case t.Partitions > 0:
		return t.Partitions
	case r.exists:
		return r.Partitions
	case w.embedded, w.dev:
		return 1
	}
	return defaultPartitions
}

func replicas(t *spec.Type) int {
	if t.Replicas > 0 {
		return t.Replicas
	}
	return defaultReplicas
}

func partitioner(t *spec.Type) string {
	if t.Partitioner == "" {
		return "murmur2"
	}
	return t.Partitioner
}

// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/control"
	"github.com/autobus-io/autobus/internal/kafka"
)

// finding is one line of the report. Level is ok, warn or lacks; only lacks is an exit status.
type finding struct {
	Level  string `json:"level"`
	Check  string `json:"check"`
	Detail string `json:"detail"`
	Fix    string `json:"fix,omitempty"`
}

const (
	levelOK    = "ok"
	levelWarn  = "warn"
	levelLacks = "lacks"
)

func checkBrokers(about kafka.Cluster) finding {
	f := finding{levelOK, "brokers", fmt.Sprintf("%d reachable", len(about.Brokers)), ""}
	racks := map[string]bool{}
	for _, b := range about.Brokers {
		racks[b.Rack] = true
	}
	if len(about.Brokers) < wantedReplicas {
		f.Level = levelLacks
		f.Detail += fmt.Sprintf(", %d are needed for 3 copies", wantedReplicas)
		f.Fix = "add brokers; until then only types with x-durability: best-effort can be published"
	} else if len(racks) > 1 {
		f.Detail += fmt.Sprintf(" in %d racks", len(racks))
	}
	return f
}

func checkControlTopic(topics map[string]kafka.Topic, brokers int, configFile string) finding {
	t, ok := topics[control.Topic]
	if made := control.MadeByBus(topics); !ok && len(made) > 0 {
		return finding{levelLacks, "control log", "there is none, but there are topics such as " + made[0],
			"restore it from its backup; where it never was there, autobus cluster init --adopt --config " + configFile}
	}
	if !ok {
		return finding{levelLacks, "control log", "there is none", "autobus cluster init --config " + configFile}
	}
	if t.Err != nil {
		return finding{levelLacks, "control log", t.Err.Error(), "let the bus describe the topic and its settings"}
	}
	var lacks, fixes []string
	if t.Partitions != 1 {
		lacks = append(lacks, fmt.Sprintf("%d partitions instead of 1", t.Partitions))
		fixes = append(fixes, "restore it from its backup")
	}
	if t.Replicas < wantedReplicas {
		lacks = append(lacks, copies(t.Replicas))
		fixes = append(fixes, "raise its replication to 3 with kafka-reassign-partitions")
	}
	if t.MinISR() < 2 && brokers >= wantedReplicas {
		lacks = append(lacks, fmt.Sprintf("min.insync.replicas=%d", t.MinISR()))
		fixes = append(fixes, "set min.insync.replicas=2")
	}
	if t.Unclean() {
		lacks = append(lacks, "unclean leader election")
		fixes = append(fixes, "set unclean.leader.election.enable=false")
	}
	if p := t.Configs["cleanup.policy"]; p != "" && p != "delete" {
		lacks = append(lacks, "cleanup.policy="+p)
		fixes = append(fixes, "set cleanup.policy=delete at once, then check that nothing was compacted away")
	}
	for _, key := range []string{"retention.ms", "retention.bytes"} {
		if v := t.Configs[key]; v != "" && v != "-1" {
			lacks = append(lacks, key+"="+v)
			fixes = append(fixes, "set "+key+"=-1")
		}
	}
	if len(lacks) == 0 {
		return finding{levelOK, "control log", fmt.Sprintf("%s, kept for ever", copies(t.Replicas)), ""}
	}
	return finding{levelLacks, "control log", strings.Join(lacks, ", "), strings.Join(fixes, "; ")}
}

// checkTopics holds every topic of a type against what the bus promises of it.
func checkTopics(topics map[string]kafka.Topic, routes map[string]control.Route) []finding {
	var out []finding
	for _, name := range slices.Sorted(maps.Keys(topics)) {
		route, routed := routes[name]
		if !routed && !autobus.ValidType(name) {
			continue
		}
		if !routed {
			out = append(out, finding{levelWarn, "topic " + name, "is named like a type, but no route leads there",
				"push its spec, or leave it to those who use it without the bus"})
			continue
		}
		out = append(out, checkTopic(topics[name], route))
	}
	return out
}

func checkTopic(t kafka.Topic, route control.Route) finding {
	f := finding{levelOK, "type " + route.Type, "", ""}
	if t.Err != nil {
		return finding{levelLacks, f.Check, t.Err.Error(), "let the bus describe the topic and its settings"}
	}
	f.Detail = fmt.Sprintf("%s, min.insync.replicas=%d", copies(t.Replicas), t.MinISR())
	var lacks, fixes []string
	if t.Partitions != route.Partitions {
		lacks = append(lacks, fmt.Sprintf("%d partitions, its route says %d", t.Partitions, route.Partitions))
		fixes = append(fixes, "somebody changed the topic outside the bus; events of one key are no longer in one place")
	}
	if limit := int(t.MaxMessageBytes()); limit < route.MaxEventBytes {
		lacks = append(lacks, fmt.Sprintf("max.message.bytes=%d is below the type's limit %d", limit, route.MaxEventBytes))
		fixes = append(fixes, "raise max.message.bytes to at least "+
			strconv.Itoa(route.MaxEventBytes+autobus.RecordOverhead))
	}
	if !route.BestEffort {
		if t.Replicas < wantedReplicas {
			lacks = append(lacks, copies(t.Replicas))
			fixes = append(fixes, "raise its replication to 3 with kafka-reassign-partitions")
		}
		if t.MinISR() < 2 {
			lacks = append(lacks, fmt.Sprintf("min.insync.replicas=%d", t.MinISR()))
			fixes = append(fixes, "set min.insync.replicas=2")
		}
		if t.Unclean() {
			lacks = append(lacks, "unclean leader election")
			fixes = append(fixes, "set unclean.leader.election.enable=false")
		}
	} else {
		f.Detail += ", best effort"
	}
	if len(lacks) > 0 {
		return finding{levelLacks, f.Check, strings.Join(lacks, ", "), strings.Join(fixes, "; ")}
	}
	return f
}

// idleGroupDays is the least time Kafka should remember the positions of a group that is not there.
const idleGroupDays = 7

// checkSettings looks at the settings of a broker that can break a promise silently. One that the cluster does not
// tell is left out.
func checkSettings(id int32, s map[string]string) []finding {
	name := func(key string) string { return fmt.Sprintf("broker %d %s", id, key) }
	var out []finding
	if v, ok := s["auto.create.topics.enable"]; ok {
		f := finding{levelOK, name("auto.create.topics.enable"), v, ""}
		if v == "true" {
			f.Level, f.Fix = levelLacks, "set it to false: a typing error in any client makes a topic that no spec describes"
		}
		out = append(out, f)
	}
	if v, ok := s["unclean.leader.election.enable"]; ok && v == "true" {
		out = append(out, finding{levelWarn, name("unclean.leader.election.enable"), v,
			"set it to false: topics made outside the bus lose acknowledged records"})
	}
	if v, err := strconv.Atoi(s["offsets.retention.minutes"]); err == nil {
		f := finding{levelOK, name("offsets.retention.minutes"), fmt.Sprintf("%d (%d days)", v, v/(24*60)), ""}
		if v < idleGroupDays*24*60 {
			f.Level, f.Fix = levelWarn, fmt.Sprintf("raise it to %d: positions of idle readers are forgotten",
				idleGroupDays*24*60)
		}
		out = append(out, f)
	}
	if v, err := strconv.Atoi(s["replica.lag.time.max.ms"]); err == nil {
		f := finding{levelOK, name("replica.lag.time.max.ms"), (time.Duration(v) * time.Millisecond).String(), ""}
		if v > 15_000 {
			f.Level, f.Fix = levelWarn,
				"10000 is better: for so long does a hanging replica hold up every publish, and 15 s is their deadline"
		}
		out = append(out, f)
	}
	return out
}

func copies(n int) string {
	if n == 1 {
		return "1 copy"
	}
	return strconv.Itoa(n) + " copies"
}

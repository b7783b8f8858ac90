// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/control"
	"github.com/autobus-io/autobus/internal/kafka"
)

const describeFix = "let the bus describe the topic and its settings"

func (l *list) controlTopic(t Target, topics map[string]kafka.Topic, brokers int) {
	topic, ok := topics[control.Topic]
	switch made := control.MadeByBus(topics); {
	case !ok && len(made) > 0:
		l.add(Problem, CheckControl, control.Topic, "there is none, but there are topics such as "+made[0],
			"restore it from its backup; where it never was there, "+t.Init+" --adopt")
		return
	case !ok:
		l.add(Problem, CheckControl, control.Topic, "there is none", t.Init)
		return
	case topic.Err != nil:
		l.add(Problem, CheckControl, control.Topic, topic.Err.Error(), describeFix)
		return
	}
	var w worst
	if topic.Partitions != 1 {
		w.add(Problem, fmt.Sprintf("%d partitions instead of 1", topic.Partitions), "restore it from its backup")
	}
	w.safe(t, topic, brokers)
	if p := topic.Configs["cleanup.policy"]; p != "" && p != "delete" {
		w.add(Problem, "cleanup.policy="+p, "set cleanup.policy=delete at once, then check that nothing was compacted away")
	}
	for _, key := range []string{"retention.ms", "retention.bytes"} {
		if v := topic.Configs[key]; v != "" && v != "-1" {
			w.add(Problem, key+"="+v, "set "+key+"=-1")
		}
	}
	*l = append(*l, w.finding(CheckControl, control.Topic, copies(topic.Replicas)+", kept for ever"))
}

// stateTopic looks at the copies of positions. The topic is made on first use.
func (l *list) stateTopic(t Target, topics map[string]kafka.Topic, brokers int) {
	topic, ok := topics[control.StateTopic]
	if !ok {
		l.ok(CheckTopics, control.StateTopic, "not there yet: the first instance makes it")
		return
	}
	if topic.Err != nil {
		l.add(Problem, CheckTopics, control.StateTopic, topic.Err.Error(), describeFix)
		return
	}
	var w worst
	if topic.Partitions != 1 {
		w.add(Problem, fmt.Sprintf("%d partitions instead of 1", topic.Partitions),
			"delete the topic while no instance runs; it is made anew, which costs repeated work")
	}
	if p := topic.Configs["cleanup.policy"]; p != "" && p != "compact" {
		w.add(Problem, "cleanup.policy="+p+": positions of idle subscriptions expire", "set cleanup.policy=compact")
	}
	w.holds(topic, autobus.MaxEventBytes+autobus.InternalTopicExtra)
	w.safe(t, topic, brokers)
	*l = append(*l, w.finding(CheckTopics, control.StateTopic, copies(topic.Replicas)+", compacted"))
}

// types holds every topic of a type against what its route says and what the bus promises of it.
func (l *list) types(t Target, topics map[string]kafka.Topic, routes map[string]control.Route) {
	for _, name := range sorted(routes) {
		if _, ok := topics[name]; !ok {
			r := routes[name]
			l.add(Problem, CheckTopics, "type "+r.Type, "its topic "+name+" does not exist",
				"create it with "+strconv.Itoa(int(r.Partitions))+" partitions, or restore it")
		}
	}
	for _, name := range sorted(topics) {
		route, routed := routes[name]
		switch {
		case routed:
			*l = append(*l, typeTopic(t, topics[name], route))
		case autobus.ValidType(name):
			l.add(Warning, CheckTopics, "topic "+name, "is named like a type, but no route leads there",
				"push its spec, or leave it to those who use it without the bus")
		}
	}
}

func typeTopic(t Target, topic kafka.Topic, route control.Route) Finding {
	where := "type " + route.Type
	if topic.Err != nil {
		return Finding{Problem, CheckTopics, where, topic.Err.Error(), describeFix}
	}
	var w worst
	if topic.Partitions != route.Partitions {
		w.add(Problem, fmt.Sprintf("%d partitions, its route says %d", topic.Partitions, route.Partitions),
			"somebody changed the topic outside the bus, and Kafka takes no partition back: make a new major version of the "+
				"type")
	}
	w.holds(topic, route.MaxEventBytes)
	w.timestamps(topic)
	ok := fmt.Sprintf("%s, min.insync.replicas=%d", copies(topic.Replicas), topic.MinISR())
	if route.BestEffort || t.Embedded {
		ok += ", best effort"
	} else {
		w.durable(topic)
	}
	return w.finding(CheckTopics, where, ok)
}

// deadLetters looks at the topics of events that were given up.
func (l *list) deadLetters(t Target, topics map[string]kafka.Topic) {
	for _, name := range sorted(topics) {
		if !strings.HasPrefix(name, "dlq.") {
			continue
		}
		topic := topics[name]
		if topic.Err != nil {
			l.add(Problem, CheckTopics, name, topic.Err.Error(), describeFix)
			continue
		}
		var w worst
		if p := topic.Configs["cleanup.policy"]; p != "" && p != "delete" {
			w.add(Problem, "cleanup.policy="+p+": of dead letters with one key only the last stays",
				"set cleanup.policy=delete")
		}
		w.keeps(Warning, topic, letterRetention, "dead letters")
		w.holds(topic, autobus.MaxEventBytes+autobus.InternalTopicExtra)
		w.safe(t, topic, Wanted)
		*l = append(*l, w.finding(CheckTopics, name, copies(topic.Replicas)))
	}
}

// holds wants room for the largest event in a batch of its own.
func (w *worst) holds(topic kafka.Topic, largest int) {
	if limit := int(topic.MaxMessageBytes()); limit < largest+autobus.RecordOverhead {
		w.add(Problem, fmt.Sprintf("max.message.bytes=%d, events of %d bytes need %d", limit, largest,
			largest+autobus.RecordOverhead), "set max.message.bytes="+strconv.Itoa(largest+autobus.RecordOverhead))
	}
}

// slowest is how much older than the brokers' clock the timestamp of an event can be that is appended: how long a
// publish may wait, twice.
const slowest = 2 * time.Minute

// timestamps wants the record's time to be the gateway's clock, as lag and starts by time take it.
func (w *worst) timestamps(topic kafka.Topic) {
	if v := topic.Configs["message.timestamp.type"]; v != "" && v != "CreateTime" {
		w.add(Warning, "message.timestamp.type="+v+": starts by time do not go by the bus's clock",
			"set message.timestamp.type=CreateTime")
	}
	for _, key := range []string{"message.timestamp.before.max.ms", "message.timestamp.after.max.ms"} {
		v, err := strconv.ParseInt(topic.Configs[key], 10, 64)
		if err == nil && v < slowest.Milliseconds() {
			w.add(Problem, fmt.Sprintf("%s=%d: events are refused whose publishing takes longer", key, v),
				fmt.Sprintf("set %s=%d or more", key, time.Hour.Milliseconds()))
		}
	}
}

// durable wants what no single broker's death can undo.
func (w *worst) durable(topic kafka.Topic) {
	if topic.Replicas < Wanted {
		w.add(Problem, copies(topic.Replicas), "raise its replication to 3 with kafka-reassign-partitions")
	}
	if topic.MinISR() < 2 {
		w.add(Problem, fmt.Sprintf("min.insync.replicas=%d", topic.MinISR()), "set min.insync.replicas=2")
	}
	if topic.Unclean() {
		w.add(Problem, "unclean leader election", "set unclean.leader.election.enable=false")
	}
}

// safe is durable for the bus's own topics, as far as there are brokers for it.
func (w *worst) safe(t Target, topic kafka.Topic, brokers int) {
	if t.Embedded {
		return
	}
	if brokers < Wanted { // min ISR 2 could not be met
		topic.Configs = map[string]string{"min.insync.replicas": "2",
			"unclean.leader.election.enable": topic.Configs["unclean.leader.election.enable"]}
	}
	w.durable(topic)
}

func copies(n int) string {
	if n == 1 {
		return "1 copy"
	}
	return strconv.Itoa(n) + " copies"
}

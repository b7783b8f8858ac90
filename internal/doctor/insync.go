// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/autobus-io/autobus/internal/control"
	"github.com/autobus-io/autobus/internal/kafka"
)

// offsetsTopic is where Kafka keeps the positions of groups.
const offsetsTopic = "__consumer_offsets"

// inSync looks at the partitions that the bus relies on: those of its types, of its own topics, and of positions.
func (l *list) inSync(ctx context.Context, t Target, topics map[string]kafka.Topic, routes map[string]control.Route,
	broker map[string]string) {
	partitions, err := t.Log.Partitions(ctx)
	if err != nil {
		l.skip(CheckInSync, "cluster", err.Error(), "ask again")
		return
	}
	relied := func(topic string) bool {
		_, routed := routes[topic]
		return routed || topic == offsetsTopic || strings.HasPrefix(topic, "_autobus.") ||
			strings.HasPrefix(topic, "dlq.") || strings.HasPrefix(topic, "park.")
	}
	byTopic := map[string][]kafka.Partition{}
	count := 0
	for _, p := range partitions {
		if relied(p.Topic) {
			byTopic[p.Topic] = append(byTopic[p.Topic], p)
			count++
		}
	}
	well := true
	for _, name := range sorted(byTopic) {
		topic, told := topics[name]
		least := topic.MinISR()
		if !told { // one of Kafka's own goes by what the brokers say
			least, _ = strconv.Atoi(broker["min.insync.replicas"])
		}
		if f := topicInSync(name, byTopic[name], least); f.Severity != OK {
			*l = append(*l, f)
			well = false
		}
	}
	if well {
		l.ok(CheckInSync, "cluster", "%d %s of %d %s, all with a leader and all copies in sync", count,
			plural(count, "partition"), len(byTopic), plural(len(byTopic), "topic"))
	}
}

// topicInSync judges the partitions of one topic that needs so many copies for a write.
func topicInSync(name string, partitions []kafka.Partition, least int) Finding {
	var leaderless, below, behind []string
	for _, p := range partitions {
		id := strconv.Itoa(int(p.TP.Partition))
		switch {
		case p.Leader < 0:
			leaderless = append(leaderless, id)
		case p.InSync < least:
			below = append(below, id)
		case p.InSync < p.Replicas:
			behind = append(behind, id)
		}
	}
	const start = "start the brokers that hold the missing copies, or look into their logs why they lag"
	var w worst
	if n := len(leaderless); n > 0 {
		w.add(Problem, fmt.Sprintf("%s %s without a leader: neither written nor read", plural(n, "partition"),
			numbers(leaderless)), start)
	}
	if n := len(below); n > 0 {
		w.add(Problem, fmt.Sprintf("%s %s below min.insync.replicas=%d: not written", plural(n, "partition"), numbers(below),
			least), start)
	}
	if n := len(behind); n > 0 {
		w.add(Warning, fmt.Sprintf("%s %s with fewer copies in sync than there should be", plural(n, "partition"),
			numbers(behind)), start)
	}
	return w.finding(CheckInSync, name, "")
}

// numbers lists a few and counts the rest.
func numbers(ids []string) string {
	const most = 8
	if len(ids) <= most {
		return strings.Join(ids, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(ids[:most], ", "), len(ids)-most)
}

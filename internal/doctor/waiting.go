// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/kafka"
)

// How long the bus lets its own topics keep what they have: dead letters, and delayed events beyond their time.
const (
	letterRetention = 14 * 24 * time.Hour
	lateRetention   = 7 * 24 * time.Hour
)

// delayTopics is how the topics of delayed events begin. What follows is n where events wait for 4^n seconds.
const delayTopics = "_autobus.delay."

// waiting looks at the topics of events that are on their way and stand nowhere else, since the position of their
// subscription, or the answer to their publisher, has passed them: parked and delayed ones.
func (l *list) waiting(t Target, topics map[string]kafka.Topic) {
	for _, name := range sorted(topics) {
		topic, parked := topics[name], strings.HasPrefix(name, "park.")
		if !parked && !strings.HasPrefix(name, delayTopics) {
			continue
		}
		if topic.Err != nil {
			l.add(Problem, CheckTopics, name, topic.Err.Error(), describeFix)
			continue
		}
		var w worst
		want := "delete"
		if parked {
			want = "compact"
		}
		if p := topic.Configs["cleanup.policy"]; p != "" && p != want {
			w.add(Problem, "cleanup.policy="+p+": events that wait there are lost", "set cleanup.policy="+want)
		}
		if !parked { // what is only compacted does not expire
			w.keeps(Problem, topic, held(name)+lateRetention, "events that wait there")
		}
		w.holds(topic, autobus.MaxEventBytes+autobus.InternalTopicExtra)
		w.safe(t, topic, Wanted)
		*l = append(*l, w.finding(CheckTopics, name, copies(topic.Replicas)))
	}
}

// held is how long a topic of delayed events holds each; 0 where it holds none back.
func held(topic string) time.Duration {
	n, err := strconv.ParseUint(strings.TrimPrefix(topic, delayTopics), 10, 4)
	if err != nil {
		return 0
	}
	return time.Second << (2 * n)
}

// keeps wants a topic to keep what it holds for as long as the bus made it to.
func (w *worst) keeps(s Severity, topic kafka.Topic, least time.Duration, what string) {
	v, err := strconv.ParseInt(topic.Configs["retention.ms"], 10, 64)
	if err == nil && v >= 0 && v < least.Milliseconds() {
		w.add(s, fmt.Sprintf("retention.ms=%d: %s are gone after %s, the bus keeps them for %.3g days", v, what,
			time.Duration(v)*time.Millisecond, least.Hours()/24), fmt.Sprintf("set retention.ms=%d", least.Milliseconds()))
	}
}

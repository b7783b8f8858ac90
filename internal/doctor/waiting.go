// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"fmt"
	"strings"
	"time"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/delay"
	"github.com/autobus-io/autobus/internal/kafka"
)

// letterRetention is how long the bus has dead letters kept.
const letterRetention = 14 * 24 * time.Hour

// delayTopics is how the topics of delayed events begin.
const delayTopics = delay.Group + "."

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
			w.keeps(Problem, topic, delay.Held(name)+delay.KeptFor, "events that wait there")
		}
		w.holds(topic, autobus.MaxEventBytes+autobus.InternalTopicExtra)
		w.safe(t, topic, Wanted)
		*l = append(*l, w.finding(CheckTopics, name, copies(topic.Replicas)))
	}
}

// keeps wants a topic to keep what it holds for as long as the bus made it to.
func (w *worst) keeps(s Severity, topic kafka.Topic, least time.Duration, what string) {
	kept, told := topic.Millis("retention.ms")
	if told && kept >= 0 && kept < least {
		w.add(s, fmt.Sprintf("retention.ms=%d: %s are gone after %s, the bus keeps them for %.3g days", kept.Milliseconds(),
			what, kept, least.Hours()/24), fmt.Sprintf("set retention.ms=%d", least.Milliseconds()))
	}
}

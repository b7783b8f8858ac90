// SPDX-License-Identifier: Apache-2.0

package spec

import (
	"slices"
	"strconv"
	"strings"
	"time"
)

func ruleS23() Rule {
	return Rule{
		ID: "S23", Severity: SeverityWarning,
		Title: "Events are kept three times as long as the slowest reader may lag (x-sla.max-age); compact only by a key, " +
			"and for payloads that are the whole state (x-full-state: true).",
		Why:   "A reader that was down finds what it missed; compaction deletes all but the last event of a key.",
		Mend:  "Raise topicConfiguration.retention.ms; say cleanup.policy: [delete].",
		check: checkS23,
	}
}

// keptTimes is how many times max-age events are kept.
const keptTimes = 3

func checkS23(l *linter) {
	for _, s := range l.specs {
		settings := l.walk(s.channel, "bindings", "kafka").child("topicConfiguration")
		kept, err := strconv.ParseInt(s.Configs["retention.ms"], 10, 64)
		for _, in := range l.readersOf(s.Name) {
			age, said := durationOf(l.said(in.op, "x-sla", "max-age").node)
			if said && err == nil && kept >= 0 && kept < keptTimes*age.Milliseconds() {
				l.add(settings.child("retention.ms"), "%s is kept for %s, but %s may lag %s", s.Name,
					time.Duration(kept)*time.Millisecond, l.serviceOf(in), age)
			}
		}
		state := s.channel.node.get("x-full-state")
		compacts := slices.Contains(strings.Split(s.Configs["cleanup.policy"], ","), "compact")
		if compacts && (s.KeyPointer == "" || state == nil || state.text != "true") {
			l.add(settings.child("cleanup.policy"), "%s is compacted, but does not say that each event is the whole state "+
				"of its key", s.Name)
		}
	}
}

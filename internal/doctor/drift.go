// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"cmp"
	"fmt"
	"strconv"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/control"
	"github.com/autobus-io/autobus/internal/registry"
)

const pushFix = "push the specs again: autobus spec push DIR, or restart an instance whose specs name the folder"

// drift tells where routes and topics are not as the specs in force say. What a route pins was held against its topic
// already.
func (l *list) drift(c registry.Comparison, types int, routes map[string]control.Route) {
	before := len(*l)
	known := map[string]bool{} // what the topics' own findings say, by type and by topic
	for _, d := range c.Drift {
		route, told := routes[d.Topic]
		got, err := strconv.Atoi(d.Got)
		if told && (d.What == "partitions" || d.What == "max.message.bytes" && err == nil &&
			got < route.MaxEventBytes+autobus.RecordOverhead) {
			known[d.Topic+" "+d.What], known[route.Type] = true, true
		}
	}
	for _, p := range c.Unread {
		l.add(Problem, CheckDrift, "specs", "the newest are not in force here: "+p.String(),
			cmp.Or(p.Hint, "upgrade this instance, or push specs that it can read"))
	}
	for _, p := range c.Faults {
		l.add(Problem, CheckDrift, "specs", p.String(), cmp.Or(p.Hint, "mend the spec, then push it"))
	}
	for _, name := range c.Missing {
		if _, told := routes[name]; told {
			continue
		}
		l.add(Problem, CheckDrift, "topic "+name, "a spec in force declares it, and it is not there", pushFix)
	}
	for _, name := range c.Routes {
		if known[name] {
			continue // a push would give the route what is wrong with its topic
		}
		l.add(Warning, CheckDrift, "type "+name, "its route is not what its spec asks for", pushFix)
	}
	for _, a := range c.Differ {
		l.add(Warning, CheckDrift, "topic "+a.Topic,
			fmt.Sprintf("%s=%s, its spec says %s", a.Key, cmp.Or(a.Before, "(default)"), a.After),
			fmt.Sprintf("set %s=%s, or write %s into the spec", a.Key, a.After, cmp.Or(a.Before, "the default")))
	}
	for _, d := range c.Drift {
		if known[d.Topic+" "+d.What] {
			continue
		}
		l.add(Warning, CheckDrift, "topic "+d.Topic, fmt.Sprintf("%s: %s, its spec or route says %s", d.What, d.Got, d.Want),
			"change the topic with Kafka's own tools: pushing leaves this as it is")
	}
	if len(*l) == before {
		l.ok(CheckDrift, "specs", "routes and topics of %d %s are as their specs say", types, plural(types, "type"))
	}
}

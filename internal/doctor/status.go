// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"github.com/autobus-io/autobus/internal/kafka"
	"github.com/autobus-io/autobus/spec"
)

// Status is what GET /v1/status says, as far as it is looked at here.
type Status struct {
	Instance string `json:"instance"`
	Version  string `json:"version"`
	Mode     string `json:"mode"`
	Ready    bool   `json:"ready"`
	NotReady string `json:"not_ready"`
	Insecure bool   `json:"insecure"`
	Cluster  struct {
		ID      string         `json:"id"`
		Brokers []kafka.Broker `json:"brokers"`
		Error   string         `json:"error"`
	} `json:"cluster"`
	Embedded *struct {
		Dir  string `json:"dir"`
		Full string `json:"full"`
		kafka.Storage
	} `json:"embedded"`
	Routes []struct {
		Type    string `json:"type"`
		Refused string `json:"refused"`
		Detail  string `json:"detail"`
	} `json:"routes"`
	Control struct {
		Lag *int64 `json:"lag"`
	} `json:"control"`
	Specs struct {
		Problems spec.Problems `json:"problems"`
	} `json:"specs"`
	Unreadable []struct {
		Kind   string `json:"kind"`
		Name   string `json:"name"`
		Detail string `json:"detail"`
	} `json:"unreadable"`
	DeadLetters []struct {
		Subscription string    `json:"subscription"`
		Count        int64     `json:"count"`
		From         time.Time `json:"from"`
	} `json:"dead_letters_expiring"`
}

// controlBehind is how many records of the control log an instance may be behind at one look: a push writes many.
const controlBehind = 1000

// Instance judges what a running instance says of itself.
func Instance(s Status) []Finding {
	var out list
	where := "instance " + s.Instance
	switch {
	case !s.Ready:
		out.add(Problem, CheckInstance, where, "runs, but is not ready: "+s.NotReady, "its log says what it waits for")
	default:
		out.ok(CheckInstance, where, "runs and is ready, version %s, %s", s.Version, s.Mode)
	}
	if s.Insecure {
		out.add(Warning, CheckInstance, where, "tokens and events cross the network readable",
			"set tls.cert_file and tls.key_file, unless the network encrypts by itself")
	}
	if s.Cluster.Error != "" {
		out.add(Problem, CheckInstance, where, "its brokers do not answer it: "+s.Cluster.Error,
			"see brokers; the instance goes on by itself when they come back")
	}
	if lag := s.Control.Lag; lag != nil && *lag > controlBehind {
		out.add(Warning, CheckInstance, where, fmt.Sprintf("is %d records of the control log behind", *lag),
			"look again; if it grows, look into its log")
	}
	if s.Embedded != nil {
		out.storage(cmp.Or(s.Embedded.Dir, "memory"), s.Embedded.Storage)
	}
	for _, r := range s.Routes {
		if r.Refused != "" {
			out.add(Problem, CheckInstance, "type "+r.Type, "refused by "+where+" ("+r.Refused+"): "+r.Detail,
				"autobus explains "+r.Refused+" at /problems/"+r.Refused)
		}
	}
	for _, p := range s.Specs.Problems {
		out.add(Problem, CheckInstance, "specs", "others are not in force: "+p.String(), cmp.Or(p.Hint, "mend the file"))
	}
	for _, u := range s.Unreadable {
		out.add(Problem, CheckVersions, u.Kind+" "+u.Name, "refused by "+where+": "+u.Detail, "upgrade that instance")
	}
	for _, l := range s.DeadLetters {
		out.add(Warning, CheckExpiry, "dlq."+l.Subscription, fmt.Sprintf(
			"retention deletes %d %s that nobody decided about, from %s on", l.Count, plural(int(l.Count), "dead letter"),
			l.From.UTC().Format(time.DateTime)), "autobus dlq stats "+l.Subscription+
			", then redrive, export or drop them; or raise its retention.ms")
	}
	return out
}

// Versions judges whether instances are of one version: a mixture is for the time of an upgrade. The key is an
// instance's name.
func Versions(version map[string]string) []Finding {
	seen := map[string][]string{}
	for _, name := range sorted(version) {
		seen[version[name]] = append(seen[version[name]], name)
	}
	if len(seen) < 2 {
		return nil
	}
	var w worst
	for _, v := range sorted(seen) {
		w.add(Warning, strings.Join(seen[v], ", ")+": "+v, "finish the upgrade: run one version everywhere")
	}
	return []Finding{w.finding(CheckVersions, "instances", "")}
}

// DateSkew judges the clock of a server by the Date of an answer, which has whole seconds.
func DateSkew(where string, date, asked, answered time.Time) Finding {
	took := answered.Sub(asked)
	return Skew(where, date.Add(time.Second/2).Sub(asked.Add(took/2)), time.Second/2+took/2)
}

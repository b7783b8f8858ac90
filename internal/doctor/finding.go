// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"fmt"
	"slices"
	"strings"
)

// Severity says how bad a finding is.
type Severity string

// Severities. Only a problem counts as one: it breaks a promise of the bus, or keeps it from working.
const (
	OK      Severity = "ok"
	Skipped Severity = "skipped" // could not be looked at; what says why
	Warning Severity = "warning" // works, but not for long or not as well as it could
	Problem Severity = "problem"
)

// Finding is one line of the report. Its JSON is public: fields and checks may come, none may change.
type Finding struct {
	Severity Severity `json:"severity"`
	Check    string   `json:"check"` // one of the closed list below
	Where    string   `json:"where"` // the file and line, broker, topic, address or folder
	What     string   `json:"what"`
	Fix      string   `json:"fix,omitempty"` // a command or a setting; only where Severity is not ok
}

// Checks.
const (
	CheckConfig   = "config"
	CheckPorts    = "ports"
	CheckInstance = "instance"
	CheckVersions = "versions"
	CheckBrokers  = "brokers"
	CheckClock    = "clock"
	CheckInSync   = "in_sync"
	CheckControl  = "control_log"
	CheckTopics   = "topics"
	CheckDrift    = "drift"
	CheckExpiry   = "expiry" // of what is lost for good unless somebody acts
	CheckDisk     = "disk"
)

// Problems counts the findings that are problems.
func Problems(findings []Finding) int {
	n := 0
	for _, f := range findings {
		if f.Severity == Problem {
			n++
		}
	}
	return n
}

// list gathers findings.
type list []Finding

func (l *list) ok(check, where, what string, args ...any) {
	*l = append(*l, Finding{OK, check, where, fmt.Sprintf(what, args...), ""})
}

func (l *list) skip(check, where, why, fix string) {
	*l = append(*l, Finding{Skipped, check, where, why, fix})
}

func (l *list) add(s Severity, check, where, what, fix string) {
	*l = append(*l, Finding{s, check, where, what, fix})
}

// worst puts several faults of one thing into one finding; none is ok with what it says then.
type worst struct {
	severity Severity
	what     []string
	fix      []string
}

func (w *worst) add(s Severity, what, fix string) {
	if w.severity != Problem {
		w.severity = s
	}
	w.what = append(w.what, what)
	if !slices.Contains(w.fix, fix) {
		w.fix = append(w.fix, fix)
	}
}

func (w *worst) finding(check, where, ok string) Finding {
	if len(w.what) == 0 {
		return Finding{OK, check, where, ok, ""}
	}
	return Finding{w.severity, check, where, strings.Join(w.what, ", "), strings.Join(w.fix, "; ")}
}

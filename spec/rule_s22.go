// SPDX-License-Identifier: Apache-2.0

package spec

import (
	"strconv"
	"strings"
	"time"
)

func ruleS22() Rule {
	return Rule{
		ID: "S22", Severity: SeverityError,
		Title: "A new major says x-replaces, the old one x-lifecycle: deprecated and x-sunset; nobody reads a retired type.",
		Why:   "Readers move after they have read what is left; they must know to what, and until when.",
		Mend:  "Write x-replaces: orders.order.placed.v1 in v2; x-lifecycle: deprecated, x-sunset: '2027-01-31' in v1.",
		check: checkS22,
	}
}

func checkS22(l *linter) {
	for _, s := range l.specs {
		if old := l.earlier(s.Name); old != nil {
			if at := s.info.child("x-replaces"); s.info.node.str("x-replaces") != old.Name {
				l.addAs(SeverityError, at, "Write x-replaces: "+old.Name+".", "%s does not say that it replaces %s", s.Name,
					old.Name)
			}
			if s.Lifecycle == "active" && (old.Lifecycle == "active" || old.Lifecycle == "draft") {
				l.add(old.info.child("x-lifecycle"), "%s is replaced by %s, but is %s", old.Name, s.Name, old.Lifecycle)
			}
		}
		if _, err := time.Parse(time.DateOnly, s.info.node.str("x-sunset")); err != nil && s.Lifecycle == "deprecated" {
			l.add(s.info.child("x-sunset"), "%s is deprecated, but has no x-sunset such as 2027-01-31", s.Name)
		}
		if readers := l.services(s.Name); s.Lifecycle == "retired" && len(readers) > 0 {
			l.addAs(SeverityError, s.info.child("x-lifecycle"), "Move them first.", "%s is retired, but read by %s", s.Name,
				strings.Join(readers, ", "))
		}
	}
}

// earlier is the type of the major before, if there is one.
func (l *linter) earlier(name string) *specAt {
	at := strings.LastIndex(name, ".v") + 2
	major, err := strconv.Atoi(name[at:])
	if err != nil {
		return nil
	}
	return l.spec(name[:at] + strconv.Itoa(major-1))
}

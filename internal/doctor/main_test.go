// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"maps"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/autobus-io/autobus/internal/kafka"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// with gives a copy of settings with one changed.
func with(settings map[string]string, key, value string) map[string]string {
	out := maps.Clone(settings)
	out[key] = value
	return out
}

func expect(t *testing.T, f Finding, s Severity, what string) {
	t.Helper()
	if f.Severity != s || !strings.Contains(f.What, what) {
		t.Errorf("got %+v, want %s with %q", f, s, what)
	}
	if (f.Severity == OK) != (f.Fix == "") {
		t.Errorf("%+v: what is not ok has a fix, and nothing else has", f)
	}
}

// only gives the one finding of a list.
func only(t *testing.T, l list) Finding {
	t.Helper()
	if len(l) != 1 {
		t.Fatalf("%d findings: %+v", len(l), l)
	}
	return l[0]
}

// found gives the finding of a check about something.
func found(t *testing.T, findings []Finding, check, where string) Finding {
	t.Helper()
	for _, f := range findings {
		if f.Check == check && strings.HasPrefix(f.Where, where) {
			return f
		}
	}
	t.Fatalf("nothing is said by %s about %s: %+v", check, where, findings)
	return Finding{}
}

func topicsOf(t kafka.Topic) map[string]kafka.Topic { return map[string]kafka.Topic{t.Name: t} }

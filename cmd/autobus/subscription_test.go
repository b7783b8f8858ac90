// SPDX-License-Identifier: Apache-2.0

package main

import (
	"strings"
	"testing"
	"time"

	"github.com/autobus-io/autobus"
)

// A command line says in which fields a subscription is not what it asks for, by what they mean and not how they are
// written.
func TestProposalDiffers(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	have := autobus.Policy{Types: []string{"b.*", "a.*"}, Start: autobus.Start{Time: at}, Owner: "bob"}
	same := autobus.Policy{Types: []string{"a.*", "b.*"}, Order: autobus.OrderKey, Owner: "bob",
		Start: autobus.Start{Time: at.In(time.FixedZone("", 3600))}}
	for _, c := range []struct {
		name   string
		change func(*proposal)
		want   string
	}{
		{"same", func(*proposal) {}, ""},
		{"types", func(pr *proposal) { pr.policy.Types = []string{"a.*"} }, "types"},
		{"start", func(pr *proposal) { pr.policy.Start = autobus.Start{Earliest: true} }, "start"},
		{"age", func(pr *proposal) { pr.policy.Start, pr.anyTime = autobus.Start{Time: at.Add(time.Hour)}, true }, ""},
		{"several", func(pr *proposal) { pr.policy.Owner, pr.policy.Window = "", &autobus.Window{Events: 1} },
			"owner window"},
		{"not spoken of", func(pr *proposal) { pr.policy.Owner, pr.fields = "", []string{"types", "filter"} }, ""},
		{"params", func(pr *proposal) { pr.policy.Params = map[string]string{"a": "b"} }, "params"},
	} {
		pr := &proposal{policy: same}
		c.change(pr)
		got, err := pr.differs(have)
		if err != nil || strings.Join(got, " ") != c.want {
			t.Errorf("%s: got %v, %v, want %q", c.name, got, err, c.want)
		}
	}
}

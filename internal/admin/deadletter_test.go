// SPDX-License-Identifier: Apache-2.0

package admin

import (
	"net/http/httptest"
	"testing"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/bus"
)

func TestLetterQuery(t *testing.T) {
	for raw, want := range map[string]bus.LetterQuery{
		"":                        {},
		"from=3&limit=1000":       {From: 3, Limit: 1000},
		"events=true&filter=true": {Events: true, Filter: "true"},
		"events=false&fingerprint=a&filter=&from=": {Fingerprint: "a"},
	} {
		got, err := letterQuery(httptest.NewRequest("GET", "/?"+raw, nil))
		if err != nil || got != want {
			t.Errorf("%s: %+v, %v", raw, got, err)
		}
	}
	for _, raw := range []string{"from=-1", "from=x", "limit=0", "limit=1001", "limit=1&limit=2", "events=yes", "form=1",
		"%"} {
		r := httptest.NewRequest("GET", "/", nil)
		r.URL.RawQuery = raw
		if _, err := letterQuery(r); err == nil || err.Reason != autobus.ReasonRequestInvalid || err.NextStep() == "" {
			t.Errorf("%s: %v", raw, err)
		}
	}
}

func TestDeadLettersNeedAGrant(t *testing.T) {
	f := newFixture(t)
	for path, want := range map[string]int{"/v1/subscriptions/a/dead-letters": 403,
		"/v1/subscriptions/a/dead-letters?limit=x": 400, "/v1/subscriptions/a/dead-letters/groups": 403,
		"/v1/subscriptions/a/dead-letters/1": 403, "/v1/subscriptions/a/dead-letters/x": 400} {
		if w := f.get(t, path, "*"); w.Code != want {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
	}
}

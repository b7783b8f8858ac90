// SPDX-License-Identifier: Apache-2.0

package rest

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/edge"
)

const acksPath = "/v1/subscriptions/bob-kz/acks"

// settler remembers what it settles and judges by the first letter of the lease.
func settler(seen *[]autobus.Settlement) *fakeBus {
	return &fakeBus{outcomes: func(ss []autobus.Settlement) error {
		for i := range ss {
			switch ss[i].Lease[0] {
			case 's':
				ss[i].Err = autobus.NewError(autobus.ReasonLeaseStale, "late")
			case 'u':
				ss[i].Err = autobus.NewError(autobus.ReasonLeaseUnknown, "forged")
			case 'd':
				ss[i].Err = autobus.NewError(autobus.ReasonOutcomeInvalid, "the delay is too long")
			case 'f':
				ss[i].Err = autobus.NewError(autobus.ReasonClusterUnreachable, "not now")
			}
		}
		*seen = append(*seen, ss...)
		return nil
	}}
}

type acked struct {
	Results []struct {
		Lease  string        `json:"lease"`
		Status string        `json:"status"`
		Error  *edge.Details `json:"error"`
	} `json:"results"`
}

func TestAcks(t *testing.T) {
	var seen []autobus.Settlement
	s := serve(t, settler(&seen), open(), Config{})
	a := s.post(t, acksPath, "application/json", `{"results":[{"lease":"1","outcome":"ack"},
		{"lease":"2","outcome":"retry","delay":"10m","reason":"busy"},{"lease":"3","outcome":"retry"}]}`)
	want := `{"results":[{"lease":"1","status":"ok"},{"lease":"2","status":"ok"},{"lease":"3","status":"ok"}]}` + "\n"
	if a.Status != 200 || a.Body != want {
		t.Errorf("%d %s", a.Status, a.Body)
	}
	if o := seen[1].Outcome; o.Kind != autobus.Retry || o.Delay != 10*time.Minute || o.Reason != "busy" ||
		seen[0].Subscription != "bob-kz" {
		t.Errorf("%+v", seen)
	}
	if a := s.post(t, acksPath, "", `{"results":[]}`); a.Status != 200 || a.Body != `{"results":[]}`+"\n" {
		t.Errorf("nothing to settle: %d %s", a.Status, a.Body)
	}
}

func TestEachAckIsJudgedByItself(t *testing.T) {
	var seen []autobus.Settlement
	s := serve(t, settler(&seen), open(), Config{})
	items := []struct{ item, lease, status string }{
		{`{"lease":"s1","outcome":"ack"}`, "s1", "stale"},
		{`{"lease":"u1","outcome":"ack"}`, "u1", "unknown"},
		{`{"lease":"1","outcome":"done"}`, "1", "invalid"},
		{`{"lease":"2"}`, "2", "invalid"},
		{`{"lease":"3","outcome":"ack","delay":"1s"}`, "3", "invalid"},
		{`{"lease":"4","outcome":"retry","delay":"-1s"}`, "4", "invalid"},
		{`{"lease":"5","outcome":"retry","delay":5}`, "5", "invalid"},
		{`{"lease":"6","outcome":"ack","why":"x"}`, "6", "invalid"},
		{`{"outcome":"ack"}`, "", "invalid"},
		{`{"lease":7,"outcome":"ack"}`, "", "invalid"},
		{`17`, "", "invalid"},
		{`null`, "", "invalid"},
		{`{"lease":"d1","outcome":"retry","delay":"9999h"}`, "d1", "invalid"},
		{`{"lease":"f1","outcome":"ack"}`, "f1", "failed"},
		{`{"lease":"8","outcome":"ack","reason":"` + strings.Repeat("ä", 5000) + `"}`, "8", "ok"},
	}
	parts := make([]string, len(items))
	for i := range items {
		parts[i] = items[i].item
	}
	a := s.post(t, acksPath, "application/json", `{"results":[`+strings.Join(parts, ",")+`]}`)
	var got acked
	if err := json.Unmarshal([]byte(a.Body), &got); err != nil || a.Status != http.StatusMultiStatus ||
		len(got.Results) != len(items) {
		t.Fatalf("%d %s", a.Status, a.Body)
	}
	for i, r := range got.Results {
		if r.Lease != items[i].lease || r.Status != items[i].status {
			t.Errorf("%.80s: %+v", items[i].item, r)
		}
		if told := r.Error != nil; told != (r.Status == "invalid" || r.Status == "failed") {
			t.Errorf("%.80s: error %+v", items[i].item, r.Error)
		}
		if r.Status == "invalid" && r.Error.Reason != autobus.ReasonOutcomeInvalid ||
			r.Error != nil && strings.Contains(r.Error.Detail, "Go ") {
			t.Errorf("%.80s: error %+v", items[i].item, r.Error)
		}
	}
	if last := seen[len(seen)-1]; len(seen) != 5 || len(last.Outcome.Reason) > 1100 || last.Outcome.Reason == "" {
		t.Errorf("%d were settled, the last with a reason of %d bytes", len(seen), len(last.Outcome.Reason))
	}
}

func TestAcksRefused(t *testing.T) {
	var seen []autobus.Settlement
	bus := settler(&seen)
	s := serve(t, bus, open(), Config{})
	many := `{"results":[` + strings.TrimSuffix(strings.Repeat(`{"lease":"1","outcome":"ack"},`, 10_001), ",") + `]}`
	for _, c := range []struct {
		path, media, body string
		status            int
		reason            autobus.Reason
	}{
		{acksPath, "application/json", `{`, 400, autobus.ReasonBodyUnreadable},
		{acksPath, "application/json", ``, 400, autobus.ReasonBodyUnreadable},
		{acksPath, "application/json", `[]`, 400, autobus.ReasonBodyUnreadable},
		{acksPath, "application/json", `{"results":{}}`, 400, autobus.ReasonBodyUnreadable},
		{acksPath, "application/json", `{"result":[]}`, 400, autobus.ReasonBodyUnreadable},
		{acksPath, "application/json", `{}`, 400, autobus.ReasonRequestInvalid},
		{acksPath, "application/json", many, 413, autobus.ReasonBatchTooLarge},
		{acksPath, "application/json", strings.Repeat(" ", autobus.MaxBatchBytes+1), 413, autobus.ReasonBatchTooLarge},
		{acksPath, "text/plain", `{"results":[]}`, 415, autobus.ReasonMediaType},
		{acksPath + "?a=b", "application/json", `{"results":[]}`, 400, autobus.ReasonRequestInvalid},
	} {
		if a := s.post(t, c.path, c.media, c.body); a.Status != c.status || a.Reason != c.reason {
			t.Errorf("%s %.60s: %d %s", c.media, c.body, a.Status, a.Body)
		}
	}
	if len(seen) != 0 {
		t.Errorf("%d were settled", len(seen))
	}
	bus.outcomes = func([]autobus.Settlement) error {
		return autobus.NewError(autobus.ReasonShuttingDown, "going down")
	}
	a := s.post(t, acksPath, "application/json", `{"results":[{"lease":"1","outcome":"ack"}]}`)
	if a.Status != 503 || a.Reason != autobus.ReasonShuttingDown || a.Header.Get("Retry-After") == "" {
		t.Errorf("%d %s", a.Status, a.Body)
	}
}

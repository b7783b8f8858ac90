// SPDX-License-Identifier: Apache-2.0

package admin

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/bus"
)

// That all dead letters are meant has to be said.
func TestJobRequest(t *testing.T) {
	for body, want := range map[string]string{
		"{}":                            "",
		`{"numbers":[1],"rate":2.5}`:    "",
		"":                              "cannot be read",
		"null":                          "it is null",
		"[]":                            "array",
		`{"numbers":["1"]}`:             "cannot be read: numbers",
		`{"ids":[1]}`:                   "cannot be read: ids",
		`{"number":[1]}`:                "unknown field",
		`{"filter":"true"} {}`:          "something follows",
		`{"rate":"fast"}`:               "rate cannot be a string",
		`{"numbers":[1` + "\x00" + `]}`: "cannot be read",
	} {
		var got bus.JobRequest
		r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(body))
		err := readRequest(httptest.NewRecorder(), r, maxJobBytes, &got)
		switch {
		case want == "" && err != nil:
			t.Errorf("%s: %v", body, err)
		case want != "" && (err == nil || err.Reason != autobus.ReasonRequestInvalid || !strings.Contains(err.Detail, want)):
			t.Errorf("%s: %v", body, err)
		}
	}
}

func TestJobsNeedAGrant(t *testing.T) {
	f := newFixture(t)
	mux := http.NewServeMux()
	f.edge.Mount(mux)
	for _, c := range []struct {
		method, path, body string
		want               int
	}{
		{"POST", "/v1/subscriptions/a/dead-letters/redrive", "{}", 403},
		{"POST", "/v1/subscriptions/a/dead-letters/redrive", "", 400},
		{"POST", "/v1/subscriptions/a/dead-letters/drop", "{}", 403},
		{"PATCH", "/v1/subscriptions/a/dead-letters/1", `{"key":"a"}`, 403},
		{"PATCH", "/v1/subscriptions/a/dead-letters/x", "{}", 400},
		{"GET", "/v1/jobs?subscription=a&subscription=b", "", 400},
		{"GET", "/v1/jobs?all=true", "", 400},
	} {
		ctx := autobus.WithPrincipal(t.Context(), autobus.Principal{Name: "ops",
			Grants: []autobus.Grant{{Verb: autobus.VerbManage, Pattern: "*"}, {Verb: autobus.VerbPeek, Pattern: "*"}}})
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, httptest.NewRequestWithContext(ctx, c.method, c.path, strings.NewReader(c.body)))
		if w.Code != c.want {
			t.Errorf("%s %s: %d %s", c.method, c.path, w.Code, w.Body)
		}
	}
}

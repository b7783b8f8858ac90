// SPDX-License-Identifier: Apache-2.0

package admin

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/control"
)

func TestOrdersThatCannotBeFollowed(t *testing.T) {
	f := newFixture(t)
	f.subscribe(t, "shop")
	mux := http.NewServeMux()
	f.edge.Mount(mux)
	ctx := autobus.WithPrincipal(t.Context(), autobus.Principal{Name: "ops",
		Grants: []autobus.Grant{{Verb: autobus.VerbManage, Pattern: "shop"}}})
	for _, c := range []struct{ path, body, want string }{
		{"shop/pause", `{"why": "x"}`, "request_invalid"},
		{"shop/pause", `{"reason": "` + strings.Repeat("x", 2000) + `"}`, "request_invalid"},
		{"shop/pause?reason=" + strings.Repeat("x", 2000), ``, "request_invalid"},
		{"shop/pause", `[]`, "request_invalid"},
		{"other/pause", ``, "forbidden"},
		{"other/resume", ``, "forbidden"},
		{"shop/seek", `{}`, "request_invalid"},
		{"shop/seek", `{"to": "yesterday"}`, "request_invalid"},
		{"shop/seek", `{"to": {"time": "2126-01-31T15:04:05Z"}}`, "position_invalid"},
		{"other/seek", `{"to": "latest"}`, "forbidden"},
		{"shop/skip", `{"type": "a.b.v1", "partition": 0}`, "request_invalid"},
		{"shop/retry", `{"partition": 0, "offset": 3}`, "request_invalid"},
		{"other/skip", `{"type": "a.b.v1", "partition": 0, "offset": 3}`, "forbidden"},
		{"other/retry", `{"type": "a.b.v1", "partition": 0, "offset": 3}`, "forbidden"},
		{"shop/replay", `{"from": "2026-01-31T15:04:05Z"}`, "request_invalid"},
		{"shop/replay", `{"from": "2026-01-31T15:04:05Z", "to": "2026-01-31T15:04:05Z"}`, "position_invalid"},
		{"shop/replay", `{"from": "2026-01-31T15:04:05Z", "to": "2126-01-31T15:04:05Z"}`, "position_invalid"},
		{"shop/replay", `{"cancel": "3", "key": "k"}`, "request_invalid"},
		{"other/replay", `{"from": "2026-01-31T15:04:05Z", "to": "2026-01-31T16:04:05Z"}`, "forbidden"},
	} {
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, httptest.NewRequestWithContext(ctx, http.MethodPost, "/v1/subscriptions/"+c.path,
			strings.NewReader(c.body)))
		if !strings.Contains(w.Body.String(), `"reason":"`+c.want+`"`) {
			t.Errorf("%s %s: %s, want %s", c.path, c.body, w.Body, c.want)
		}
	}
}

// subscribe writes the record of a subscription.
func (f *fixture) subscribe(t *testing.T, name string) {
	t.Helper()
	rec, err := control.NewRecord(control.KindSubscription, name, control.None, control.Subscription{
		Policy: autobus.Policy{Types: []string{"a.b.v1"}}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.control.Change(t.Context(), rec); err != nil {
		t.Fatal(err)
	}
}

// SPDX-License-Identifier: Apache-2.0

package edge

import (
	"context"
	"net/http"
	"testing"

	"github.com/autobus-io/autobus"
)

// long serves a request of the token first, which runs f with its context.
func long(t *testing.T, o Options, f func(ctx context.Context)) {
	t.Helper()
	mux := http.NewServeMux()
	ran := false
	mux.HandleFunc("GET /v1/wait", func(_ http.ResponseWriter, r *http.Request) {
		ran = true
		f(r.Context())
	})
	if ask(Handler(mux, o), http.MethodGet, "/v1/wait", "Authorization", "Bearer first"); !ran {
		t.Error("the request was refused")
	}
}

func TestRenew(t *testing.T) {
	revoked := map[string]chan struct{}{"first": make(chan struct{}), "second": make(chan struct{})}
	o := Options{
		Authenticate: func(token string) (autobus.Principal, string, bool) {
			name := "shop"
			if token == "foreign" {
				name = "pay"
			}
			return autobus.Principal{Name: name, Grants: []autobus.Grant{{Pattern: token}}}, token, token != "bad"
		},
		Revoked: func(id string) <-chan struct{} { return revoked[id] },
	}
	long(t, o, func(ctx context.Context) {
		for _, token := range []string{"bad", "foreign"} {
			if _, err := Renew(ctx, token); err == nil || err.Reason != autobus.ReasonUnauthenticated {
				t.Errorf("%s: %v", token, err)
			}
		}
		p, err := Renew(ctx, "second")
		if err != nil || p.Grants[0].Pattern != "second" {
			t.Errorf("%+v %v", p, err)
		}
		close(revoked["first"])
		if _, err := Renew(ctx, "second"); err != nil || ctx.Err() != nil {
			t.Errorf("the first token still counts: %v %v", err, context.Cause(ctx))
		}
		close(revoked["second"])
		<-ctx.Done()
		if e := autobus.AsError(context.Cause(ctx)); e.Reason != autobus.ReasonUnauthenticated {
			t.Errorf("cause %v", e)
		}
	})
	long(t, Options{Open: &autobus.Principal{Name: "dev"}}, func(ctx context.Context) {
		if p, err := Renew(ctx, "anything"); err != nil || p.Name != "dev" {
			t.Errorf("%+v %v", p, err)
		}
	})
	if _, err := Renew(t.Context(), "second"); err == nil {
		t.Error("there is nobody to ask")
	}
}

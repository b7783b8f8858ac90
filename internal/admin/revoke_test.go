// SPDX-License-Identifier: Apache-2.0

package admin

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/edge"
)

// A stream that began with a good token ends when the token is revoked.
func TestRevocationEndsStreams(t *testing.T) {
	_, l := broker(t)
	tokens := NewTokens(follow(t, l))
	token, id, err := tokens.Create(t.Context(), "checkout", grants(t, "subscribe:*"), "alice")
	if err != nil {
		t.Fatal(err)
	}
	began, ended := make(chan struct{}), make(chan error, 1)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /stream", func(_ http.ResponseWriter, r *http.Request) {
		close(began)
		select {
		case <-r.Context().Done():
			ended <- context.Cause(r.Context())
		case <-time.After(10 * time.Second):
			ended <- nil
		}
	})
	h := edge.Handler(mux, edge.Options{
		Authenticate: tokens.Authenticate, Revoked: tokens.Revoked, Logger: slog.Default(),
	})
	ask := func() int {
		req := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/stream", nil)
		req.Header.Set("Authorization", "Bearer "+token)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, req)
		return w.Code
	}
	done := make(chan int, 1)
	go func() { done <- ask() }()
	<-began
	if err := tokens.Revoke(t.Context(), id, "bob", "leaked"); err != nil {
		t.Fatal(err)
	}
	if cause := <-ended; !has(cause, autobus.ReasonUnauthenticated) {
		t.Errorf("the stream ended because %v", cause)
	}
	<-done
	if code := ask(); code != http.StatusUnauthorized {
		t.Errorf("the next request is answered %d", code)
	}
}

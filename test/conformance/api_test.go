// SPDX-License-Identifier: Apache-2.0

package conformance

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/autobus-io/autobus"
	"github.com/autobus-io/autobus/internal/admin"
	"github.com/autobus-io/autobus/internal/bus"
)

// operators is the API that operators use, before a bus in this process: who asks is known from the context.
func operators(b *bus.Bus) func(testing.TB, autobus.Principal, string, string, []byte) (int, []byte) {
	mux := http.NewServeMux()
	admin.New(admin.Config{Bus: b, Metrics: prometheus.NewRegistry()}).Mount(mux)
	return func(t testing.TB, p autobus.Principal, method, path string, body []byte) (int, []byte) {
		w := httptest.NewRecorder()
		r := httptest.NewRequestWithContext(autobus.WithPrincipal(t.Context(), p), method, path, bytes.NewReader(body))
		r.Header.Set("Content-Type", "application/json")
		mux.ServeHTTP(w, r)
		return w.Code, w.Body.Bytes()
	}
}

// api makes such a request through the port of a site.
func (s *site) api(t testing.TB, p autobus.Principal, method, path string, body []byte) (int, []byte) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, "http://"+s.addr+path, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Authorization", "Bearer "+s.token(t, p))
	resp, err := s.http.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, answer
}
